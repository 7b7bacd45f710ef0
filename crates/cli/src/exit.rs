//! Errors to exit codes: the one place that knows them.

use ruminate::{Error, ErrorKind};
use std::process::ExitCode;
use std::{fmt, io};

pub(crate) const USAGE: u8 = 2;
pub(crate) const MEMORY: u8 = 9;
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended: an error of the library, or a message of its own with its code.
#[derive(Debug)]
pub(crate) enum Failure {
    Library(Error),
    /// Arguments.
    Usage(String),
    /// A line of the input.
    Input(String),
    /// Standard output, which could not be written.
    Output(io::Error),
    /// This program's own file, which cannot be found to start stages.
    Program(io::Error),
    /// Everything has been printed; the code of a stage, or of a check that failed.
    Code(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Usage(message) | Self::Input(message) => f.write_str(message),
            Self::Output(error) => write!(f, "cannot write standard output: {error}"),
            Self::Program(error) => write!(f, "cannot find this program's own file: {error}"),
            Self::Code(code) => write!(f, "exit code {code}"),
        }
    }
}

/// Prints the error on standard error and returns its exit code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    let code = code(failure);
    if code != 0 && !matches!(failure, Failure::Code(_)) {
        eprintln!("ruminate: {failure}");
    }
    ExitCode::from(code)
}

fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::Library(error) => code_of(error.kind()),
        Failure::Usage(_) => USAGE,
        Failure::Program(_) => 1,
        Failure::Code(code) => *code,
        Failure::Input(_) => code_of(ErrorKind::Input),
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Failure::Output(_) => code_of(ErrorKind::Disk),
    }
}

/// docs/cli.md has the table.
fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Closed => 0,
        ErrorKind::Usage => USAGE,
        ErrorKind::Input => 3,
        ErrorKind::Checkpoint => 4,
        ErrorKind::NonFinite => 5,
        ErrorKind::Engine => 6,
        ErrorKind::Disk => 7,
        ErrorKind::Alarm => 8,
        ErrorKind::Memory => MEMORY,
        ErrorKind::Interrupted => INTERRUPTED,
        _ => 1,
    }
}
