//! `cargo xtask sanitize`: the tests of what has `unsafe` or threads under Miri and under the compiler's
//! sanitizers. They need a nightly toolchain and build all dependencies again, so nothing runs them but this command;
//! a step whose tools are missing says so and is skipped.

use crate::root;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask sanitize [STEP]...

  miri      the index arithmetic, packing and transposes of kernels, interpreted
  address   AddressSanitizer: the tests of kernels and rollout, the unit tests of reward and sandbox
  thread    ThreadSanitizer: products of kernels, the tests of rollout, the unit tests of reward and sandbox

Without a STEP all of them. Each needs `rustup toolchain install nightly --component miri,rust-src`, and builds
in a folder of its own, target/sanitize/STEP.";

/// What installs all that the steps need.
const INSTALL: &str = "rustup toolchain install nightly --component miri,rust-src";

/// A step, with what a nightly toolchain needs for it.
struct Step {
    name: &'static str,
    /// Files of the toolchain, relative to its root, where `HOST` stands for the target.
    needs: &'static [&'static str],
    /// Compiler flags.
    flags: &'static str,
    /// Arguments of cargo, one run each.
    runs: &'static [&'static [&'static str]],
}

const SOURCES: &str = "lib/rustlib/src/rust/library/Cargo.lock";

const STEPS: [Step; 3] = [
    Step {
        name: "miri",
        needs: &["bin/miri", "bin/cargo-miri", SOURCES],
        flags: "",
        runs: &[&[
            "miri",
            "test",
            "-p",
            "ruminate-kernels",
            "--lib",
            "--",
            "under_miri",
            "gemm::shared_output",
            "gemm::matrix",
        ]],
    },
    Step {
        name: "address",
        needs: &["lib/rustlib/HOST/lib/librustc-nightly_rt.asan.a"],
        flags: "-Zsanitizer=address",
        runs: &[
            // Not the sandbox's integration tests, which limit address space: the sanitizer takes terabytes of it.
            &["test", "--target", "HOST", "-p", "ruminate-reward", "-p", "ruminate-sandbox", "--lib"],
            // Not the tests of memory.rs: they are about glibc's allocator, which the sanitizer takes the place of.
            &[
                "test",
                "--target",
                "HOST",
                "-p",
                "ruminate-kernels",
                "--lib",
                "--tests",
                "--",
                "--skip",
                "a_large_block_is_taken_again_without_the_kernel",
                "--skip",
                "threads_take_what_other_threads_have_freed",
            ],
            &["test", "--target", "HOST", "-p", "ruminate-rollout", "--lib", "--tests"],
        ],
    },
    Step {
        name: "thread",
        needs: &["lib/rustlib/HOST/lib/librustc-nightly_rt.tsan.a", SOURCES],
        flags: "-Zsanitizer=thread",
        // In a standard library that was not compiled for it the sanitizer does not see what is synchronised.
        runs: &[
            &[
                "test",
                "-Zbuild-std",
                "--target",
                "HOST",
                "-p",
                "ruminate-reward",
                "-p",
                "ruminate-sandbox",
                "--lib",
            ],
            // Not the test that runs all tests of the crate again, of which most have no products.
            &[
                "test",
                "-Zbuild-std",
                "--target",
                "HOST",
                "-p",
                "ruminate-kernels",
                "--lib",
                "--",
                "cpu::",
                "--skip",
                "all_tests_of_this_crate_pass_without_vector_instructions",
            ],
            &["test", "-Zbuild-std", "--target", "HOST", "-p", "ruminate-rollout", "--lib", "--tests"],
        ],
    },
];

