//! Why no traces came about. A teacher that got nothing right is no error here: the report says so.

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the recipe has a value that cannot be.
    #[error("`distill.{key}` is {found}; expected {expected}")]
    Range {
        /// The key, by its name in the recipe's table.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A sampling parameter is out of range.
    #[error("`rollout`: {0}")]
    Sampling(#[from] ruminate_rollout::SamplingError),
    /// A problem without a prompt: nothing predicts its first token.
    #[error("problem {problem} has an empty prompt; begin it with a token")]
    EmptyPrompt {
        /// Which of the given problems.
        problem: usize,
    },
    /// A problem that the teacher has no positions for.
    #[error(
        "problem {problem} has {length} tokens and may get {max_new_tokens} more, the teacher has {positions} \
         positions; leave it out or lower `max_new_tokens`"
    )]
    TooLong {
        /// Which of the given problems.
        problem: usize,
        /// Its prompt's length in tokens.
        length: usize,
        /// Longest completion, in tokens.
        max_new_tokens: usize,
        /// The teacher's `max_position_embeddings`.
        positions: usize,
    },
    /// The teacher could not sample, or the caller stopped it.
    #[error(transparent)]
    Rollout(#[from] ruminate_rollout::Error),
    /// There is nothing to train on.
    #[error("no samples; the teacher gave no trace worth learning, see the report for why")]
    NoSamples,
}
