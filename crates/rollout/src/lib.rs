//! Generation: from prompts as token ids to completions as token ids with the sampler's log-probabilities. It
//! knows a decoder and its cache; it does not know text, tasks or rewards.
//!
//! [`Engine`] is what trainers and evaluations sample with: it takes weights, and generates completions of requests into a
//! [`Sink`](ruminate_data::Sink). [`LocalEngine`] is the one in this process. It keeps a batch of slots busy: finished
//! sequences leave, waiting ones enter (continuous batching), a prompt that several requests share is computed once, and
//! requests may join and be given up meanwhile. A request's parameters and randomness are its own, so what it samples does
//! not depend on the requests beside it. [`EngineConfig`] says how much memory and how long a prompt it takes at once, and
//! whether the model guesses a token ahead.
//!
//! # Example
//!
//! Completions of one prompt by a tiny decoder. Each has a seed of its own:
//!
//! ```
//! use burn::tensor::Device;
//! use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop};
//! use ruminate_model::{Config, Decoder};
//! use ruminate_rollout::{Engine, EngineConfig, LocalEngine};
//! use std::ops::ControlFlow;
//! use serde_json::json;
//!
//! let config = Config::from_json(&json!({
//!     "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32,
//!     "num_hidden_layers": 2, "num_attention_heads": 2, "eos_token_id": 1,
//! }))?;
//! let decoder = Decoder::init(&config, &mut Seed::new(0).rng(), &Device::flex());
//!
//! // Four completions of one prompt, at most three sequences at once.
//! let request = |sample| Request {
//!     prompt_ids: vec![5, 6, 7],
//!     sampling: SamplingParams { max_new_tokens: 8, ..SamplingParams::default() },
//!     stop: Stop::at(&config.eos_token_ids),
//!     seed: Seed::new(1).index(sample),
//! };
//! let mut engine = LocalEngine::of(&decoder, EngineConfig { max_num_seqs: 3, ..EngineConfig::default() })?;
//! let mut completions = vec![Vec::new(); 4];
//! engine.generate((0..4).map(request).collect(), &mut |request, completion: Completion| {
//!     completions[request] = completion.ids;
//!     ControlFlow::Continue(())
//! })?;
//!
//! // A request samples the same tokens when it runs alone.
//! engine.generate(vec![request(2)], &mut |_, alone: Completion| {
//!     assert_eq!(alone.ids, completions[2]);
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod dtype;
mod engine;
mod error;
mod groups;
mod local;
mod scripted;

pub use config::{Config, EngineConfig, EngineKind, Speculative, UnknownSpeculative};
pub use dtype::{Dtype, UnknownDtype};
pub use engine::{Background, Engine, Logprobs};
pub use error::Error;
pub use groups::{GroupArgs, generate_grouped, generate_grouped_streaming};
pub use local::{Budget, LocalEngine, SpeculationStats};
pub use scripted::ScriptedEngine;

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
