//! What fuzz targets reach of this kind without running a program; compiled for them alone.

use super::languages::Language;
use super::tests::Tests;
use super::{output, program};
use crate::verifier::Response;
use ruminate_data::Task;
use ruminate_sandbox::{Ended, Ending, Limits};

pub use super::judge::fuzzing::passed;

/// The program of a response to a task.
///
/// # Errors
/// What is wrong with the task or the response, in words.
pub fn read(task: &Task, response: &Response<'_>) -> Result<String, String> {
    let tests = Tests::of(task)?;
    let language = match &tests {
        Tests::Cases(cases) => cases.language,
        Tests::Asserts(_) => Language::Python,
    };
    program::of(response.text, response.opening(), language, &tests.names())
        .map(|program| program.into_owned())
}

/// Whether an output is the expected one.
pub fn agrees(found: &str, expected: &str) -> bool {
    let ended = Ended { ending: Ending::Exited(0), stdout: found.to_owned(), stderr: String::new() };
    output::compare(&ended, expected, 1e-6, &Limits::default()).is_ok()
}
