//! What a verifier is, and the guard that every verifier runs under.

use crate::parse::tags::Opening;
use ruminate_data::{FinishReason, Outcome, Task, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a policy wrote, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The prompt as the policy saw it, rendered. A chat template may end it with an opened `<think>`, which
    /// then belongs to the response; languages are compared with it.
    pub prompt: &'a str,
    /// The completion, tags included, without the token that ended it.
    pub text: &'a str,
    /// Whether the policy ended it or the length limit did: a truncated completion is not a finished wrong one.
    pub finish_reason: FinishReason,
    /// Its length in the policy's tokens, for rewards of length and repetition.
    pub tokens: Tokens<'a>,
}

/// The completion as its tokenizer sees it, the ending token included. To this crate an id is a number like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokens<'a> {
    /// Not known: what needs them is unscored.
    #[default]
    Unknown,
    /// How many there are.
    Count(usize),
    /// Which ones.
    Ids(&'a [u32]),
}

impl Tokens<'_> {
    /// How many there are.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Unknown => None,
            Self::Count(count) => Some(*count),
            Self::Ids(ids) => Some(ids.len()),
        }
    }
}

impl<'a> Response<'a> {
    /// A completion that the policy ended itself, to a prompt that opens no tag; its tokens are unknown.
    pub fn finished(text: &'a str) -> Self {
        Self { prompt: "", text, finish_reason: FinishReason::Stop, tokens: Tokens::Unknown }
    }

    /// Where the response starts: in the open, or in a thought that the prompt has opened.
    pub fn opening(&self) -> Opening {
        Opening::of(self.prompt)
    }
}

/// A judge of completions. Total on any text: it neither panics nor takes more than linear time.
pub trait Verifier: Send + Sync {
    /// The name under which its score is reported (`rewards/<name>/mean`).
    fn name(&self) -> &str;

    /// Judges a response to a task. Unscored means undecided; it never stands for wrong.
    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict;

    /// Whether the task's answer can be read at all. One that cannot leaves every response unscored, which is better
    /// said at the start of a run ([`survey`](crate::survey)).
    ///
    /// # Errors
    /// Why it cannot.
    fn check_gold(&self, _task: &Task) -> Result<(), String> {
        Ok(())
    }
}

/// Runs a verifier so that the caller survives it: a panic and a score that is no number are unscored.
pub(crate) fn guarded(verifier: &dyn Verifier, task: &Task, response: &Response<'_>) -> Verdict {
    // A verifier is `&self`: what a panic could leave half-changed is inside its own interior mutability.
    match catch_unwind(AssertUnwindSafe(|| verifier.verify(task, response))) {
        Ok(verdict) if verdict.score.is_finite() => verdict,
        Ok(verdict) => Verdict::unscored(format!("{} returned the score {}", verifier.name(), verdict.score)),
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            Verdict::unscored(format!("{} panicked: {message}", verifier.name()))
        }
    }
}

/// A verdict of one verifier: correct is the score 1.
pub(crate) fn verdict(
    outcome: Outcome,
    score: f64,
    extracted: Option<&str>,
    why: impl Into<String>,
) -> Verdict {
    Verdict { outcome, score, extracted: extracted.map(str::to_owned), why: why.into(), rewards: Vec::new() }
}
