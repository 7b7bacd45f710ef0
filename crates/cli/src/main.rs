//! The `ruminate` binary. Here the text column meets the tensor column: commands decode what policies write, judge
//! it, and hand verdicts to trainers that know token ids only.
//!
//! A command reads as: arguments ([`args`]), a resolved [`recipe`], a [`device`], a policy with its language
//! ([`policy`]), the algorithm of a library crate, and an [`observer`] that writes the run folder.

/// Tells people something on standard error, like the standard macros of these names, which they stand in for: by way of
/// [`screen::say`], so that nothing of a file steers the terminal.
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::screen::say(format_args!($($arg)*)) };
}

macro_rules! eprintln {
    () => {
        $crate::screen::say(format_args!("\n"))
    };
    ($($arg:tt)*) => { eprint!("{}\n", format_args!($($arg)*)) };
}

mod alarms;
mod announce;
mod args;
mod commands;
mod completions;
mod device;
mod doctor;
mod ends;
mod evaluate;
mod exit;
mod folders;
mod held_out;
mod hub;
mod identity;
mod interrupt;
mod language;
mod lines;
mod logs;
mod machine;
mod observer;
mod out_of_memory;
mod outputs;
mod policy;
mod preamble;
mod problems;
mod progress;
mod rates;
mod recipe;
mod renderer;
mod room;
mod samples;
mod scoring;
mod screen;
mod session;
mod stage;
mod starts;
mod story;
mod tokens;
mod trust;
mod watch;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // First, while there is one thread: a sandbox's helper is this binary, started again.
    if let Some(code) = ruminate_sandbox::helper_main() {
        return code;
    }
    ruminate_model::keep_freed_memory();
    ruminate_text::silence_caught_panics();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` come this way, too, and are no errors.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // It repeats arguments, among which are names of files that others chose (`ruminate verify *`).
            if std::env::args_os().any(|arg| arg.to_string_lossy().chars().any(screen::steers)) {
                eprint!("{}", error.render());
            } else {
                let _ = error.print(); // with no terminal to tell, the code has to do
            }
            return ExitCode::from(code);
        }
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
