//! Runs a command that ends with a JSON line, ours or a peer's. A peer that cannot run is no error: its row says why.

use super::records::{Line, Outcome};
use crate::root;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `ruminate ARGS` with so many threads (None: one a core) and reads the last line of its output.
///
/// # Errors
/// When it fails: this is our own program.
pub(super) fn ours<T: serde::de::DeserializeOwned>(
    binary: &Path,
    args: &[OsString],
    threads: Option<usize>,
) -> Result<T> {
    let mut command = Command::new(binary);
    command.args(args).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let output = command.output().with_context(|| format!("cannot start {}", binary.display()))?;
    anyhow::ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    last_line(&output.stdout).with_context(|| format!("{command:?}"))
}

/// The same for a row of a table. A failure is told in its row, and in the exit code when all others are measured.
pub(super) fn row(binary: &Path, args: &[OsString], threads: Option<usize>) -> Outcome {
    match ours(binary, args, threads) {
        Ok(line) => Outcome::Measured(line),
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            let command: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
            Outcome::Failed(command.join(" "))
        }
    }
}

/// Runs a Python program of `bench/`.
pub(super) fn peer(python: &Path, script: &str, args: &[OsString]) -> Outcome {
    let mut command = Command::new(python);
    command.arg(Path::new("bench").join(script)).args(args).current_dir(root()).stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return not_measured(format!("cannot start {}: {error}", python.display())),
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        return not_measured(format!("{script}: {last}"));
    }
    match last_line::<Line>(&output.stdout) {
        Ok(line) => Outcome::Measured(line),
        Err(error) => not_measured(format!("{script}: {error:#}")),
    }
}

/// Loudly: a table that lacks its peer looks like one that needed none.
fn not_measured(why: String) -> Outcome {
    eprintln!("NOT MEASURED: {why}");
    Outcome::NotMeasured(why)
}

fn last_line<T: serde::de::DeserializeOwned>(stdout: &[u8]) -> Result<T> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().next_back().context("it printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("its last line is {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::{Outcome, last_line, peer};
    use crate::benchmarks::records::Line;
    use std::path::Path;

    #[test]
    fn the_last_line_counts() {
        let text = b"warming up\n{\"tokens_per_s\": 10.0, \"step_s\": 2.0, \"peak_gib\": null, \"dtype\": \"float32\"}\n";
        let line: Line = last_line(text).expect("a line");
        assert_eq!((line.tokens_per_s, line.peak_gib, line.parts.len()), (10.0, None, 0));
        assert!(last_line::<Line>(b"").is_err());
        assert!(format!("{:#}", last_line::<Line>(b"done").expect_err("no JSON")).contains("done"));
    }

    #[test]
    fn a_peer_that_cannot_run_is_not_measured_and_says_why() {
        let absent = peer(Path::new("/nonexistent/python"), "peer_generate.py", &[]);
        assert!(matches!(absent, Outcome::NotMeasured(why) if why.contains("/nonexistent/python")));
    }
}
