//! Why reinforcement could not go on.

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the recipe has a value that cannot be.
    #[error("`grpo.{key}` is {found}; expected {expected}")]
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
    /// Learning cannot work from greedy completions: a group of equals has no advantage.
    #[error("`rollout.temperature` is 0; expected a number above 0: equal completions teach nothing")]
    Greedy,
    /// Nothing could be sampled.
    #[error("`rollout`: {0}")]
    Rollout(#[from] ruminate_rollout::Error),
    /// The training step failed.
    #[error(transparent)]
    Train(#[from] ruminate_train::Error),
}
