//! Why a text has no answer, why an answer has no meaning, and why two answers have no comparison.

use crate::budget::TooLarge;

/// Everything in this crate that can fail. A completion is never an error: it gets a [`Verdict`](crate::Verdict).
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text has no answer in any notation of [`Options::targets`](crate::Options::targets).
    #[error("no answer found")]
    NoAnswer,
    /// The last `\boxed` has no closing brace: the text was cut off, and what it boxed before does not count.
    #[error("the last \\boxed is not closed")]
    UnclosedBox,
    /// An answer was found that is no formula; the payload is what is wrong with it.
    #[error("not a formula: {0}")]
    Malformed(&'static str),
    /// An answer was found in a notation that is not supported; the payload is the command or the character.
    #[error("{0} is not a notation that we know")]
    UnknownNotation(String),
    /// An answer was found that exceeds the bounds of a formula or the step budget.
    #[error("too large to parse within the step budget")]
    TooLarge,
    /// Both answers have a meaning, but equality is not decided; the payload is the reason.
    #[error("{0}")]
    Undecided(&'static str),
}

impl From<TooLarge> for Error {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}
