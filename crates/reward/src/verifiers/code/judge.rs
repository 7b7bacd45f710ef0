//! Assert lines: two jobs, the judge that runs them and the program that it asks, and the reading of the verdicts.
//! What is in Python is in the folder `judge`.

use super::output::abnormal;
use super::tests::Asserts;
use super::{Options, Reached};
use ruminate_sandbox::{Ended, Ending, Failure, Job, Limits, Sandbox};
use serde_json::json;
use std::hash::{BuildHasher, RandomState};

/// One text: an isolated interpreter imports no file of ours.
const JUDGE: &str = concat!(
    include_str!("judge/careful.py"),
    "\n\n",
    include_str!("judge/names.py"),
    "\n\n",
    include_str!("judge/handles.py"),
    "\n\n",
    include_str!("judge/suites.py"),
    "\n\n",
    include_str!("judge/calls.py"),
    "\n\n",
    include_str!("judge/grader.py")
);
const CANDIDATE: &str = include_str!("judge/candidate.py");

/// What the judge may take beyond the program's time, in milliseconds: the program's limit is reached first, also on a
/// busy machine, and a judge that an answer keeps busy ends well before a verifier's deadline, which is unscored.
const OVERTIME_MS: u64 = 10_000;

/// Runs `count` lines or calls, in a job of their own beside the program's; a result per test. `job` has the program's limits.
pub(super) fn run(
    sandbox: &Sandbox,
    job: Job,
    options: &Options,
    program: &str,
    asserts: &Asserts,
    count: usize,
) -> Vec<Reached> {
    let nonce = format!("{:016x}", RandomState::new().hash_one(program));
    let calls = asserts.calls.as_ref();
    let order = json!({
        "nonce": nonce, "prompt": asserts.prompt, "imports": asserts.imports, "setup": asserts.setup,
        "tests": asserts.lines, "entry_point": asserts.entry_point, "calls": calls.map(|calls| &calls.list),
        "function": calls.map(|calls| &calls.function), "wrapped": calls.map(|calls| calls.wrapped),
        "tolerance": options.float_tolerance,
    });
    let order = order.to_string();
    let judge = Job {
        // Isolated (-I), without packages (-S): nothing in its folder is imported.
        program: [&options.python, "-I", "-S", "-B", "-c", JUDGE].map(str::to_owned).to_vec(),
        limits: own_limits(&job.limits, order.len(), count),
        files: vec![("order.json".to_owned(), order)],
        ..job.clone()
    };
    let program = Job {
        // No user's packages, no byte code beside the file.
        program: [&options.python, "-s", "-B", "-c", CANDIDATE].map(str::to_owned).to_vec(),
        files: vec![("main.py".to_owned(), program.to_owned())],
        ..job
    };
    let (judge, ran) = sandbox.run_pair(&judge, &program);
    verdicts(&judge, &ran, &nonce, count, &program.limits)
}

/// What a job of the grader's may use: the program's limits, and at least what an order of so many bytes with so many
/// tests needs.
pub(super) fn own_limits(limits: &Limits, order_bytes: usize, count: usize) -> Limits {
    Limits {
        timeout_ms: limits.timeout_ms.saturating_add(OVERTIME_MS),
        memory_mb: limits.memory_mb.max(256),
        // A verdict has up to 300 characters of reason, each of which JSON may write as 12 bytes.
        output_bytes: limits.output_bytes.max(4_096 * (count + 1)),
        files_mb: limits.files_mb.max((order_bytes as u64 >> 20) + 2),
        processes: limits.processes,
    }
}

/// What the judge wrote of each test. Where it wrote nothing although the program ran, the program has failed: no
/// ending of either job takes a program that was started out of what is scored.
fn verdicts(
    judge: &Result<Ended, Failure>,
    program: &Result<Ended, Failure>,
    nonce: &str,
    count: usize,
    limits: &Limits,
) -> Vec<Reached> {
    // Its limit, its exit code or its signal are why a program has gone; else the judge wrote why.
    let by_itself = program.as_ref().ok().filter(|ended| ended.ending != Ending::WithPair);
    let ending = by_itself.and_then(|ended| abnormal(ended, limits));
    let silent = match (judge, program) {
        (Err(failure), Err(_)) => Reached::NotRun(failure.to_string()),
        (Ok(_), Err(failure)) => Reached::Failed(failure.to_string()),
        (judge, Ok(_)) => {
            let judge = judge
                .as_ref()
                .map_or_else(|failure| Some(failure.to_string()), |ended| abnormal(ended, limits));
            let why = judge.unwrap_or_else(|| "its output is incomplete".to_owned());
            Reached::Failed(format!("the judge ended without a verdict: {why}"))
        }
    };
    // A file has tests of its own: the judge counts them before it reads anything of the program's.
    let lines =
        || judge.iter().flat_map(|ended| ended.stdout.lines()).filter_map(|line| verdict(line, nonce));
    let counted =
        lines().find_map(|(_, line)| if let Line::Tests(count) = line { Some(count) } else { None });
    let mut verdicts = vec![silent; counted.unwrap_or(count)];
    for (index, found) in lines() {
        let reached = match found {
            Line::Tests(_) => continue,
            Line::Passed => Reached::Passed,
            Line::Failed(why) => Reached::Failed(why),
            Line::Gone(why) => Reached::Failed(ending.clone().unwrap_or(why)),
            Line::Unjudgeable(why) => Reached::NotRun(why),
            Line::Unstarted(why) => Reached::NotRun(match (program, &ending) {
                (Err(failure), _) => failure.to_string(),
                (Ok(_), ending) => ending.clone().unwrap_or(why),
            }),
        };
        match index {
            None => verdicts.fill(reached),
            Some(index) if index < verdicts.len() => verdicts[index] = reached,
            Some(_) => {}
        }
    }
    verdicts
}

