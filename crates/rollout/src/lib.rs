//! Generation: from prompts as token ids to completions as token ids with the sampler's log-probabilities. It
//! knows a decoder and its cache; it does not know text, tasks or rewards.
//!
//! [`generate`] keeps a batch of slots busy: finished sequences leave, waiting ones enter (continuous
//! batching), a prompt that several requests share is computed once. A request's randomness is its own, so
//! what it samples does not depend on who shares its batch. [`Sampling`] says what it samples from, how much memory
//! and how long a prompt it takes at once, and whether the model guesses a token ahead.
//!
//! # Example
//!
//! Completions of one prompt by a tiny decoder. Each has a seed of its own:
//!
//! ```
//! use burn::tensor::Device;
//! use ruminate_data::Seed;
//! use ruminate_model::{Config, Decoder};
//! use ruminate_rollout::{Options, Request, Sampling, generate};
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
//! let requests: Vec<Request> = (0..4)
//!     .map(|sample| Request { prompt_ids: vec![5, 6, 7], seed: Seed::new(1).index(sample) })
//!     .collect();
//! let options = Options {
//!     sampling: Sampling { max_new_tokens: 8, ..Sampling::default() },
//!     eos_token_ids: config.eos_token_ids.clone(),
//!     max_num_seqs: 3,
//!     record_routing: false,
//! };
//! let mut completions = vec![Vec::new(); requests.len()];
//! generate(&decoder, &requests, &options, |request, completion| {
//!     completions[request] = completion.ids;
//!     ControlFlow::Continue(())
//! })?;
//!
//! // A request samples the same tokens when it runs alone.
//! generate(&decoder, &requests[2..3], &options, |_, alone| {
//!     assert_eq!(alone.ids, completions[2]);
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod dtype;
mod engine;
mod error;
mod pending;
mod prefill;
mod rejection;
mod sampler;
mod sampling;
mod siblings;
mod slots;
mod speculation;

pub use budget::Budget;
pub use dtype::{Dtype, UnknownDtype};
pub use engine::{Options, Request, generate, generate_streaming};
pub use error::Error;
pub use sampler::SampledToken;
pub use sampling::{Sampling, SamplingError, Speculative, UnknownSpeculative};
pub use siblings::{generate_groups, generate_siblings};
pub use speculation::SpeculationStats;

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
