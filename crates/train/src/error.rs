//! Why training could not go on, one variant per cause that callers treat differently.

use crate::optim::OptimizerState;
use ruminate_model::{LoadError, SaveError};
use std::ops::Range;
use std::path::PathBuf;

/// Everything that can go wrong in this crate.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the recipe has a value that cannot be.
    #[error("`{key}` is {found}; expected {expected}")]
    Range {
        /// The key, by its name in the recipe.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The gradients of a run's processes could not be summed.
    #[error("processes that train together: {source}")]
    Ranks {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sample could not be had.
    #[error("sample {index}: {source}")]
    Sample {
        /// Its index.
        index: u64,
        /// Why.
        source: ruminate_data::SourceError,
    },
    /// A sequence does not fit a row. Nothing is ever truncated in silence.
    #[error(
        "sequence {sequence} has {length} tokens, a row holds {row_length}; raise `row_length`, or drop or \
         truncate such sequences before training"
    )]
    TooLong {
        /// Which of the given sequences.
        sequence: usize,
        /// Its length in tokens.
        length: usize,
        /// What a row holds.
        row_length: usize,
    },
    /// A completion without a prompt: nothing predicts its first token.
    #[error(
        "sequence {sequence} has an empty prompt, so nothing predicts its first token; begin it with a token"
    )]
    EmptyPrompt {
        /// Which of the given sequences.
        sequence: usize,
    },
    /// A step's samples carry no loss at all.
    #[error(
        "step {step}: none of the samples {samples:?} has a token with loss; check the loss masks (is the \
         completion empty, or cut off by the prompt?)"
    )]
    NothingToLearn {
        /// The step, counted from 1.
        step: usize,
        /// The samples' indices in the source.
        samples: Range<u64>,
    },
    /// Loss or gradient was not finite too many steps in a row.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}, for {skipped} steps in a row (`max_skipped_steps` \
         is {allowed}); lower `learning_rate` or look at the batches that were reported"
    )]
    NonFinite {
        /// The step, counted from 1.
        step: usize,
        /// The loss of the last of them.
        loss: f64,
        /// The norm of its gradient.
        grad_norm: f64,
        /// Steps in a row that were not applied.
        skipped: usize,
        /// How many were allowed.
        allowed: usize,
    },
    /// A model says of a token what is no probability.
    #[error(
        "the log-probability of token {token} of completion {sequence} (both counted from 0) is not a number; the model's \
         weights are damaged or an activation overflows: check the model folder"
    )]
    NotANumber {
        /// Which of the given sequences.
        sequence: usize,
        /// Place in its completion.
        token: usize,
    },
    /// Sampler and trainer disagree about the same tokens.
    #[error(
        "step {step}: the sampler's and the trainer's log-probabilities of the same tokens differ, mismatch KL \
         {kl:.2e} (limit {limit:.0e}) for three steps in a row; training on would follow a wrong ratio. Try a device and \
         dtype on which both agree, or, for a mixture of experts under GRPO, `grpo.router_replay = \"on\"`"
    )]
    Mismatch {
        /// The step, counted from 1.
        step: usize,
        /// The last mismatch KL, in nats a token.
        kl: f64,
        /// `max_mismatch_kl`.
        limit: f64,
    },
    /// A checkpoint is of a run with another optimizer, whose state this one cannot use.
    #[error(
        "{checkpoint}: its state is of the optimizer `{saved}`, and the run's is `{now}`; go on with `optimizer = \"{saved}\"`, or \
         start another run from the checkpoint as its model"
    )]
    OtherOptimizer {
        /// The folder of the checkpoint.
        checkpoint: PathBuf,
        /// The optimizer that saved it.
        saved: String,
        /// The run's.
        now: &'static str,
    },
    /// A checkpoint is of a run that held its optimizer's state in another form.
    #[error(
        "{checkpoint}: its optimizer's state is held in `{saved}`, and the run's in `{now}`; go on with `optimizer_state = \
         \"{saved}\"`, or start another run from the checkpoint as its model"
    )]
    OtherOptimizerState {
        /// The folder of the checkpoint.
        checkpoint: PathBuf,
        /// What it was saved in.
        saved: OptimizerState,
        /// The run's.
        now: OptimizerState,
    },
    /// A checkpoint folder could not be written, read or verified.
    #[error(transparent)]
    Run(#[from] ruminate_run::Error),
    /// A model of a checkpoint could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A model of a checkpoint did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file of a checkpoint verifies but does not mean what it should.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
}
