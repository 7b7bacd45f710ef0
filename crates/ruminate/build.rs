//! Records what this library is built from, for the run folders that it writes: the commit of its sources and the version
//! of Burn.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rustc-env=RUMINATE_COMMIT={}", git(&package, &["rev-parse", "HEAD"]).unwrap_or_default());
    if let Some(log) = git(&package, &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={}", package.join(log).display());
    }
    let lock = package.ancestors().map(|folder| folder.join("Cargo.lock")).find(|lock| lock.is_file());
    let burn = lock.as_deref().and_then(burn_version).unwrap_or_default();
    println!("cargo:rustc-env=RUMINATE_BURN={burn}");
    if let Some(lock) = lock {
        println!("cargo:rerun-if-changed={}", lock.display());
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// What git answers in this package; none where the sources lie in no repository.
fn git(package: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(package).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The version of Burn in a lock file.
fn burn_version(lock: &Path) -> Option<String> {
    let text = fs::read_to_string(lock).ok()?;
    let (_, after) = text.split_once("name = \"burn\"\n")?;
    let version = after.lines().next()?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}