/// Runs the steps that are named, or all, up to the first that fails.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        eprintln!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    for arg in args {
        let known = STEPS.iter().any(|step| arg == step.name);
        ensure!(known, "`cargo xtask sanitize` has no step `{}`\n\n{USAGE}", arg.display());
    }
    let toolchain = Toolchain::nightly();
    for step in STEPS.iter().filter(|step| args.is_empty() || args.iter().any(|arg| arg == step.name)) {
        eprintln!("==> {}", step.name);
        let missing = match &toolchain {
            Some(toolchain) => toolchain.missing(step, &|file| file.exists()),
            None => Some("there is no nightly toolchain".to_owned()),
        };
        match (&toolchain, missing) {
            (Some(toolchain), None) => {
                toolchain.run(step).with_context(|| format!("the step `{}` failed", step.name))?;
            }
            (_, missing) => eprintln!(
                "SKIPPED: {}, so nothing was run. To run this step: {INSTALL}",
                missing.unwrap_or_default()
            ),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An installed nightly toolchain.
struct Toolchain {
    /// Its folder.
    root: PathBuf,
    /// The target that it runs on.
    host: String,
}

impl Toolchain {
    fn nightly() -> Option<Self> {
        let rustc = |args: &[&str]| {
            let output = Command::new("rustup").args(["run", "nightly", "rustc"]).args(args).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let root = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        let version = rustc(&["--version", "--verbose"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned();
        Some(Self { root, host })
    }

    /// What the step needs and the toolchain lacks.
    fn missing(&self, step: &Step, exists: &dyn Fn(&Path) -> bool) -> Option<String> {
        let files = step.needs.iter().map(|file| self.root.join(file.replace("HOST", &self.host)));
        let file = files.into_iter().find(|file| !exists(file))?;
        Some(format!("the nightly toolchain has no {}", file.display()))
    }

    fn run(&self, step: &Step) -> Result<()> {
        for args in step.runs {
            let mut command = self.command(step, args);
            let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
            ensure!(status.success(), "{command:?} ended with {status}");
        }
        Ok(())
    }

    fn command(&self, step: &Step, args: &[&str]) -> Command {
        let mut command = Command::new("rustup");
        command
            .args(["run", "nightly", "cargo"])
            // With few optimisations, as sanitizers are meant to be used: Burn alone takes minutes to optimise.
            .args(["--config", "profile.dev.package.\"*\".opt-level=1"])
            .args(args.iter().map(|arg| arg.replace("HOST", &self.host)));
        command.current_dir(root()).env("CARGO_TARGET_DIR", root().join("target/sanitize").join(step.name));
        // What the cargo that started us would have its children use.
        command.env_remove("RUSTC").env_remove("RUSTDOC").env("RUSTFLAGS", step.flags);
        // The pool of threads is never told to end, and what it holds is no leak. Its queues (crossbeam-epoch) keep
        // the rules of Tree Borrows, not those of Stacked Borrows.
        command.env(
            "MIRIFLAGS",
            "-Zmiri-ignore-leaks -Zmiri-disable-isolation -Zmiri-permissive-provenance -Zmiri-tree-borrows",
        );
        // Miri would interpret the printing of them, for minutes.
        command.env("RUST_BACKTRACE", "0");
        command.env("ASAN_OPTIONS", "detect_leaks=0").env("TSAN_OPTIONS", "halt_on_error=1");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain { root: PathBuf::from("/toolchain"), host: "x86_64-unknown-linux-gnu".to_owned() }
    }

    fn step(name: &str) -> &'static Step {
        STEPS.iter().find(|step| step.name == name).expect("a step of this name")
    }

    #[test]
    fn a_step_that_there_is_not_is_refused_with_those_that_there_are() {
        let error = run(&["adress".into()]).expect_err("no such step").to_string();
        assert!(error.contains("`adress`") && STEPS.iter().all(|step| error.contains(step.name)), "{error}");
    }

    #[test]
    fn a_component_that_is_missing_is_named() {
        let without = |component: &'static str| move |file: &Path| !file.ends_with(component);
        assert_eq!(toolchain().missing(step("miri"), &|_| true), None);
        let missing = toolchain().missing(step("miri"), &without("cargo-miri"));
        assert_eq!(missing.as_deref(), Some("the nightly toolchain has no /toolchain/bin/cargo-miri"));
        let missing = toolchain()
            .missing(step("thread"), &without("librustc-nightly_rt.tsan.a"))
            .expect("it lacks one");
        assert!(missing.contains("rustlib/x86_64-unknown-linux-gnu/lib"), "{missing}");
    }

    /// The module of each file below `folder` of kernels, with its text.
    fn modules(folder: &Path, name: &str, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            let name = if stem == "mod" { name.to_owned() } else { format!("{name}{stem}::") };
            if path.is_dir() {
                modules(&path, &name, found);
            } else {
                found.push((name, std::fs::read_to_string(&path).expect("text")));
            }
        }
    }

    #[test]
    fn what_a_step_selects_or_skips_is_there() {
        let mut found = Vec::new();
        modules(&root().join("crates/kernels/src"), "", &mut found);
        modules(&root().join("crates/kernels/tests"), "", &mut found);
        let runs = STEPS.iter().flat_map(|step| step.runs);
        for args in runs.filter_map(|args| args.split(|arg| *arg == "--").nth(1)) {
            let mut names = args.iter();
            while let Some(&name) = names.next() {
                let is_there = if name == "--skip" {
                    let test = format!("fn {}(", names.next().expect("the name of a test"));
                    found.iter().any(|(_, text)| text.contains(&test))
                } else {
                    let tested =
                        |(module, text): &(String, String)| module.contains(name) && text.contains("#[test]");
                    found.iter().any(tested)
                };
                assert!(is_there, "kernels has no tests for {name} of {args:?}");
            }
        }
    }

    #[test]
    fn a_sanitizer_gets_its_flag_its_target_and_a_folder_of_its_own() {
        let step = step("address");
        let command = toolchain().command(step, step.runs[0]);
        let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let target = args.iter().position(|arg| arg == "--target").expect("a target");
        assert_eq!(args[target + 1], "x86_64-unknown-linux-gnu");
        let set = |name: &str| {
            let value = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
        };
        assert_eq!(set("RUSTFLAGS"), "-Zsanitizer=address");
        assert!(set("CARGO_TARGET_DIR").ends_with("target/sanitize/address"), "{}", set("CARGO_TARGET_DIR"));
    }
}
