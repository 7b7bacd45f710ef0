//! Group relative policy optimization (Shao et al., arXiv 2402.03300; DeepSeek-R1, arXiv 2501.12948): a policy
//! samples a group of completions for each problem, a caller's function scores them, and what beats its group's
//! mean becomes more likely. It knows token ids and verdicts; text and how verdicts come about are the caller's.
//!
//! Read [`Trainer::step`] from top to bottom: it is the algorithm. A policy learns by a [`PolicyLoss`] of four parts, an
//! [`Advantage`] and those in [`loss`]; a [`loss::Surrogate`] of your own replaces the built-in ones
//! (`examples/own_loss.rs`).
//!
//! # Example
//!
//! A fresh tiny policy learns to write 7s from a reward alone:
//!
//! ```
//! use burn::tensor::Device;
//! use ruminate_data::{Completion, Problem, SamplingParams, Seed, Stop, Task, Verdict};
//! use ruminate_grpo::{Config, TrainerArgs, train};
//! use ruminate_model::Decoder;
//! use ruminate_rollout::{EngineConfig, LocalEngine};
//! use ruminate_train::{Metrics, Observer, State};
//!
//! struct Rewards(Vec<f64>);
//! impl Observer for Rewards {
//!     fn step(&mut self, _step: usize, metrics: &Metrics) {
//!         self.0.extend(metrics.get("reward"));
//!     }
//! }
//!
//! let model = ruminate_model::Config::from_json(&serde_json::json!({
//!     "model_type": "llama", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
//!     "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.2,
//! }))?;
//! let policy = Decoder::init(&model, &mut Seed::new(0).rng(), &Device::flex().autodiff());
//! // The reward is the share of 7s in a completion.
//! let score = |_: &Task, completion: &Completion| {
//!     let sevens = completion.ids.iter().filter(|&&id| id == 7).count();
//!     Verdict::wrong(sevens as f64 / completion.ids.len() as f64)
//! };
//! let mut problems = |_| Ok(Problem { task: Task::new("", "7"), prompt_ids: vec![2] });
//! let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
//! let setup = TrainerArgs {
//!     config: &Config::default(),
//!     train: &optimizer,
//!     sampling: SamplingParams { max_new_tokens: 8, ..SamplingParams::default() },
//!     stop: &Stop::at(&[1]),
//!     alarms: &ruminate_train::alarms::Config::default(),
//!     max_steps: 20,
//!     seed: Seed::new(0),
//! };
//! let mut engine = LocalEngine::new(EngineConfig::default());
//! let mut rewards = Rewards(Vec::new());
//! let state = State::fresh(policy, &optimizer);
//! train(state, &mut engine, &mut problems, &score, &setup, &mut rewards)?;
//! assert!(rewards.0[19] > rewards.0[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advantage;
mod ahead;
mod config;
mod entropy_bonus;
mod error;
mod filter_groups;
mod judging;
mod kept;
mod learn;
pub mod loss;
mod memory;
mod metrics;
mod mismatch;
mod policy_loss;
mod presets;
mod rollouts;
mod staleness;
mod trainer;
mod verdicts;

pub use advantage::{Advantage, Advantages, Comparison, advantages, advantages_at_k, decoupled_advantages};
pub use config::{Aggregation, Config, ImportanceLevel, LossType, RouterReplay, Scale};
pub use error::Error;
pub use loss::PolicyLoss;
pub use memory::{Demand, Plan, memory_plan};
pub use presets::Preset;
pub use trainer::{Problems, StepReport, Trainer, TrainerArgs, train};
pub use verdicts::{MAX_REWARD, Verdicts};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
