//! How completions are computed, whatever they are sampled from: flags that several commands share.

use clap::Args as ClapArgs;
use ruminate::{Dtype, EngineConfig, Speculative};

#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct EngineArgs {
    /// What weights are held in while sampling: float32 (exact), bfloat16 or int8
    #[arg(long, default_value_t, value_name = "DTYPE")]
    pub(crate) dtype: Dtype,
    /// Memory for the caches of decoding: fewer sequences are decoded at once where it holds no more [default: no limit]
    #[arg(long, value_name = "GIB")]
    pub(crate) kv_cache_memory_gib: Option<f64>,
    /// Tokens of prompts that are computed at once; longer prompts are computed in pieces
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_num_batched_tokens)]
    pub(crate) max_num_batched_tokens: usize,
    /// Who guesses tokens ahead: none, or mtp, the model's multi-token prediction module; the distribution is the same
    #[arg(long, value_name = "METHOD", default_value = "none")]
    pub(crate) speculative: Speculative,
}

impl EngineArgs {
    /// The engine that these flags describe.
    pub(crate) fn config(&self) -> EngineConfig {
        let Self { dtype, kv_cache_memory_gib, max_num_batched_tokens, speculative } = *self;
        EngineConfig {
            dtype,
            kv_cache_memory_gib,
            max_num_batched_tokens,
            speculative,
            ..EngineConfig::default()
        }
    }
}
