//! The recipe of sampling: from which distribution, and how it is computed.

use crate::Dtype;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How completions are sampled. Names and meaning of what shapes the distribution are those of transformers' generation
/// parameters, of what the engine takes vLLM's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits, not negative; 0 is greedy, which gives `train-rl` nothing to compare.
    pub temperature: f64,
    /// Samples from the most probable tokens whose probabilities reach this sum, above 0 and at most 1. 1
    /// keeps all, as `train-rl` needs it.
    pub top_p: f64,
    /// Samples from so many of the most probable tokens. 0 keeps all, as `train-rl` needs it.
    pub top_k: usize,
    /// Longest completion in tokens, its ending token included; from 1.
    pub max_new_tokens: usize,
    /// What weights are held in while sampling; fewer bits are faster. Log-probabilities are those of the
    /// rounded weights.
    pub dtype: Dtype,
    /// Memory for the caches of decoding, in GiB, above 0. Where it does not hold `max_num_seqs` sequences,
    /// fewer are decoded at once. Without it, memory is no limit.
    pub kv_cache_memory_gib: Option<f64>,
    /// Tokens of prompts that are computed at once, padding included; from 1. A longer prompt is computed in
    /// pieces, and the other sequences decode between two pieces.
    pub max_num_batched_tokens: usize,
    /// Whether tokens are guessed ahead. The distribution is the same.
    pub speculative: Speculative,
}

/// Who guesses the token after next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speculative {
    /// No guesses: a step draws one token per sequence.
    #[default]
    None,
    /// The model's own multi-token prediction module guesses: a step draws two tokens per sequence, or one
    /// where the guess was refused.
    Mtp,
}

impl FromStr for Speculative {
    type Err = UnknownSpeculative;

    fn from_str(name: &str) -> Result<Self, UnknownSpeculative> {
        match name {
            "none" => Ok(Self::None),
            "mtp" => Ok(Self::Mtp),
            other => Err(UnknownSpeculative(other.to_owned())),
        }
    }
}

/// A name that is none of the two.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected none or mtp, found {0:?}")]
pub struct UnknownSpeculative(String);

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: 512,
            dtype: Dtype::Float32,
            kv_cache_memory_gib: None,
            max_num_batched_tokens: 8192,
            speculative: Speculative::None,
        }
    }
}

/// A sampling parameter out of range.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{key} is {found}; expected {expected}")]
pub struct SamplingError {
    /// The parameter.
    pub key: &'static str,
    /// Its value.
    pub found: f64,
    /// Its range.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let error = |key, found, expected| Err(SamplingError { key, found, expected });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error("temperature", self.temperature, "a number of at least 0 (0 is greedy)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error("top_p", self.top_p, "a number above 0 and at most 1");
        }
        if self.max_new_tokens == 0 {
            return error("max_new_tokens", 0.0, "at least 1");
        }
        if let Some(memory) = self.kv_cache_memory_gib.filter(|memory| !(*memory > 0.0 && memory.is_finite()))
        {
            return error("kv_cache_memory_gib", memory, "a number above 0, in GiB");
        }
        if self.max_num_batched_tokens == 0 {
            return error("max_num_batched_tokens", 0.0, "at least 1");
        }
        Ok(())
    }
}
