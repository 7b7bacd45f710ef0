//! A task's own judge of outputs, where more than one is right: a program of the task's in a job of its own.

use super::judge::own_limits;
use super::{Options, Reached};
use ruminate_sandbox::{Ending, Job, Sandbox};
use serde_json::json;
use std::hash::{BuildHasher, RandomState};

/// With `careful`, which it shares with the judge of assert lines.
const CHECKER: &str = concat!(include_str!("judge/careful.py"), "\n\n", include_str!("judge/checker.py"));

/// What the checker finds of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Accepted,
    Rejected(String),
    /// It cannot judge any output.
    Broken(String),
}

/// Whether a task's checker accepts the task's own output: one that does not, or does not compile, cannot judge. Asked
/// before a program is run, since no program can change it.
///
/// # Errors
/// Why it cannot judge, in words.
pub(super) fn accepts_own(
    sandbox: &Sandbox,
    options: &Options,
    source: &str,
    input: &str,
    expected: &str,
) -> Result<(), String> {
    match ask(sandbox, options, source, input, expected, expected) {
        Finding::Accepted => Ok(()),
        Finding::Broken(why) => Err(why),
        Finding::Rejected(why) => Err(format!("the task's own output is not accepted: {why}")),
    }
}

/// What a task's checker finds of a program's output.
pub(super) fn run(
    sandbox: &Sandbox,
    options: &Options,
    source: &str,
    input: &str,
    found: &str,
    expected: Option<&str>,
) -> Reached {
    match ask(sandbox, options, source, input, found, expected.unwrap_or_default()) {
        Finding::Accepted => Reached::Passed,
        Finding::Rejected(why) => Reached::Failed(why),
        Finding::Broken(why) => Reached::NotRun(why),
    }
}

fn ask(
    sandbox: &Sandbox,
    options: &Options,
    source: &str,
    input: &str,
    output: &str,
    expected: &str,
) -> Finding {
    let nonce = format!("{:016x}", RandomState::new().hash_one(output));
    let order =
        json!({"nonce": nonce, "checker": source, "input": input, "output": output, "expected": expected});
    let bytes = [source, input, output, expected].map(str::len).iter().sum::<usize>();
    let job = Job {
        program: [&options.python, "-I", "-S", "-B", "-c", CHECKER].map(str::to_owned).to_vec(),
        files: vec![("order.json".to_owned(), order.to_string())],
        // The order, and the files that are made of it.
        limits: own_limits(&options.limits, 2 * bytes, 1),
        ..options.job()
    };
    match sandbox.run(&job) {
        Err(failure) => Finding::Broken(failure.to_string()),
        Ok(ended) => {
            let verdict = ended.stdout.lines().find_map(|line| line.strip_prefix(&nonce)?.strip_prefix(' '));
            match verdict.and_then(|verdict| verdict.split_once(' ')) {
                Some(("accept", _)) => Finding::Accepted,
                Some(("broken", why)) => Finding::Broken(format!("the task's checker {why}")),
                Some((_, why)) => Finding::Rejected(format!("the task's checker {why}")),
                // It may be the output that ends it.
                None if ended.ending == Ending::TimedOut => {
                    Finding::Rejected("the task's checker takes too long".to_owned())
                }
                None => Finding::Rejected("the task's checker ended without a verdict".to_owned()),
            }
        }
    }
}
