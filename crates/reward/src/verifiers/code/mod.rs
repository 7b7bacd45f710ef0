//! Programs as answers: the policy's program runs in a [`Sandbox`], and what it does is compared outside of it. It
//! knows tests, not tasks' origins, and runs nothing where the sandbox does not hold.
//!
//! What a program must reproduce (expected outputs, the right side of an assert) never enters its job, and the
//! verdict is formed in another one: printing PASS, `sys.exit(0)`, an `__eq__` that is always true, a changed test
//! function, a killed parent are then just wrong answers.

mod cases;
mod judge;
mod program;

use crate::Error;
use crate::verifier::{Response, Verifier, verdict};
use cases::{Case, Tests};
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_sandbox::{Failure, Job, Limits, Sandbox};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a program with some tests passed is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// Nothing: 1 for all tests, else 0. Tests after the first failure are not run.
    #[default]
    All,
    /// The share of tests passed; correct is still all of them.
    Fraction,
}

/// How programs are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The Python interpreter: a name on the sandbox's path, or an absolute path (named in `read`, too, when it is
    /// not below `/usr`).
    pub python: String,
    /// The file that the program is written to.
    pub file: String,
    /// What runs it for tests with input and output, in the folder with `file`; empty is Python. A compiler is
    /// called as `["sh", "-c", "cc main.c -o main && ./main"]`.
    pub command: Vec<String>,
    /// Files and folders that programs may read and execute, beside the system's.
    pub read: Vec<PathBuf>,
    /// Of one test.
    #[serde(flatten)]
    pub limits: Limits,
    /// Of all tests of a completion, in milliseconds.
    pub total_timeout_ms: u64,
    /// What a program with some tests passed is worth.
    pub scoring: Scoring,
}

impl Default for Options {
    /// Python, 5 s a test, 30 s for all, all or nothing.
    fn default() -> Self {
        Self {
            python: "python3".to_owned(),
            file: "main.py".to_owned(),
            command: Vec::new(),
            read: Vec::new(),
            limits: Limits::default(),
            total_timeout_ms: 30_000,
            scoring: Scoring::All,
        }
    }
}

impl Options {
    /// Refuses what no program could run with.
    ///
    /// # Errors
    /// [`Error::Option`] that names the key.
    pub fn validate(&self) -> Result<(), Error> {
        let least = [
            ("timeout_ms", self.limits.timeout_ms, 1),
            ("total_timeout_ms", self.total_timeout_ms, 1),
            ("memory_mb", self.limits.memory_mb, 64),
            ("output_bytes", self.limits.output_bytes as u64, 1),
            ("files_mb", self.limits.files_mb, 1),
            // The helper's own threads are among them.
            ("processes", self.limits.processes, 8),
        ];
        for (key, found, least) in least {
            if found < least {
                let reason = format!("expected a whole number from {least}, found {found}");
                return Err(Error::Option { kind: "code", key, reason });
            }
        }
        let is_name = !matches!(self.file.as_str(), "" | "." | "..") && !self.file.contains('/');
        if !is_name {
            let reason = format!("expected the name of a file, found {:?}", self.file);
            return Err(Error::Option { kind: "code", key: "file", reason });
        }
        Ok(())
    }
}

/// Correct when the program in the answer passes every test of the task.
///
/// The program is the last fenced code block of the answer: of the one `<answer>` where there is one, else of what
/// stands behind the thought. The tests are the task's column `tests` (also `test_cases`, `test_list`), a list or a
/// list in a string: objects with `input` and `output` are compared line by line without trailing white space;
/// strings are Python statements that must not raise, after those of `test_imports` and `test_setup_code`.
/// HumanEval's `test` with `entry_point` is understood, too.
///
/// Assert lines run in a job of their own and ask the program through a channel. Arguments and results cross as
/// copies of plain data; other objects stay with the program, where tests can call them. They have no truth, and equal
/// no value. Objects of a class that the tests make are the exception: their own methods are under test, so that a
/// test that hands the expected value to one of them lets the program judge itself.
///
/// A program that has started is correct or wrong, whatever ends it. Unscored are tests that no program can pass,
/// and what does not start.
#[derive(Debug)]
pub struct Code {
    sandbox: Arc<Sandbox>,
    options: Options,
}

