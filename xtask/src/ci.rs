//! `cargo xtask ci`: every check of the project, cheapest first, each with its time. The last ones train, and must learn,
//! survive being killed, and compute the same on Vulkan; it reads `eval.jsonl` like any user.

mod package;
mod python;
mod resumes;

use crate::{binary, cargo, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How much sampled pass@1 on held-out problems must rise in the end-to-end run. Its recipe is much shorter than the
/// default one; it rises by a quarter where it was tuned, other processors round otherwise, and without learning the
/// difference is noise of a few hundredths.
const MUST_RISE: f64 = 0.12;

/// A step of CI.
struct Step {
    name: &'static str,
    check: fn() -> Result<()>,
}

const STEPS: [Step; 13] = [
    Step { name: "format", check: || cargo_step(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", check: || cargo_step(&["test", "--quiet", "--package", "xtask"]) },
    Step { name: "deny", check: deny },
    Step {
        name: "clippy",
        check: || cargo_step(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    },
    Step { name: "test", check: || cargo_step(&["test", "--workspace"]) },
    Step { name: "backend", check: second_backend },
    Step { name: "network", check: network },
    Step { name: "docs", check: docs },
    Step { name: "package", check: package::check },
    Step { name: "python", check: python::check },
    Step { name: "learns", check: learns },
    Step { name: "resumes", check: resumes::check },
    Step { name: "vulkan", check: vulkan },
];

/// Runs the steps in their order up to the first that fails, and prints the table of times. Arguments name the only ones
/// to run.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let names = STEPS.map(|step| step.name);
    for arg in args {
        ensure!(
            names.iter().any(|name| arg == name),
            "`cargo xtask ci` runs all of its steps, or those that are named: {}; found `{}`",
            names.join(", "),
            arg.display()
        );
    }
    let mut times = Vec::new();
    for Step { name, check } in STEPS {
        if !args.is_empty() && !args.iter().any(|arg| arg == name) {
            continue;
        }
        eprintln!("==> {name}");
        let start = Instant::now();
        let outcome = check();
        times.push((name, start.elapsed()));
        if let Err(error) = outcome {
            eprint!("{}", table(&times));
            return Err(error.context(format!("the step `{name}` failed")));
        }
    }
    eprint!("{}", table(&times));
    Ok(ExitCode::SUCCESS)
}

/// Whether operations run on a backend beside the CPU's, which has a form of few of them.
fn second_backend() -> Result<()> {
    // Burn is built once more for it, with other features: as quickly as it can be.
    let quick =
        ["--config", "profile.dev.package.\"*\".opt-level=0", "test", "--package", "ruminate-kernels"];
    cargo_step(&[&quick[..], &["--features", "second-backend", "--lib", "backend::ndarray"]].concat())
}

/// What is linked: licences, sources and banned packages by `cargo deny`, where it is installed, and known vulnerabilities
/// where a copy of the database is on this machine. Tidy has checked the licences anyway.
fn deny() -> Result<()> {
    if !cargo_command(&["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: cargo-deny is not installed, so sources, banned packages and advisories were not checked. To run this \
             step: cargo install cargo-deny --locked"
        );
        return Ok(());
    }
    for workspace in WORKSPACES {
        cargo_step(&["deny", "--manifest-path", workspace, "check", "licenses", "bans", "sources"])?;
    }
    if !cargo_home().is_some_and(|home| has_advisories(&home)) {
        eprintln!(
            "SKIPPED: no database of advisories on this machine, so known vulnerabilities were not looked for. To have one: \
             cargo deny fetch db"
        );
        return Ok(());
    }
    for workspace in WORKSPACES {
        cargo_step(&["deny", "--offline", "--manifest-path", workspace, "check", "advisories"])?;
    }
    Ok(())
}

/// What has a lock file of its own. `cargo deny` finds `deny.toml` in a folder above.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "integrations/python/Cargo.toml"];

/// Whether `cargo deny` has fetched its database: `advisory-dbs/NAME-HASH` with something in it.
fn has_advisories(cargo_home: &Path) -> bool {
    let Ok(databases) = fs::read_dir(cargo_home.join("advisory-dbs")) else { return false };
    databases.flatten().any(|entry| fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_some()))
}

/// Downloads, and teachers that are servers, are behind features, and tested against a server on this machine. `--workspace`
/// keeps the features that Burn was compiled with for the step before.
fn network() -> Result<()> {
    let features = ["--features", "hub,remote"];
    let clippy = ["clippy", "--workspace", "--all-targets"];
    cargo_step(&[&clippy[..], &features, &["--", "--deny", "warnings"]].concat())?;
    cargo_step(&[&["test", "--workspace"], &features[..], &["--test", "hub", "--test", "remote"]].concat())
}

fn docs() -> Result<()> {
    succeeds(cargo_command(&["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Trains by `recipes/ci.toml` in a temporary run folder, which stays when the check fails.
fn learns() -> Result<()> {
    let out = std::env::temp_dir().join(format!("ruminate-ci-{}", std::process::id()));
    let path = binary::build(None)?;
    let recipe = root().join("recipes/ci.toml");
    succeeds(Command::new(path).arg("train-rl").arg(recipe).arg("--out").arg(&out))?;
    let log = out.join("eval.jsonl");
    let rows = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    has_learnt(&rows).with_context(|| format!("{}", log.display()))?;
    remove(&out)
}

/// Trains on Vulkan where a driver is, be it one that computes on the CPU.
fn vulkan() -> Result<()> {
    if !vulkan_driver_installed(&|path| fs::read_dir(path).is_ok_and(|mut files| files.next().is_some())) {
        eprintln!(
            "SKIPPED: no Vulkan driver on this machine, so nothing was run on Vulkan. To run this step, install one; \
             Debian's and Ubuntu's mesa-vulkan-drivers computes on the CPU."
        );
        return Ok(());
    }
    let args = ["test", "--release", "--package", "ruminate-cli", "--features", "vulkan", "--test", "vulkan"];
    cargo_step(&args)
}

/// Whether a place where drivers announce themselves to the Vulkan loader holds something.
pub(crate) fn vulkan_driver_installed(filled: &dyn Fn(&Path) -> bool) -> bool {
    ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .any(|folder| filled(Path::new(folder)))
}

/// Whether pass@1 of the main set rose from the first evaluation to the last.
fn has_learnt(eval_jsonl: &str) -> Result<()> {
    let mut rates = Vec::new();
    for (number, line) in eval_jsonl.lines().enumerate() {
        let row: Value = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        if row["set"] == "validation" {
            rates.push(row["pass@1"].as_f64().with_context(|| format!("line {}: no pass@1", number + 1))?);
        }
    }
    ensure!(rates.len() >= 2, "expected rows of validation before and after training, found {}", rates.len());
    let (before, after) = (rates[0], rates[rates.len() - 1]);
    eprintln!("pass@1 on held-out problems: {before:.3} -> {after:.3}");
    ensure!(
        after - before >= MUST_RISE,
        "pass@1 went from {before:.3} to {after:.3}; expected a rise of at least {MUST_RISE}"
    );
    Ok(())
}

fn cargo_step(args: &[&str]) -> Result<()> {
    succeeds(&mut cargo_command(args))
}

/// The folder in which cargo keeps what it downloads.
fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn cargo_command(args: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(args).current_dir(root());
    command
}

fn succeeds(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn table(times: &[(&str, Duration)]) -> String {
    let total = times.iter().map(|(_, time)| *time).sum();
    let line = |(name, time): &(&str, Duration)| format!("{name:<8}{:>8.1} s\n", time.as_secs_f64());
    times.iter().chain([&("total", total)]).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_of_the_main_set_is_learning() {
        let rows = r#"{"step": 0, "set": "validation", "pass@1": 0.2}
{"step": 0, "set": "validation/empty_thought", "pass@1": 0.9}
{"step": 60, "set": "validation", "pass@1": 0.5}
{"step": 60, "set": "validation/empty_thought", "pass@1": 0.0}"#;
        has_learnt(rows).expect("0.2 to 0.5");
    }

    #[test]
    fn standing_still_one_evaluation_and_a_broken_log_are_not() {
        let flat = "{\"set\": \"validation\", \"pass@1\": 0.2}\n{\"set\": \"validation\", \"pass@1\": 0.25}";
        let single = "{\"set\": \"validation\", \"pass@1\": 0.9}";
        for (rows, says) in [(flat, "0.200 to 0.250"), (single, "found 1"), ("", "found 0"), ("{", "line 1")]
        {
            let message = format!("{:#}", has_learnt(rows).expect_err("nothing was learnt"));
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_step_that_there_is_not_is_refused_with_those_that_there_are() {
        let error = run(&["clipy".into()]).expect_err("no such step");
        assert!(error.to_string().contains("clippy"), "{error}");
    }

    #[test]
    fn a_driver_in_any_of_the_loaders_folders_is_found() {
        assert!(vulkan_driver_installed(&|path| path == Path::new("/etc/vulkan/icd.d")));
        assert!(!vulkan_driver_installed(&|path| path == Path::new("/etc")));
    }

    #[test]
    fn advisories_are_a_folder_that_holds_something() {
        let home = tempfile::tempdir().expect("a folder");
        assert!(!has_advisories(home.path()));
        fs::create_dir_all(home.path().join("advisory-dbs/advisory-db-3157b0e258782691")).expect("made");
        assert!(!has_advisories(home.path()));
        fs::create_dir(home.path().join("advisory-dbs/advisory-db-3157b0e258782691/crates")).expect("made");
        assert!(has_advisories(home.path()));
    }

    #[test]
    fn the_table_ends_with_the_total() {
        let times = [("format", Duration::from_millis(400)), ("test", Duration::from_secs(90))];
        assert_eq!(table(&times), "format       0.4 s\ntest        90.0 s\ntotal       90.4 s\n");
    }
}
