//! What `ptxas` says of the kernels: registers and spills.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// NVIDIA's wheel that has `ptxas` and libdevice, and runs without a GPU.
const WHEEL: &str = "nvidia-cuda-nvcc-cu12==12.9.86";
/// Registers of a unit, above which fewer than two cubes of 256 share a multiprocessor.
const MOST_REGISTERS: usize = 128;

/// A kernel as it was assembled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    name: String,
    registers: usize,
    /// Bytes written to local memory for want of registers, and bytes of local memory in all.
    spilled: usize,
}

/// The toolkit that the environment names, or, where that is asked for, NVIDIA's wheel in a folder.
pub(super) fn toolkit(folder: &Path, fetch: bool) -> Result<Option<PathBuf>> {
    if !fetch {
        let named = std::env::var_os("CUDA_PATH").map(PathBuf::from);
        return Ok(named.filter(|toolkit| ptxas(toolkit).is_file()));
    }
    let wheels = folder.join("wheels");
    let toolkit = wheels.join("nvidia/cuda_nvcc");
    if !ptxas(&toolkit).is_file() {
        fs::create_dir_all(&wheels).with_context(|| format!("cannot make {}", wheels.display()))?;
        succeeds(python(&wheels).args(["-m", "pip", "download", "--no-deps", WHEEL]))?;
        let files = fs::read_dir(&wheels)?.collect::<std::io::Result<Vec<_>>>()?;
        let wheel =
            files.into_iter().map(|file| file.path()).find(|path| path.extension() == Some("whl".as_ref()));
        let wheel = wheel.context("pip downloaded no wheel")?;
        succeeds(python(&wheels).args(["-m", "zipfile", "-e"]).arg(wheel).arg("."))?;
        succeeds(Command::new("chmod").arg("+x").arg(ptxas(&toolkit)))?;
    }
    Ok(Some(toolkit))
}

fn python(folder: &Path) -> Command {
    let mut python = Command::new("python3");
    python.current_dir(folder);
    python
}

fn succeeds(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn ptxas(toolkit: &Path) -> PathBuf {
    toolkit.join("bin/ptxas")
}

/// Assembles every file of a folder, in the order of names.
pub(super) fn assembled(toolkit: &Path, folder: &Path) -> Result<Vec<Kernel>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = file?.path();
        if path.extension() == Some("ptx".as_ref()) {
            paths.push(path);
        }
    }
    paths.sort();
    let kernels = paths.iter().map(|path| {
        let mut command = Command::new(ptxas(toolkit));
        command.args(["-v", "-arch=sm_90a", "-o"]).arg(path.with_extension("cubin")).arg(path);
        let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
        let says = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}:\n{says}", output.status);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        read(name, &says).with_context(|| format!("what {command:?} prints is not as expected:\n{says}"))
    });
    kernels.collect()
}

/// Reads what `ptxas -v` prints of a file with one kernel.
fn read(name: String, says: &str) -> Option<Kernel> {
    let number = |before: &str| {
        let (front, _) = says.split_once(before)?;
        front.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
    };
    let spilled = number(" bytes spill stores")? + number(" bytes stack frame")?;
    Some(Kernel { name, registers: number(" registers")?, spilled })
}

/// Whether no kernel spills or takes too many registers.
pub(super) fn check(kernels: &[Kernel]) -> Result<()> {
    ensure!(!kernels.is_empty(), "no kernel was compiled to PTX");
    for Kernel { name, registers, spilled, .. } in kernels {
        ensure!(*spilled == 0, "the kernel {name} keeps {spilled} bytes in local memory; expected none");
        ensure!(
            *registers <= MOST_REGISTERS,
            "the kernel {name} takes {registers} registers a unit; expected {MOST_REGISTERS} at most"
        );
    }
    Ok(())
}

/// The kernels as a table in Markdown, as docs/gpu.md has it.
pub(super) fn table(kernels: &[Kernel]) -> String {
    let rows = kernels.iter().map(|Kernel { name, registers, spilled }| {
        format!(
            "| `{name}` | {registers} | {spilled} |
"
        )
    });
    let head = "| kernel | registers | bytes spilled |\n|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAYS: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'rms_norm' for 'sm_90a'
ptxas info    : Function properties for rms_norm
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compile time = 5.123 ms
";

    #[test]
    fn what_ptxas_prints_is_read() {
        let kernel = read("rms_norm".to_owned(), SAYS).expect("a kernel");
        assert_eq!(kernel, Kernel { name: "rms_norm".to_owned(), registers: 24, spilled: 0 });
        assert_eq!(read("rms_norm".to_owned(), "ptxas fatal"), None);
        check(&[kernel]).expect("within bounds");
    }

    #[test]
    fn a_kernel_that_spills_is_an_error() {
        let spilling = SAYS.replace(
            "0 bytes stack frame, 0 bytes spill stores",
            "8 bytes stack frame, 8 bytes spill stores",
        );
        let kernel = read("rms_norm".to_owned(), &spilling).expect("a kernel");
        let error = check(&[kernel]).expect_err("it spills").to_string();
        assert!(error.contains("rms_norm keeps 16 bytes"), "{error}");
        assert!(check(&[]).is_err());
    }
}