impl Code {
    /// A verifier that runs programs in this sandbox.
    ///
    /// # Errors
    /// As [`Options::validate`].
    pub fn new(sandbox: Arc<Sandbox>, options: Options) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self { sandbox, options })
    }

    /// What to tell the person who turns this on: what the sandbox holds back on this system and what it doesn't.
    ///
    /// # Errors
    /// When nothing will run here, and every completion be unscored: which layer is missing, or that the interpreter
    /// does not start.
    pub fn warning(&self) -> Result<String, Failure> {
        let layers = self.sandbox.layers()?;
        let try_out =
            Job { program: vec![self.options.interpreter(), "--version".to_owned()], ..self.options.job() };
        self.sandbox.run(&try_out)?;
        let mut words = layers.words();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        words.extend(too_much_together(
            self.sandbox.workers() as u64,
            self.options.limits.memory_mb,
            &meminfo,
        ));
        let words = words.join("\n- ");
        Ok(format!("the reward `code` runs programs that the policy writes, in a sandbox:\n- {words}"))
    }

    /// The first test that was not passed, and how many were.
    fn run(&self, program: &str, tests: &Tests) -> (Option<Reached>, usize) {
        match tests {
            Tests::Cases(cases) => first_failure(&self.run_cases(program, cases)),
            Tests::Asserts(asserts) => {
                let mut job = self.options.job();
                // One process for all of them, which would each have had their own time.
                let each = self.options.limits.timeout_ms.saturating_mul(asserts.lines.len() as u64);
                job.limits.timeout_ms = each.min(self.options.total_timeout_ms);
                let results = judge::run(&self.sandbox, job, &self.options, program, asserts);
                first_failure(&results.into_iter().map(Some).collect::<Vec<_>>())
            }
        }
    }

    /// Runs cases on some threads, in order; `None` for those that were not reached.
    fn run_cases(&self, program: &str, cases: &[Case]) -> Vec<Option<Reached>> {
        let deadline = Instant::now() + Duration::from_millis(self.options.total_timeout_ms);
        let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(cases.len()));
        let results = Mutex::new(vec![None; cases.len()]);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                // All cases before the first failure are run, so that which one it is does not hang on threads.
                if index >= end.load(Ordering::Relaxed) {
                    return;
                }
                let reached = self.run_case(program, &cases[index], deadline);
                if reached != Reached::Passed && self.options.scoring == Scoring::All {
                    end.fetch_min(index, Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(reached);
            }
        };
        let threads = self.sandbox.workers().min(cases.len());
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_case(&self, program: &str, case: &Case, deadline: Instant) -> Reached {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        if left == 0 {
            return Reached::Failed("the time for all tests is used up".to_owned());
        }
        let mut job = self.options.job();
        job.program = self.options.command_line();
        job.files = vec![(self.options.file.clone(), program.to_owned())];
        job.stdin.clone_from(&case.input);
        job.limits.timeout_ms = job.limits.timeout_ms.min(left);
        match self.sandbox.run(&job) {
            Err(failure) => Reached::NotRun(failure.to_string()),
            Ok(ended) => {
                cases::compare(&ended, case, &job.limits).map_or_else(Reached::Failed, |()| Reached::Passed)
            }
        }
    }
}

impl Options {
    fn job(&self) -> Job {
        Job { read: self.read.clone(), limits: self.limits, ..Job::default() }
    }

    fn command_line(&self) -> Vec<String> {
        if self.command.is_empty() {
            // No user's packages, no byte code beside the file.
            return [&self.python, "-s", "-B", &self.file].map(str::to_owned).to_vec();
        }
        self.command.clone()
    }

    fn interpreter(&self) -> String {
        self.command.first().unwrap_or(&self.python).clone()
    }
}

/// A sentence where jobs that run at a time may hold more than the machine has, by `/proc/meminfo`.
fn too_much_together(jobs: u64, memory_mb: u64, meminfo: &str) -> Option<String> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10;
    (jobs * memory_mb > total).then(|| {
        format!(
            "{jobs} programs at a time with `memory_mb` = {memory_mb} may hold more than the {total} MiB of this machine"
        )
    })
}

/// How far a test came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reached {
    Passed,
    /// By the program's doing.
    Failed(String),
    /// Not by the program's doing.
    NotRun(String),
}

/// The first that was not passed, with its number in the words, and how many were.
fn first_failure(results: &[Option<Reached>]) -> (Option<Reached>, usize) {
    let passed = results.iter().filter(|result| **result == Some(Reached::Passed)).count();
    let numbered = |(index, result): (usize, &Option<Reached>)| match result {
        None | Some(Reached::Passed) => None,
        Some(Reached::Failed(why)) => Some(Reached::Failed(format!("test {}: {why}", index + 1))),
        Some(Reached::NotRun(why)) => Some(Reached::NotRun(why.clone())),
    };
    let first = results.iter().enumerate().find_map(numbered);
    let not_run = results.iter().flatten().find(|result| matches!(result, Reached::NotRun(_)));
    // Where the share of tests counts, one that could not run leaves it unknown.
    (if passed > 0 && first.is_some() { not_run.cloned().or(first) } else { first }, passed)
}

impl Verifier for Code {
    fn name(&self) -> &'static str {
        "code"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let tests = match Tests::of(task) {
            Ok(tests) => tests,
            Err(why) => return Verdict::unscored(why),
        };
        if matches!(tests, Tests::Asserts(_)) && !self.options.command.is_empty() {
            return Verdict::unscored(
                "the task's tests are Python's assert lines, and `command` runs another language",
            );
        }
        let program = match program::of(response.text, response.opening()) {
            Ok(program) => program,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why),
        };
        let (first, passed) = self.run(program, &tests);
        let share = match self.options.scoring {
            Scoring::All => 0.0,
            Scoring::Fraction => passed as f64 / tests.count() as f64,
        };
        match first {
            None => verdict(Outcome::Correct, 1.0, Some(program), format!("passes {passed} tests")),
            Some(Reached::Failed(why)) => verdict(Outcome::Wrong, share, Some(program), why),
            Some(Reached::NotRun(why)) => Verdict::unscored(why),
            Some(Reached::Passed) => Verdict::unscored("a test is counted as failed and as passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::too_much_together;

    #[test]
    fn more_memory_than_the_machine_has_is_said() {
        let meminfo = "MemTotal:       8388608 kB\nMemFree:  1 kB\n";
        assert_eq!(too_much_together(8, 1_024, meminfo), None);
        let words = too_much_together(9, 1_024, meminfo).unwrap_or_default();
        assert!(words.contains("9 programs") && words.contains("8192 MiB"), "{words}");
        assert_eq!(too_much_together(9, 1_024, ""), None);
    }
}
