//! Verdicts of lines, on the caller's thread or on others under a deadline. It knows no Python.

use ruminate_data::{FinishReason, Outcome, Task, Verdict};
use ruminate_reward::{
    Attempt, Error, Limits, Pool, Response, ResponseGroup, Rubric, VerifiedLine, Verifier, verify_line,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// A verdict in plain values.
pub(crate) struct Answer {
    pub(crate) outcome: &'static str,
    pub(crate) score: f64,
    pub(crate) extracted: Option<String>,
    pub(crate) why: String,
}

impl Answer {
    fn new(outcome: Outcome, score: f64, extracted: Option<String>, why: String) -> Self {
        let outcome = match outcome {
            Outcome::Correct => "correct",
            Outcome::Wrong => "wrong",
            Outcome::Unscored => "unscored",
        };
        Self { outcome, score, extracted, why }
    }

    fn of(line: VerifiedLine) -> Self {
        Self::new(line.verdict, line.score, line.extracted, line.why)
    }
}

/// The verdict of a line.
///
/// # Errors
/// A kind, an option or a value that cannot be, in words.
pub(crate) fn one(line: String, deadline: Option<Duration>) -> Result<Answer, String> {
    let judged = move || match catch_unwind(AssertUnwindSafe(|| verify_line(0, &line))) {
        Ok(judged) => judged.map(Answer::of).map_err(words),
        Err(_) => Ok(Answer::new(Outcome::Unscored, 0.0, None, "the verifier panicked".to_owned())),
    };
    let Some(deadline) = deadline else { return judged() };
    // A thread cannot be killed: one that takes longer ends when its work does, and the caller goes on.
    let (report, reports) = channel();
    let work = move || {
        let _ = report.send(judged()); // the caller may be gone
    };
    thread::Builder::new().spawn(work).map_err(|error| format!("no thread for a verdict: {error}"))?;
    reports.recv_timeout(deadline).unwrap_or_else(|_| {
        Ok(Answer::new(Outcome::Unscored, 0.0, None, format!("took longer than {deadline:?}")))
    })
}

/// How a batch is judged.
pub(crate) struct Batch {
    pub(crate) deadline: Duration,
    /// 0: one per core.
    pub(crate) threads: usize,
}

impl Batch {
    /// The verdicts of lines, in their order.
    ///
    /// # Errors
    /// As [`one`], of the first line that has such a fault.
    pub(crate) fn judge(&self, lines: Vec<String>) -> Result<Vec<Answer>, String> {
        let limits = Limits { deadline: self.deadline, ..Limits::default() };
        let threads = if self.threads == 0 { limits.threads } else { self.threads };
        let rubric = Rubric::new(vec![(Box::new(OfLine) as Box<dyn Verifier>, 1.0)]).map_err(words)?;
        let pool = Pool::new(rubric, Limits { threads: threads.min(256), ..limits });
        let group = |line: String| ResponseGroup {
            task: Task::new("", ""),
            prompt: String::new(),
            attempts: vec![Attempt { text: line, finish_reason: FinishReason::Stop, ids: Vec::new() }],
        };
        let verdicts = pool.verify(lines.into_iter().map(group).collect());
        let answer = |Verdict { outcome, score, extracted, why, .. }: Verdict| {
            // A rubric names the part that is unscored.
            let why = why.strip_prefix(PART).filter(|_| outcome == Outcome::Unscored).unwrap_or(&why);
            match why.strip_prefix(FAULT) {
                Some(fault) => Err(fault.to_owned()),
                None => Ok(Answer::new(outcome, score, extracted, why.to_owned())),
            }
        };
        verdicts.into_iter().flatten().map(answer).collect()
    }
}

/// What stands before the words of an error that is not the completion's.
const FAULT: &str = "\u{0}fault ";

/// What a rubric writes before the words of [`OfLine`].
const PART: &str = "line: ";

/// Judges a response that is a line.
struct OfLine;

impl Verifier for OfLine {
    fn name(&self) -> &'static str {
        "line"
    }

    fn verify(&self, _: &Task, response: &Response<'_>) -> Verdict {
        match verify_line(0, response.text) {
            Ok(VerifiedLine { verdict, score, extracted, why, .. }) => {
                Verdict { outcome: verdict, score, extracted, why, rewards: Vec::new() }
            }
            Err(error) => Verdict::unscored(format!("{FAULT}{error}")),
        }
    }
}

fn words(error: Error) -> String {
    error.to_string()
}
