//! `cargo xtask COMMAND ...`: builds the `ruminate` binary with the features that the command needs and becomes it.
//! Its own commands are `ci`, `benchmarks`, `gpu`, `recipe-keys`, `sanitize` and `check-vllm`. All others go to the binary, which refuses unknown ones.

/// Prints to standard error, like the standard macros of these names, which they stand in for. Those panic
/// where the reader has gone (`2>&1 | tee log`, and `tee` is killed), and a run must not die of that.
macro_rules! eprint {
    ($($arg:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!($($arg)*));
    }};
}

macro_rules! eprintln {
    ($($arg:tt)*) => { eprint!("{}\n", format_args!($($arg)*)) };
}

mod benchmarks;
mod binary;
mod check_vllm;
mod ci;
mod gpu;
mod sanitize;

use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&std::env::args_os().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<ExitCode> {
    if args.first().is_some_and(|command| command == "ci") {
        return ci::run(&args[1..]);
    }
    if args.first().is_some_and(|command| command == "benchmarks") {
        return benchmarks::run(&args[1..]);
    }
    if args.first().is_some_and(|command| command == "gpu") {
        return gpu::run(&args[1..]);
    }
    if args.first().is_some_and(|command| command == "sanitize") {
        return sanitize::run(&args[1..]);
    }
    if args.first().is_some_and(|command| command == "check-vllm") {
        return check_vllm::run(&args[1..]);
    }
    if args.first().is_some_and(|command| command == "recipe-keys") {
        return recipe_keys(&args[1..]);
    }
    let (asked, args) = binary::asked(args);
    let path = binary::build(asked.into_iter().chain(binary::features(args)))?;
    binary::become_it(&path, args).with_context(|| format!("cannot start {}", path.display()))
}

/// Writes docs/recipe.md. What writes it is part of tidy, which compares the page: so is the parser of Rust that it needs, and
/// the first build of `cargo xtask` goes without.
fn recipe_keys(args: &[OsString]) -> Result<ExitCode> {
    ensure!(args.is_empty(), "`cargo xtask recipe-keys` takes no arguments");
    let mut tidy = std::process::Command::new(cargo());
    tidy.args(["test", "--quiet", "--package", "xtask", "--test", "tidy", "the_page_of_a_recipes_keys"]);
    let status = tidy
        .env("XTASK_WRITE_RECIPE_KEYS", "1")
        .current_dir(root())
        .status()
        .context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The root of the workspace: this package lies in it.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that started us, so that a nested build uses the same toolchain.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
