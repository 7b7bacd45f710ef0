//! The `ruminate` binary: arguments, the terminal, and exit codes around the library of that name.

/// Prints to standard error, like the standard macros of these names, which they stand in for: by way of
/// [`terminal::say`], so that nothing of a file steers the terminal.
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::terminal::say(format_args!($($arg)*)) };
}

macro_rules! eprintln {
    () => {
        $crate::terminal::say(format_args!("\n"))
    };
    ($($arg:tt)*) => { eprint!("{}\n", format_args!($($arg)*)) };
}

mod args;
mod chat;
mod commands;
mod exit;
mod terminal;

use clap::Parser;
use ruminate::{ReportingAllocator, printable::steers};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ReportingAllocator = ReportingAllocator::new(exit::MEMORY);

fn main() -> ExitCode {
    if let Some(code) = ruminate::init() {
        return code;
    }
    ruminate::frontend::set(Box::new(terminal::Terminal));
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` come this way, too, and are no errors.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // It repeats arguments, among which are names of files that others chose (`ruminate verify *`).
            if std::env::args_os().any(|arg| arg.to_string_lossy().chars().any(steers)) {
                eprint!("{}", error.render());
            } else {
                let _ = error.print(); // without a terminal the code has to do
            }
            return ExitCode::from(code);
        }
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
