//! Assert lines: a job in which a grader runs them and asks the program, and the reading of its verdicts. What is
//! in Python is in `grader.py` and `candidate.py`.

use super::cases::{Asserts, abnormal};
use super::sandbox::{Ended, Ending, Job, Limits, Sandbox};
use super::{Options, Reached};
use serde_json::json;
use std::hash::{BuildHasher, RandomState};

const GRADER: &str = include_str!("grader.py");
const CANDIDATE: &str = include_str!("candidate.py");

/// Runs the lines in one job; a result for each.
pub(super) fn run(
    sandbox: &Sandbox,
    mut job: Job,
    options: &Options,
    program: &str,
    asserts: &Asserts,
) -> Vec<Reached> {
    let nonce = format!("{:016x}", RandomState::new().hash_one(program));
    let order = json!({
        "nonce": nonce, "python": options.python, "server": CANDIDATE, "setup": asserts.setup,
        "tests": asserts.lines, "entry_point": asserts.entry_point,
    });
    // Isolated (-I): nothing that the program puts into the folder is imported. By argument: nor is it the grader.
    job.program = [&options.python, "-I", "-B", "-c", GRADER].map(str::to_owned).to_vec();
    job.files = vec![("main.py".to_owned(), program.to_owned())];
    job.stdin = order.to_string();
    match sandbox.run(&job) {
        Err(failure) => vec![Reached::NotRun(failure.to_string()); asserts.lines.len()],
        Ok(ended) => verdicts(&ended, &nonce, asserts.lines.len(), &job.limits),
    }
}

/// What the grader said of each line. Where it said nothing, the program's time, memory or output was up, or nobody
/// can say.
fn verdicts(ended: &Ended, nonce: &str, count: usize, limits: &Limits) -> Vec<Reached> {
    let silent = match ended.ending {
        Ending::TimedOut | Ending::TooMuchMemory | Ending::TooMuchOutput | Ending::TooManyProcesses => {
            Reached::Failed(abnormal(ended, limits).unwrap_or_default())
        }
        _ => Reached::NotRun(format!(
            "the grader ended without a verdict: {}",
            abnormal(ended, limits).unwrap_or_else(|| "its output is incomplete".to_owned())
        )),
    };
    let mut verdicts = vec![silent; count];
    for line in ended.stdout.lines() {
        let Some((index, reached)) = verdict(line, nonce) else { continue };
        match index {
            None => verdicts.fill(reached),
            Some(index) if index < count => verdicts[index] = reached,
            Some(_) => {}
        }
    }
    verdicts
}

/// `NONCE INDEX pass|fail|broken "why"`; the index `all` is `None`.
fn verdict(line: &str, nonce: &str) -> Option<(Option<usize>, Reached)> {
    let rest = line.strip_prefix(nonce)?.strip_prefix(' ')?;
    let (index, rest) = rest.split_once(' ')?;
    let (verdict, why) = rest.split_once(' ')?;
    let why = || serde_json::from_str(why).unwrap_or_default();
    let reached = match verdict {
        "pass" => Reached::Passed,
        "fail" => Reached::Failed(why()),
        "broken" => Reached::NotRun(why()),
        _ => return None,
    };
    Some((if index == "all" { None } else { Some(index.parse().ok()?) }, reached))
}

#[cfg(test)]
mod tests {
    use super::{Reached, verdicts};
    use crate::code::sandbox::{Ended, Ending, Limits};

    fn read(ending: Ending, stdout: &str) -> Vec<Reached> {
        let ended = Ended { ending, stdout: stdout.to_owned(), stderr: String::new() };
        verdicts(&ended, "abc", 2, &Limits::default())
    }

    #[test]
    fn only_lines_with_the_nonce_are_verdicts() {
        let read =
            read(Ending::Exited(0), "0 pass \"\"\nabc 0 pass \"\"\nabd 1 pass \"\"\nabc 7 pass \"\"\nPASS\n");
        assert_eq!(read[0], Reached::Passed);
        assert!(matches!(read[1], Reached::NotRun(_)), "{read:?}");
    }

    #[test]
    fn a_test_that_was_not_reached_in_time_has_failed() {
        let read = read(Ending::TimedOut, "abc 0 pass \"\"\n");
        assert!(matches!(&read[..], [Reached::Passed, Reached::Failed(_)]), "{read:?}");
    }

    #[test]
    fn a_test_that_cannot_be_judged_leaves_all_unscored() {
        let read = read(Ending::Exited(0), "abc all broken \"why\"\n");
        assert_eq!(read, vec![Reached::NotRun("why".to_owned()); 2]);
    }
}
