//! The decoder: one transformer built of the parts that a [`Config`] chooses, for DeepSeek-V3's mixture of
//! experts and for dense Llama and Qwen models alike. It knows token ids and tensors; text, rewards and
//! optimizers are others' business.
//!
//! - [`Decoder::forward`]: packed rows in, hidden states out; what training and scoring use.
//! - [`PreparedDecoder`]: the same computation against a [`Cache`], with weights packed for many steps; what rollouts
//!   use.
//! - [`load`] and [`save`]: Hugging Face model folders.
//! - [`lora`]: adapters of low rank on a decoder whose own weights stay, and their folders in PEFT's layout.

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
    Attention, Bias, Config, ConfigError, Family, Gqa, HeadNorm, Mla, Moe, Parameters, Rope, Router, Scaling,
};
pub use decoder::{Decoder, Output};
pub use moe::{LayerRouting, Routes, balance_loss};
pub use parameters::{ParameterMapper, ParameterVisitor};
pub use prepared::{DecodeStep, PreparedDecoder};
pub use ruminate_kernels::{Precision, compose_only, keep_freed_memory};
pub use weights::{
    Format, LoadError, Progress, SaveError, WeightType, load, load_config, load_with_progress, save, save_as,
};
