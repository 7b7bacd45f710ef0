//! The outcome of a comparison, with its reason.

use crate::Error;
use std::fmt::{self, Display, Formatter};

/// Whether an answer is the expected one. There are three outcomes, and no fourth is planned: match all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It provably equals the expected answer (by evaluation, to 54 digits).
    Correct,
    /// It differs from the expected answer, is no formula, or is missing.
    Wrong,
    /// Not decided: a notation that is not supported, a budget that ran out, or mathematics beyond this crate. It
    /// is neither right nor wrong; where a score is needed, leave the sample out.
    Undecided,
}

/// What [`verify`](crate::verify) returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Correct, wrong or undecided.
    pub outcome: Outcome,
    /// The answer that was found in the completion, as it is written; `None` where there is none.
    pub extracted: Option<String>,
    /// Why. It displays as a sentence for logs.
    pub reason: Reason,
}

impl Verdict {
    /// Whether the outcome is [`Outcome::Correct`].
    pub fn is_correct(&self) -> bool {
        self.outcome == Outcome::Correct
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Correct: the same text, up to spacing, whether or not it has a meaning.
    SameText,
    /// Correct: equal to the expected answer.
    Equal {
        /// The expected answer as it is written.
        gold: String,
    },
    /// Wrong: another value, set or statement.
    Different {
        /// The expected answer as it is written.
        gold: String,
    },
    /// The answer is missing or no formula (wrong), or it cannot be read (undecided).
    Answer(Error),
    /// Undecided: the expected answer has no meaning.
    Gold {
        /// The expected answer as it is written.
        gold: String,
        /// Why it has none.
        error: Error,
    },
    /// Undecided: both were read, but the comparison has no result.
    Undecided(&'static str),
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameText => f.write_str("the same text"),
            Self::Equal { gold } => write!(f, "equal to {gold}"),
            Self::Different { gold } => write!(f, "expected {gold}"),
            Self::Answer(error) => write!(f, "{error}"),
            Self::Gold { gold, error: Error::Malformed(what) } => {
                write!(f, "the gold answer {gold:?}: {what}")
            }
            Self::Gold { gold, error } => write!(f, "the gold answer {gold:?}: {error}"),
            Self::Undecided(why) => f.write_str(why),
        }
    }
}
