//! The decoder: one transformer built of the parts that a [`Config`] chooses, for DeepSeek-V3's mixture of
//! experts and for dense Llama and Qwen models alike. It knows token ids and tensors; text, rewards and
//! optimizers are others' business.
//!
//! - [`Decoder::forward`]: packed rows in, hidden states out; what training and scoring use.
//! - [`PreparedDecoder`]: the same computation against a [`Cache`], with weights packed for many steps; what rollouts
//!   use.
//! - [`load`] and [`save`]: Hugging Face model folders.
//! - [`lora`]: adapters of low rank on a decoder whose own weights stay, and their folders in PEFT's layout.
//!
//! # Example
//!
//! A tiny decoder with fresh weights, by a forward pass and as generation runs it:
//!
//! ```
//! use burn::tensor::Device;
//! use rand::{SeedableRng, rngs::SmallRng};
//! use ruminate_model::{Batch, Config, Decoder, Precision, PreparedDecoder, Routes};
//! use serde_json::json;
//!
//! // The keys of a Hugging Face `config.json`; `load(folder, &device)` reads a whole folder.
//! let config = Config::from_json(&json!({
//!     "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32,
//!     "num_hidden_layers": 2, "num_attention_heads": 2,
//! }))?;
//! let device = Device::flex();
//! let decoder = Decoder::init(&config, &mut SmallRng::seed_from_u64(0), &device);
//!
//! // Two rows of three tokens: one hidden state per token, then logits.
//! let batch = Batch::from_rows(&[vec![3_u32, 1, 4], vec![1, 5, 9]]);
//! let hidden = decoder.forward(&batch, Routes::Choose).hidden;
//! assert_eq!(hidden.dims(), [6, 16]);
//! let logits = decoder.logits(hidden);
//! assert_eq!(logits.dims(), [6, 32]);
//!
//! // For generation: packed weights, and what a cache keeps of the prompt. The values are the same.
//! let prepared = PreparedDecoder::new(&decoder, Precision::F32);
//! let (output, _kept) = prepared.prefill(&batch);
//! let difference = (prepared.logits(output.hidden) - logits).abs().max();
//! assert!(difference.into_scalar::<f32>() < 1e-4);
//! # Ok::<(), ruminate_model::ConfigError>(())
//! ```

mod adapter;
mod attention;
mod batch;
mod block;
mod cache;
mod checkpoints;
mod config;
mod decoder;
mod init;
mod layers;
pub mod lora;
mod moe;
mod mtp;
mod parameters;
mod prepared;
mod weights;

pub use batch::Batch;
pub use cache::{Cache, LayerCache};
pub use checkpoints::Checkpoints;
pub use config::{
    Attention, Bias, Config, ConfigError, Family, Gqa, HeadNorm, LongRope, Maps, Mla, Moe, Multipliers,
    NormPlace, Parameters, Rope, Router, Scaling, Unrotated,
};
pub use decoder::{Decoder, Output};
pub use moe::{LayerRouting, Routes, balance_loss};
pub use parameters::{ParameterMapper, ParameterVisitor};
pub use prepared::{DecodeStep, PreparedDecoder};
pub use ruminate_kernels::read;
pub use ruminate_kernels::{ComputeDtype, Precision, disable_fused, keep_freed_memory};
pub use weights::{
    Format, Held, LoadError, Progress, SaveError, WeightType, load, load_config, load_with_progress, save,
    save_as, visit_stored,
};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
