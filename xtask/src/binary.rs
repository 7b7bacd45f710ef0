//! Builds `target/release/ruminate` and becomes it. It reads two arguments, `--device` and a `--features` before the
//! command, and only as far as they decide which cargo features to compile in; whether the device exists is the binary's
//! business.

use crate::{cargo, root};
use anyhow::{Context, Result};
use lexopt::Arg::Long;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The cargo feature that the command's `--device` needs: none for the CPU, which is always compiled in, and none for
/// a device that does not exist, which the binary refuses with its own exit code.
pub(crate) fn features(args: &[OsString]) -> Option<&'static str> {
    let device = device(args)?;
    let kind = device.split(':').next()?; // `cuda:1` is the second GPU of the kind `cuda`
    ["cuda", "vulkan", "wgpu"].into_iter().find(|feature| *feature == kind)
}

/// Features that are asked for, `--features LIST` as cargo has it, and what is left for the binary. Only the first
/// argument is looked at: behind the command all are the binary's.
pub(crate) fn asked(args: &[OsString]) -> (Option<&str>, &[OsString]) {
    match args {
        [flag, list, rest @ ..] if flag == "--features" => (list.to_str(), rest),
        _ => (None, args),
    }
}

/// Builds the binary and returns where it lies. Without a change since the last build that is a fraction of a second.
pub(crate) fn build<'a>(features: impl IntoIterator<Item = &'a str>) -> Result<PathBuf> {
    let features = features.into_iter().flat_map(|features| ["--features", features]);
    let args = ["--release", "--package", "ruminate-cli"].into_iter().chain(features);
    let mut build = Command::new(cargo());
    build.arg("build").args(args).arg("--manifest-path").arg(root().join("Cargo.toml"));
    let status = build.status().context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "the build failed ({status}); cargo's messages are above");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release").join(format!("ruminate{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs the binary in place of this process, so that signals and the exit code are its own: Ctrl-C must reach a
/// trainer that saves before it ends, with nobody in between that dies first.
#[cfg(unix)]
pub(crate) fn become_it(path: &Path, args: &[OsString]) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(Command::new(path).args(args).exec().into()) // returns on failure only
}

/// Windows cannot replace a process: waits for the binary and passes its exit code on.
#[cfg(not(unix))]
pub(crate) fn become_it(path: &Path, args: &[OsString]) -> Result<ExitCode> {
    let status = Command::new(path).args(args).status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// The value of `--device D` or `--device=D`; the last one counts, as in the binary.
fn device(args: &[OsString]) -> Option<String> {
    let (mut parser, mut device) = (lexopt::Parser::from_args(args), None);
    while let Ok(Some(arg)) = parser.next() {
        if arg == Long("device") {
            device = parser.value().ok().or(device); // the binary says what is missing
        } else {
            parser.optional_value(); // behind an equals sign
        }
    }
    device.map(|device| device.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features_of(line: &str) -> Option<&'static str> {
        features(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn features_before_the_command_are_cargos() {
        let args: Vec<OsString> = ["--features", "hub", "eval", "--features"].map(OsString::from).into();
        assert_eq!(asked(&args), (Some("hub"), &args[2..]));
        assert_eq!(asked(&args[2..]), (None, &args[2..]));
        assert_eq!(asked(&args[..1]), (None, &args[..1]), "the binary says what is wrong");
    }

    #[test]
    fn only_a_gpu_device_asks_for_a_feature() {
        for (line, expected) in [
            ("train-rl", None),
            ("train-rl --device flex", None),
            ("train-rl --device cuda", Some("cuda")),
            ("train-rl recipe.toml --device cuda:1 --set seed=2", Some("cuda")),
            ("eval --device=vulkan:0", Some("vulkan")),
            ("eval --set=seed=2 --device cuda", Some("cuda")),
            ("eval --device cuda --device", Some("cuda")),
            ("eval --device wgpu", Some("wgpu")),
            ("eval --device cuda --device flex", None),
            ("generate -- --device cuda", None),
            ("eval --device", None), // the binary says what is missing
            ("eval --device tpu", None),
        ] {
            assert_eq!(features_of(line), expected, "{line}");
        }
    }
}
