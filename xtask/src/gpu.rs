//! `cargo xtask gpu`: the kernels for GPUs, tested without one: on CubeCL's CPU runtime, on a Vulkan driver where there is
//! one, and compiled for Hopper. With a GPU: on that. It builds Burn with other features, in a folder of its own, so that
//! nothing runs it but this command.

mod ptx;

use crate::ci::vulkan_driver_installed;
use crate::{cargo, root};
use anyhow::{Context, Result, ensure};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: cargo xtask gpu [--device cuda] [--fetch-ptxas]

Runs the tests of kernels' folder backend/cube, and prints a table of what ran and what was left out:

  cpu     on CubeCL's CPU runtime
  vulkan  on a Vulkan driver, be it one that computes on the CPU (Debian's mesa-vulkan-drivers)
  ptx     every kernel compiled to PTX for Hopper and by ptxas: registers and spills (none are allowed)

  --device cuda   on an NVIDIA GPU in place of these
  --fetch-ptxas   downloads NVIDIA's compiler (the wheel nvidia-cuda-nvcc-cu12, 40 MB, by pip) into target/gpu, under
                  NVIDIA's licence; otherwise ptx needs the variable CUDA_PATH, a toolkit of 12.9 or newer

It builds in target/gpu. Building needs the LLVM bundle that CubeCL's build script downloads from GitHub.";

/// Where it builds, relative to the root.
const FOLDER: &str = "target/gpu";

/// A line of the table.
struct Line {
    name: &'static str,
    outcome: String,
    time: Duration,
}

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    cuda: bool,
    fetch_ptxas: bool,
    help: bool,
}

impl Asked {
    fn parse(args: &[OsString]) -> Result<Self> {
        let mut asked = Self::default();
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("help") | Short('h') => asked.help = true,
                Long("fetch-ptxas") => asked.fetch_ptxas = true,
                Long("device") => {
                    let device = parser.value()?;
                    ensure!(
                        device == "cuda",
                        "--device {}: expected `cuda`; without it the devices that every machine has are tested",
                        device.display()
                    );
                    asked.cuda = true;
                }
                other => return Err(other.unexpected()).context(USAGE),
            }
        }
        ensure!(
            !(asked.cuda && asked.fetch_ptxas),
            "--fetch-ptxas is for machines without a GPU: leave one out"
        );
        Ok(asked)
    }
}

/// Runs what is asked for, and prints the table.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let asked = Asked::parse(args)?;
    if asked.help {
        eprintln!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = Vec::new();
    let outcome = if asked.cuda { on_cuda(&mut lines) } else { without_gpu(&mut lines, asked.fetch_ptxas) };
    eprint!("{}", table(&lines));
    outcome.map(|()| ExitCode::SUCCESS)
}

fn on_cuda(lines: &mut Vec<Line>) -> Result<()> {
    timed(lines, "cuda", || tests(&["cube-cpu", "cuda"], "cuda", "backend::cube", &[]))
}

fn without_gpu(lines: &mut Vec<Line>, fetch_ptxas: bool) -> Result<()> {
    let filled = |path: &std::path::Path| fs::read_dir(path).is_ok_and(|mut files| files.next().is_some());
    let has_vulkan = vulkan_driver_installed(&filled);
    // One build for all of them.
    let features: &[&str] = if has_vulkan { &["cube-cpu", "wgpu"] } else { &["cube-cpu"] };
    timed(lines, "cpu", || tests(features, "cpu", "backend::cube", &[]))?;
    if has_vulkan {
        timed(lines, "vulkan", || tests(features, "wgpu", "backend::cube", &[]))?;
    } else {
        skipped(lines, "vulkan", "no Vulkan driver; Debian's mesa-vulkan-drivers computes on the CPU");
    }
    let Some(toolkit) = ptx::toolkit(&folder(), fetch_ptxas)? else {
        skipped(lines, "ptx", "no ptxas: CUDA_PATH names no toolkit, and --fetch-ptxas was not given");
        return Ok(());
    };
    let mut kernels = Vec::new();
    timed(lines, "ptx", || {
        let written = folder().join("ptx");
        fs::create_dir_all(&written).with_context(|| format!("cannot make {}", written.display()))?;
        let variables = [("CUDA_PATH", toolkit.as_os_str()), ("RUMINATE_PTX_DIR", written.as_os_str())];
        tests(features, "cpu", "backend::cube::tests::ptx", &variables)?;
        kernels = ptx::assembled(&toolkit, &written)?;
        ptx::check(&kernels)?;
        Ok(format!("{} kernels for sm_90a, none spills", kernels.len()))
    })?;
    eprint!("{}", ptx::table(&kernels));
    Ok(())
}

