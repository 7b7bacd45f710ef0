//! Everything between a forward pass and a trained model: packing, log-probabilities, gradients, optimizer,
//! schedule, checkpoints, metrics, and the supervised trainer. It knows token ids only, and never a file format
//! of data nor a reward.
//!
//! - [`packing`]: sequences into rows; [`logprobs`]: what the policy says of the tokens that carry loss.
//! - [`accumulate`]: the microbatches of a step, on several threads with the result of one.
//! - [`Gradients`], [`Optimizer`], [`Schedule`]: one step, by Hugging Face parameter names.
//! - [`supervised`]: the trainer of pretrain, sft and distill, of the next token or by any loss of tokens.
//! - [`checkpoint`]: a [`State`] as a folder and back, bit by bit.
//! - [`alarms`]: what a run's metrics look like that learns nothing; [`MismatchAlarm`] stops one whose sampler and
//!   trainer disagree.
//! - [`Steps`]: the loop around every trainer's step: evaluations, checkpoints, the wish to stop.
//! - [`State`], [`Observer`], [`Metrics`]: what all trainers share with the outside.

mod adamw;
pub mod alarms;
pub mod checkpoint;
mod config;
mod error;
mod gradients;
mod lesson;
mod load;
pub mod logprobs;
mod memory;
mod metrics;
mod microbatches;
mod moments;
mod objective;
mod observer;
mod optimizer;
pub mod packing;
mod schedule;
mod state;
mod steps;
pub mod supervised;

pub use alarms::MismatchAlarm;
pub use config::{Config, RouterTraining, Scheduler};
pub use error::Error;
pub use gradients::Gradients;
pub use lesson::{Batch, Batches, Check, Loss, TokenLoss};
pub use load::ExpertLoad;
pub use memory::{MemoryPlan, Shape, Trained, memory_plan};
pub use metrics::Metrics;
pub use microbatches::accumulate;
pub use objective::Objective;
pub use observer::Observer;
pub use optimizer::{Optimizer, StepOutcome, StepReport};
pub use schedule::Schedule;
pub use state::State;
pub use steps::{Steps, is_due};
