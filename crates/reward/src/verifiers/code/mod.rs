//! Programs as answers: the policy's program runs in a [`Sandbox`], and what it does is compared outside of it. It
//! knows tests, not tasks' origins, and runs nothing where the sandbox does not hold.
//!
//! What a program must reproduce (expected outputs, the right side of an assert) never enters its job, and the
//! verdict is formed in another one: printing PASS, `sys.exit(0)`, an `__eq__` that is always true, a changed test
//! function, a killed parent are then just wrong answers.

mod checker;
mod judge;
mod languages;
mod output;
mod program;
mod tests;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

use crate::Error;
use crate::verifier::{Response, Verifier, verdict};
use languages::Language;
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_sandbox::{Failure, Job, Limits, Sandbox};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tests::{Case, Cases, Tests};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The Python interpreter: a name on the sandbox's path, or an absolute path (named in `read`, too, when it is
    /// not below `/usr`).
    pub python: String,
    /// The file that the program is written to.
    pub file: String,
    /// What runs it for tests with input and output, in the folder with `file`, whatever language the row names; empty
    /// is Python, or the language of the row. A compiler is called as `["sh", "-c", "cc main.c -o main && ./main"]`.
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
    /// How far a number may be from an expected one that is written with a fraction: relative above 1, absolute below;
    /// 0 compares texts. A row's column `float_tolerance` goes before it.
    pub float_tolerance: f64,
}

impl Default for Options {
    /// Python, 5 s per test, 30 s for all, all or nothing, fractions to a millionth.
    fn default() -> Self {
        Self {
            python: "python3".to_owned(),
            file: "main.py".to_owned(),
            command: Vec::new(),
            read: Vec::new(),
            limits: Limits::default(),
            total_timeout_ms: 30_000,
            scoring: Scoring::All,
            float_tolerance: 1e-6,
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
        if !(0.0..1.0).contains(&self.float_tolerance) {
            let reason = format!("expected a number from 0 to below 1, found {}", self.float_tolerance);
            return Err(Error::Option { kind: "code", key: "float_tolerance", reason });
        }
        Ok(())
    }
}

/// Correct when the program in the answer passes every test of the task.
///
/// The program is a fenced code block of the answer: of the one `<answer>` where there is one, else of what stands
/// behind the thought. It is the last block in the task's language that defines what is tested, else the last in the
/// language.
///
/// The tests are the task's column `tests` (or another of the names in docs/rewards.md), as JSON or as its text:
///
/// - inputs and outputs, compared line by line and token by token, or judged by the task's `checker`;
/// - calls of a function (`fn_name`) with what it must return;
/// - Python statements that must not raise, after those of `test_imports` and `test_setup_code`;
/// - a file of pytest or unittest that imports from `solution`, or HumanEval's `test` with `entry_point`.
///
/// Assert lines run in a job of their own and ask the program through a channel. Arguments and results cross as
/// copies of plain data; other objects stay with the program, where tests can call them. They have no truth, and equal
/// no value. Objects of a class that the tests make are the exception: their own methods are under test, so that a
/// test that hands the expected value to one of them lets the program judge itself.
///
/// A program that has started is correct or wrong, whatever ends it. Unscored are tests that no program can pass, tests
/// that check nothing, and what does not start.
#[derive(Debug)]
pub struct Code {
    sandbox: Arc<Sandbox>,
    options: Options,
    /// Whether languages other than Python run here, of those that were asked for.
    tried: Mutex<BTreeMap<Language, Result<(), String>>>,
    /// Checkers that accept their task's own output, by the hash of checker, input and output.
    checked: Mutex<HashSet<u64>>,
}

/// Checkers that are remembered.
const MAX_CHECKED: usize = 100_000;

impl Code {
    /// A verifier that runs programs in this sandbox.
    ///
    /// # Errors
    /// As [`Options::validate`].
    pub fn new(sandbox: Arc<Sandbox>, options: Options) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self { sandbox, options, tried: Mutex::default(), checked: Mutex::default() })
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

    /// A result per test, `None` for those that were not reached.
    fn run(&self, program: &str, tests: &Tests, tolerance: f64) -> Vec<Option<Reached>> {
        match tests {
            Tests::Cases(cases) => {
                let judge = |case: &Case, deadline| self.run_case(program, cases, case, tolerance, deadline);
                self.in_turn(&cases.list, judge)
            }
            Tests::Asserts(asserts) => {
                let mut job = self.options.job();
                let count = tests.count();
                // One process for all of them, which would each have had their own time.
                let each = self.options.limits.timeout_ms.saturating_mul(count as u64);
                job.limits.timeout_ms = each.min(self.options.total_timeout_ms);
                let options = Options { float_tolerance: tolerance, ..self.options.clone() };
                let results = judge::run(&self.sandbox, job, &options, program, asserts, count);
                results.into_iter().map(Some).collect()
            }
        }
    }