/// Runs tests of kernels with these features on a device, and says how many passed.
fn tests(
    features: &[&str],
    device: &str,
    filter: &str,
    variables: &[(&str, &std::ffi::OsStr)],
) -> Result<String> {
    let mut command = Command::new(cargo());
    // Burn is built as quickly as can be: these tests compute little.
    command.args([
        "--config",
        "profile.dev.package.\"*\".opt-level=0",
        "test",
        "--package",
        "ruminate-kernels",
    ]);
    command.args(["--features", &features.join(","), "--lib", filter]);
    command.current_dir(root()).env("CARGO_TARGET_DIR", folder()).env("RUMINATE_KERNELS_DEVICE", device);
    command.envs(variables.iter().copied()).stdout(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprint!("{text}");
    }
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    let passed = passed(&text).with_context(|| format!("no result of tests in:\n{text}"))?;
    ensure!(passed > 0, "no test is named {filter}");
    Ok(format!("{passed} tests passed"))
}

/// The number of tests that libtest says have passed.
fn passed(output: &str) -> Option<usize> {
    let result = output.lines().find_map(|line| line.strip_prefix("test result: ok. "))?;
    result.split(' ').next()?.parse().ok()
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}

fn timed(lines: &mut Vec<Line>, name: &'static str, work: impl FnOnce() -> Result<String>) -> Result<()> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let (outcome, result) = match work() {
        Ok(outcome) => (outcome, Ok(())),
        Err(error) => ("FAILED".to_owned(), Err(error.context(format!("`{name}` failed")))),
    };
    lines.push(Line { name, outcome, time: start.elapsed() });
    result
}

fn skipped(lines: &mut Vec<Line>, name: &'static str, reason: &str) {
    eprintln!("==> {name}\nSKIPPED: {reason}");
    lines.push(Line { name, outcome: format!("SKIPPED: {reason}"), time: Duration::ZERO });
}

fn table(lines: &[Line]) -> String {
    let mut table = String::new();
    for Line { name, outcome, time } in lines {
        let _ = writeln!(table, "{name:<8}{:>8.1} s  {outcome}", time.as_secs_f64()); // a String takes all
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str]) -> Result<Asked> {
        Asked::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_device_that_is_not_tested_and_a_download_beside_a_gpu_are_refused() {
        assert_eq!(asked(&[]).expect("nothing is needed"), Asked::default());
        assert!(asked(&["--device", "cuda"]).expect("known").cuda);
        for (args, says) in [
            (&["--device", "tpu"][..], "--device tpu"),
            (&["--device", "cuda", "--fetch-ptxas"], "leave one out"),
            (&["vulkan"], "usage:"),
        ] {
            let message = format!("{:#}", asked(args).expect_err("refused"));
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn the_tests_that_passed_are_counted() {
        let output =
            "running 3 tests\n...\ntest result: ok. 3 passed; 0 failed; 0 ignored; 12 filtered out\n";
        assert_eq!(passed(output), Some(3));
        assert_eq!(passed("test result: FAILED. 2 passed; 1 failed"), None);
    }
}
