//! The Python wheel of integrations/python: built into a virtual environment of its own, and tested there.

use super::{remove, succeeds};
use crate::root;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What builds wheels; pyproject.toml names it, too.
const MATURIN: &str = "maturin>=1.9,<2";

/// Builds the wheel and runs its tests, where Python, pip and maturin can be had.
pub(super) fn check() -> Result<()> {
    let work = std::env::temp_dir().join(format!("ruminate-python-{}", std::process::id()));
    let venv = work.join("venv");
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let quietly = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let has_python = quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let pip = |what: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(what);
        command
    };
    if !has_python || !quietly(&mut pip(&[MATURIN])) {
        let lacks =
            if has_python { "pip cannot install maturin" } else { "python3 with venv and pip is missing" };
        eprintln!(
            "SKIPPED: {lacks}, so the Python wheel of integrations/python was neither built nor tested. To run this step, install \
             Python 3.10 or later with venv and pip, and let pip reach an index."
        );
        return remove(&work);
    }
    let source = root().join("integrations/python");
    let wheels = work.join("wheels");
    let mut build = Command::new(&python);
    build
        .args(["-m", "maturin", "build", "--profile", "dev", "--out"])
        .arg(&wheels)
        .arg("--interpreter")
        .arg(&python);
    succeeds(build.current_dir(&source).env("CARGO_TARGET_DIR", root().join("target/python")))?;
    succeeds(pip(&["--no-index", "--no-deps"]).arg(wheel(&wheels)?))?;
    succeeds(Command::new(&python).arg(source.join("tests/test_verify.py")).current_dir(&work))?;
    remove(&work)
}

/// The one wheel of a folder, which must take every Python from 3.10 on.
fn wheel(folder: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let wheels: Vec<_> = files.flatten().map(|file| file.path()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(
        wheels.len() == 1 && name(&wheels[0]).contains("-cp310-abi3-"),
        "expected one wheel for cp310-abi3, found {:?}",
        wheels.iter().map(name).collect::<Vec<_>>()
    );
    Ok(wheels[0].clone())
}