/// What a fuzz target reaches of the reading; compiled for it alone.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use super::{Ended, Ending, Failure, Limits, Reached, verdicts};

    /// Of each line whether it passed; `None` where it was not run. The judge wrote `stdout`, and its program ran.
    pub fn passed(stdout: &str, nonce: &str, count: usize) -> Vec<Option<bool>> {
        let ended = |ending, stdout: &str| -> Result<Ended, Failure> {
            Ok(Ended { ending, stdout: stdout.to_owned(), stderr: String::new() })
        };
        let (judge, program) = (ended(Ending::Exited(0), stdout), ended(Ending::WithPair, ""));
        let found = verdicts(&judge, &program, nonce, count, &Limits::default());
        let passed = |reached| match reached {
            Reached::Passed => Some(true),
            Reached::Failed(_) => Some(false),
            Reached::NotRun(_) => None,
        };
        found.into_iter().map(passed).collect()
    }
}

/// A verdict of the judge's.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// How many tests there are.
    Tests(usize),
    Passed,
    Failed(String),
    /// The program has ended, or makes no sense.
    Gone(String),
    /// No program can be judged by these tests; written before anything of the program is read.
    Unjudgeable(String),
    /// The interpreter ended before the program's first line.
    Unstarted(String),
}

/// `NONCE INDEX tests|pass|fail|gone|broken|unstarted "why"`; the index `all` is `None`.
fn verdict(line: &str, nonce: &str) -> Option<(Option<usize>, Line)> {
    let rest = line.strip_prefix(nonce)?.strip_prefix(' ')?;
    let (index, rest) = rest.split_once(' ')?;
    let (verdict, why) = rest.split_once(' ')?;
    let why = || serde_json::from_str::<String>(why).unwrap_or_default();
    let found = match verdict {
        "tests" => Line::Tests(why().parse().ok().filter(|count| *count > 0)?),
        "pass" => Line::Passed,
        "fail" => Line::Failed(why()),
        "gone" => Line::Gone(why()),
        "broken" => Line::Unjudgeable(why()),
        "unstarted" => Line::Unstarted(why()),
        _ => return None,
    };
    Some((if index == "all" { None } else { Some(index.parse().ok()?) }, found))
}

#[cfg(test)]
mod tests {
    use super::{Reached, verdicts};
    use ruminate_sandbox::{Ended, Ending, Failure, Limits};

    fn ended(ending: Ending, stdout: &str) -> Ended {
        Ended { ending, stdout: stdout.to_owned(), stderr: String::new() }
    }

    fn none() -> Result<Ended, Failure> {
        Err(Failure::Layer { layer: "Landlock".to_owned(), reason: "none".to_owned() })
    }

    fn read(judge: Result<Ended, Failure>, program: Result<Ended, Failure>) -> Vec<Reached> {
        verdicts(&judge, &program, "abc", 2, &Limits::default())
    }

    #[test]
    fn only_lines_with_the_nonce_are_verdicts() {
        let lines = "0 pass \"\"\nabc 0 pass \"\"\nabd 1 pass \"\"\nabc 7 pass \"\"\nPASS\n";
        let found = read(Ok(ended(Ending::Exited(0), lines)), Ok(ended(Ending::WithPair, "")));
        assert!(matches!(&found[..], [Reached::Passed, Reached::Failed(_)]), "{found:?}");
    }

    #[test]
    fn every_ending_of_a_judge_whose_program_ran_is_the_programs() {
        let endings = [
            Ending::Exited(0),
            Ending::Exited(1),
            Ending::Killed(9),
            Ending::TimedOut,
            Ending::TooMuchMemory,
            Ending::TooMuchOutput,
            Ending::TooManyProcesses,
            Ending::TooManyFiles,
        ];
        let judges = endings.map(|ending| Ok(ended(ending, "abc 0 pass \"\"\n")));
        for judge in judges {
            let found = read(judge.clone(), Ok(ended(Ending::Killed(9), "")));
            assert!(matches!(&found[..], [Reached::Passed, Reached::Failed(_)]), "{judge:?} {found:?}");
        }
        let found = read(none(), Ok(ended(Ending::Exited(0), "")));
        assert!(matches!(&found[..], [Reached::Failed(_), Reached::Failed(_)]), "{found:?}");
    }

    #[test]
    fn the_programs_limit_is_the_reason_of_its_end() {
        let gone = "abc 0 pass \"\"\nabc 1 gone \"the program ended\"\n";
        let found = read(Ok(ended(Ending::Exited(0), gone)), Ok(ended(Ending::TooMuchMemory, "")));
        assert_eq!(found[1], Reached::Failed("holds more than 1024 MiB".to_owned()));
        let found = read(Ok(ended(Ending::Exited(0), gone)), Ok(ended(Ending::WithPair, "")));
        assert_eq!(found[1], Reached::Failed("the program ended".to_owned()));
    }

    #[test]
    fn what_no_program_can_change_leaves_all_unscored() {
        let broken = Ok(ended(Ending::Exited(0), "abc all broken \"why\"\n"));
        assert_eq!(read(broken, Ok(ended(Ending::WithPair, ""))), vec![Reached::NotRun("why".to_owned()); 2]);
        let unstarted = Ok(ended(Ending::Exited(0), "abc all unstarted \"the program ended\"\n"));
        for (program, why) in [(none(), "Landlock"), (Ok(ended(Ending::Exited(1), "")), "code 1")] {
            let found = read(unstarted.clone(), program);
            assert!(
                found
                    .iter()
                    .all(|reached| matches!(reached, Reached::NotRun(reason) if reason.contains(why)))
            );
        }
        assert!(matches!(read(none(), none())[0], Reached::NotRun(_)));
    }
}