    /// Runs cases on some threads, in order.
    fn in_turn(
        &self,
        cases: &[Case],
        judge: impl Fn(&Case, Instant) -> Reached + Sync,
    ) -> Vec<Option<Reached>> {
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
                let reached = judge(&cases[index], deadline);
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

    fn run_case(
        &self,
        program: &str,
        cases: &Cases,
        case: &Case,
        tolerance: f64,
        deadline: Instant,
    ) -> Reached {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        if left == 0 {
            return Reached::Failed("the time for all tests is used up".to_owned());
        }
        if let Err(why) = self.can_check(cases, case) {
            return Reached::NotRun(why);
        }
        let mut job = self.options.job();
        let file = self.command(cases.language, &mut job);
        job.files = vec![(file, program.to_owned())];
        job.stdin.clone_from(&case.input);
        job.limits.timeout_ms = job.limits.timeout_ms.min(left);
        let ended = match self.sandbox.run(&job) {
            Err(failure) => return Reached::NotRun(failure.to_string()),
            Ok(ended) => ended,
        };
        match (&cases.checker, &case.output) {
            (None, expected) => {
                let expected = expected.as_deref().unwrap_or_default();
                output::compare(&ended, expected, tolerance, &job.limits)
                    .map_or_else(Reached::Failed, |()| Reached::Passed)
            }
            (Some(checker), expected) => match output::abnormal(&ended, &job.limits) {
                Some(why) => Reached::Failed(why),
                None => checker::run(
                    &self.sandbox,
                    &self.options,
                    checker,
                    &case.input,
                    &ended.stdout,
                    expected.as_deref(),
                ),
            },
        }
    }

    /// Whether a case's checker accepts the case's own output; asked once where it does.
    fn can_check(&self, cases: &Cases, case: &Case) -> Result<(), String> {
        let (Some(checker), Some(expected)) = (&cases.checker, &case.output) else { return Ok(()) };
        let mut hasher = DefaultHasher::new();
        (checker, &case.input, expected).hash(&mut hasher);
        let key = hasher.finish();
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked().contains(&key) {
            return Ok(());
        }
        checker::accepts_own(&self.sandbox, &self.options, checker, &case.input, expected)?;
        let mut checked = checked();
        if checked.len() >= MAX_CHECKED {
            checked.clear();
        }
        checked.insert(key);
        Ok(())
    }

    /// Sets the command of a job for programs of a language, and returns the name of their file.
    fn command(&self, language: Language, job: &mut Job) -> String {
        if language == Language::Python || !self.options.command.is_empty() {
            job.program = self.options.command_line();
            return self.options.file.clone();
        }
        let (file, command) = language.command();
        job.program = command;
        file.to_owned()
    }

    /// Whether programs of a language run here, tried once.
    fn can_run(&self, language: Language) -> Result<(), String> {
        if language == Language::Python || !self.options.command.is_empty() {
            return Ok(());
        }
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.entry(language).or_insert_with(|| self.try_language(language)).clone()
    }

    fn try_language(&self, language: Language) -> Result<(), String> {
        let mut job = self.options.job();
        let file = self.command(language, &mut job);
        job.files = vec![(file, language.trial().to_owned())];
        let ended = self.sandbox.run(&job).map_err(|failure| failure.to_string())?;
        output::compare(&ended, "ok", 0.0, &job.limits).map_err(|why| {
            format!(
                "the task wants a program in {language:?}, of which the simplest does not run here: {why}"
            )
        })
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
        let language = match &tests {
            Tests::Cases(cases) => cases.language,
            Tests::Asserts(_) if !self.options.command.is_empty() => {
                return Verdict::unscored(
                    "the task's tests are Python's, and `command` runs another language",
                );
            }
            Tests::Asserts(_) => Language::Python,
        };
        let tolerance = match tolerance(task, self.options.float_tolerance) {
            Ok(tolerance) => tolerance,
            Err(why) => return Verdict::unscored(why),
        };
        if let Err(why) = self.can_run(language) {
            return Verdict::unscored(why);
        }
        let program = match program::of(response.text, response.opening(), language, &tests.names()) {
            Ok(program) => program,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why),
        };
        let results = self.run(&program, &tests, tolerance);
        let (first, passed) = first_failure(&results);
        let share = match self.options.scoring {
            Scoring::All => 0.0,
            Scoring::Fraction => passed as f64 / results.len() as f64,
        };
        match first {
            None => verdict(Outcome::Correct, 1.0, Some(&program), format!("passes {passed} tests")),
            Some(Reached::Failed(why)) => verdict(Outcome::Wrong, share, Some(&program), why),
            Some(Reached::NotRun(why)) => Verdict::unscored(why),
            Some(Reached::Passed) => Verdict::unscored("a test is counted as failed and as passed"),
        }
    }
}

/// A row's own tolerance, else the recipe's.
fn tolerance(task: &Task, default: f64) -> Result<f64, String> {
    match task.columns.get("float_tolerance") {
        None | Some(serde_json::Value::Null) => Ok(default),
        Some(value) => value.as_f64().filter(|tolerance| (0.0..1.0).contains(tolerance)).ok_or_else(|| {
            format!("expected the task's `float_tolerance` to be a number from 0 to below 1, found {value}")
        }),
    }
}

#[cfg(test)]
mod memory {
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
