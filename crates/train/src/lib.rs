//! Everything between a forward pass and a trained model: packing, log-probabilities, gradients, optimizer,
//! schedule, checkpoints, metrics, and the supervised trainer. It knows token ids only, and never a file format
//! of data nor a reward.
//!
//! - [`packing`]: sequences into rows; [`logprobs`]: what the policy says of the tokens that carry loss.
//! - [`accumulate`]: the microbatches of a step, on several threads with the result of one.
//! - [`Gradients`], [`DecoderOptimizer`], [`Schedule`]: one step, by Hugging Face parameter names. [`AdamW`] and [`Muon`] are
//!   its rules; another one implements [`Optimizer`].
//! - [`supervised`]: the trainer of pretrain, sft and distill, of the next token or by any loss of tokens.
//! - [`checkpoint`]: a [`State`] as a folder and back, bit by bit.
//! - [`alarms`]: what a run's metrics look like that learns nothing; [`MismatchAlarm`] stops one whose sampler and
//!   trainer disagree.
//! - [`TrainLoop`]: the loop around every trainer's step: evaluations, checkpoints, the wish to stop.
//! - [`State`], [`Observer`], [`Metrics`]: what all trainers share with the outside.
//!
//! # Example
//!
//! A tiny decoder learns to count, and the loss falls:
//!
//! ```
//! use burn::tensor::Device;
//! use ruminate_data::{Sample, Seed};
//! use ruminate_model::{Config, Decoder};
//! use ruminate_train::{Metrics, Observer, State, supervised};
//! use serde_json::json;
//!
//! struct Losses(Vec<f64>);
//! impl Observer for Losses {
//!     fn step(&mut self, _step: usize, metrics: &Metrics) {
//!         self.0.extend(metrics.get("loss"));
//!     }
//! }
//!
//! let model = Config::from_json(&json!({
//!     "model_type": "llama", "vocab_size": 16, "hidden_size": 16, "intermediate_size": 32,
//!     "num_hidden_layers": 2, "num_attention_heads": 2,
//! }))?;
//! let policy = Decoder::init(&model, &mut Seed::new(0).rng(), &Device::flex().autodiff());
//! // Counting: the prompt is a number, the completion its three successors.
//! let sample = |index: u64| {
//!     let start = (index % 8) as u32;
//!     Sample::completion_only(&[start], &[start + 1, start + 2, start + 3])
//! };
//! let mut config = supervised::Config { max_steps: 60, batch_size: 8, row_length: 16, ..Default::default() };
//! config.train.learning_rate = 1e-2;
//! let mut losses = Losses(Vec::new());
//! let state = State::fresh(policy, &config.train);
//! let state = supervised::train(state, &mut |index| Ok(sample(index)), &config, &mut losses)?;
//! assert_eq!(state.step, 60);
//! assert!(losses.0[59] < losses.0[0] / 2.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
pub mod alarms;
pub mod checkpoint;
mod config;
mod drawn;
mod dtype;
mod error;
mod expert_load;
mod gradients;
mod lesson;
pub mod logprobs;
mod memory;
mod metrics;
mod microbatches;
mod observer;
mod optim;
pub mod packing;
mod ranks;
mod schedule;
mod state;
pub mod supervised;
mod tracked_loss;
mod train_loop;

pub use alarms::MismatchAlarm;
pub use config::{Config, RouterTraining, Scheduler};
pub use drawn::{drawn_logprobs, score_drawn};
pub use dtype::{Dtype, UnknownDtype};
pub use error::Error;
pub use expert_load::ExpertLoad;
pub use gradients::Gradients;
pub use lesson::{Batch, Batches, Check, Loss, TokenLoss};
pub use memory::{MemoryPlan, Shape, Trained, memory_plan, optimizer_state};
pub use metrics::Metrics;
pub use microbatches::{accumulate, microbatches_done};
pub use observer::{Observer, Wish};
pub use optim::{
    AdamW, AdamWInt8, Buffer, DecoderOptimizer, LrAdjustment, MIN_INT8_LENGTH, Muon, Optimizer,
    OptimizerName, OptimizerState, Parameter, ParameterKind, ParameterState, ParameterUpdate, StepOutcome,
    StepParams, StepReport,
};
pub use ranks::{Alone, Ranks};
pub use schedule::Schedule;
pub use state::{EntropyControl, State};
pub use tracked_loss::Objective;
pub use train_loop::{TrainLoop, is_due};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
