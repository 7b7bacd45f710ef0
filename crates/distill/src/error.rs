//! Why no traces came about. A teacher that got nothing right is no error here: the report says so.

/// Everything that can go wrong in this crate.
#[non_exhaustive]
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
    /// A training problem could not be had.
    #[error("training problem {index}: {source}")]
    Problem {
        /// Its index.
        index: u64,
        /// Why.
        source: ruminate_data::SourceError,
    },
    /// A sampling parameter is out of range.
    #[error("`rollout`: {0}")]
    Sampling(#[from] ruminate_data::SamplingError),
    /// A problem without a prompt: nothing predicts its first token.
    #[error("problem {problem} has an empty prompt; begin it with a token")]
    EmptyPrompt {
        /// Which of the given problems.
        problem: usize,
    },
    /// A problem that the teacher has no positions for.
    #[error(
        "problem {problem} has {length} tokens and may get {max_new_tokens} more, teacher and student have {positions} \
         positions; leave it out or lower `max_new_tokens`"
    )]
    TooLong {
        /// Which of the given problems.
        problem: usize,
        /// Its prompt's length in tokens.
        length: usize,
        /// Longest completion, in tokens.
        max_new_tokens: usize,
        /// The smallest `max_position_embeddings` of those that see it.
        positions: usize,
    },
    /// What is sampled is not the student's own distribution.
    #[error(
        "`rollout.{key}` cuts what the student would write; on-policy distillation learns from the student's own \
         distribution: expected temperature above 0, top_p 1, top_k 0, min_p 0, no penalties and no bad_words"
    )]
    NotThePolicy {
        /// The key of `[rollout]`.
        key: &'static str,
    },
    /// A step would end within a problem.
    #[error(
        "`batch_size` is {batch_size}, `num_samples` {num_samples}: a step of on-policy distillation has whole problems; \
         make the first a multiple of the second"
    )]
    UnevenBatch {
        /// Completions a step.
        batch_size: usize,
        /// Completions a problem.
        num_samples: usize,
    },
    /// The student's trainer failed.
    #[error(transparent)]
    Train(#[from] ruminate_train::Error),
    /// The model that samples could not, or the caller stopped it.
    #[error(transparent)]
    Rollout(#[from] ruminate_rollout::Error),
    /// A teacher outside this process gave no log-probabilities.
    #[error("{0}")]
    Teacher(String),
    /// There is nothing to train on.
    #[error("no samples; the teacher gave no trace worth learning, see the report for why")]
    NoSamples,
}
