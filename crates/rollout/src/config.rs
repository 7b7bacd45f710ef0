//! The recipe of sampling: from which distribution, and how it is computed.

use crate::Dtype;
use ruminate_data::{SamplingError, SamplingParams};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How completions are sampled. Names and meaning of what shapes the distribution are those of transformers' generation
/// parameters, of what the engine takes vLLM's. Texts are carried for what has a tokenizer: engines get them as ids, in a
/// request's [`Stop`](ruminate_data::Stop).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who samples in `train-rl`: this process, or the servers of `[fleet]`. Evaluations are always sampled here.
    #[serde(skip_serializing_if = "EngineKind::is_local")]
    // a run without servers is the same run as ever
    pub engine: EngineKind,
    /// Divides the logits, not negative; 0 is greedy, which gives `train-rl` nothing to compare.
    pub temperature: f64,
    /// Samples from the most probable tokens whose probabilities reach this sum, above 0 and at most 1. 1
    /// keeps all. `train-rl` then learns the distribution that was left.
    pub top_p: f64,
    /// Samples from so many of the most probable tokens. 0 keeps all. As `top_p` for `train-rl`.
    pub top_k: usize,
    /// Samples from tokens with at least this share of the most probable token's probability, from 0 to 1. 0
    /// keeps all. As `top_p` for `train-rl`.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_p: f64,
    /// Divides the logits of tokens that the prompt or the completion has, where they are positive, and
    /// multiplies them where not; above 0. 1 changes nothing. Penalties are part of the distribution that
    /// `train-rl` learns.
    #[serde(skip_serializing_if = "is_one")]
    pub repetition_penalty: f64,
    /// Is taken off the logits of tokens that the completion has, from -2 to 2. 0 changes nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub presence_penalty: f64,
    /// Is taken off a token's logit as often as the completion has it, from -2 to 2. 0 changes nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub frequency_penalty: f64,
    /// Texts that end a completion. The one that ends it is part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Texts that no completion has, as they are written and with a space before them: the last token of one
    /// is never drawn behind its others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_words: Vec<String>,
    /// Text that every completion begins with, such as `"<think>\n"`. It counts as part of the completion, and
    /// nothing is learnt from it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thought_prefix: String,
    /// Tokens of a completion after which a thought without `</think>` is closed by `thought_end`; from 1. 0
    /// lets thoughts be as long as they become.
    #[serde(skip_serializing_if = "is_none")]
    pub thinking_budget: usize,
    /// The text that closes a thought at the end of `thinking_budget`; it has `</think>`.
    #[serde(skip_serializing_if = "is_end")]
    pub thought_end: String,
    /// Longest completion in tokens, its ending token included; from 1.
    pub max_new_tokens: usize,
    /// What weights are held in while sampling; fewer bits are faster. Log-probabilities are those of the
    /// rounded weights.
    pub dtype: Dtype,
    /// Sequences decoded at once, from 1; in evaluations and by `distill`, too.
    pub max_num_seqs: usize,
    /// Memory for the caches of decoding, in GiB, above 0. Where it does not hold `max_num_seqs` sequences,
    /// fewer are decoded at once. Without it, memory is no limit.
    pub kv_cache_memory_gib: Option<f64>,
    /// Tokens of prompts that are computed at once, padding included; from 1. A longer prompt is computed in
    /// pieces, and the other sequences decode between two pieces.
    pub max_num_batched_tokens: usize,
    /// Whether tokens are guessed ahead. The distribution is the same.
    pub speculative: Speculative,
}

// Keys that say what is the case without them are not written: a run without them is the same run as ever.

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

fn is_end(text: &str) -> bool {
    text == "</think>"
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineKind::Local,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            stop: Vec::new(),
            bad_words: Vec::new(),
            thought_prefix: String::new(),
            thinking_budget: 0,
            thought_end: "</think>".to_owned(),
            max_new_tokens: 512,
            dtype: Dtype::Float32,
            max_num_seqs: 256,
            kv_cache_memory_gib: None,
            max_num_batched_tokens: 8192,
            speculative: Speculative::None,
        }
    }
}

impl Config {
    /// What shapes the distribution.
    pub fn sampling(&self) -> SamplingParams {
        let Self { temperature, top_p, top_k, min_p, max_new_tokens, .. } = *self;
        let Self { repetition_penalty, presence_penalty, frequency_penalty, .. } = *self;
        SamplingParams {
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            max_new_tokens,
        }
    }

    /// How it is computed. Neither routing nor what was kept is recorded.
    pub fn engine(&self) -> EngineConfig {
        let Self { dtype, max_num_seqs, kv_cache_memory_gib, max_num_batched_tokens, speculative, .. } =
            *self;
        EngineConfig {
            dtype,
            max_num_seqs,
            kv_cache_memory_gib,
            max_num_batched_tokens,
            speculative,
            record_routing: false,
            record_kept: false,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        self.sampling().validate()?;
        self.engine().validate()
    }
}

/// How an engine computes; none of it changes what is sampled but the rounding of [`dtype`](Self::dtype). Names are vLLM's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// What weights are held in while sampling.
    pub dtype: Dtype,
    /// Sequences decoded at once, at most; from 1.
    pub max_num_seqs: usize,
    /// Memory for the caches of decoding, in GiB, above 0. Without it, memory is no limit.
    pub kv_cache_memory_gib: Option<f64>,
    /// Tokens of prompts that are computed at once, padding included; from 1.
    pub max_num_batched_tokens: usize,
    /// Whether tokens are guessed ahead.
    pub speculative: Speculative,
    /// Whether completions carry the router's choices: for replay, and to measure disagreement with the trainer.
    pub record_routing: bool,
    /// Whether completions carry the tokens that top-k, top-p and min-p kept, 4 bytes for each: without them a trainer cannot
    /// learn from a distribution that was cut.
    pub record_kept: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            dtype: Dtype::Float32,
            max_num_seqs: 256,
            kv_cache_memory_gib: None,
            max_num_batched_tokens: 8192,
            speculative: Speculative::None,
            record_routing: false,
            record_kept: false,
        }
    }
}

impl EngineConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let error = |key, found, expected| Err(SamplingError { key, found, expected });
        if let Some(memory) = self.kv_cache_memory_gib.filter(|memory| !(*memory > 0.0 && memory.is_finite()))
        {
            return error("kv_cache_memory_gib", memory, "a number above 0, in GiB");
        }
        for (key, count) in
            [("max_num_seqs", self.max_num_seqs), ("max_num_batched_tokens", self.max_num_batched_tokens)]
        {
            if count == 0 {
                return error(key, 0.0, "at least 1");
            }
        }
        Ok(())
    }
}

/// Who samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// This process, on its own device.
    #[default]
    Local,
    /// Servers of vLLM, 0.30 and later (docs/servers.md).
    Vllm,
    /// Servers of SGLang 0.5: written to its schema, never run.
    Sglang,
}

impl EngineKind {
    /// Whether it is this process.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub fn is_local(&self) -> bool {
        *self == Self::Local
    }
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

#[cfg(test)]
mod tests {
    use super::{Config, EngineConfig};
    use ruminate_data::SamplingParams;

    #[test]
    fn the_recipes_defaults_are_those_of_its_halves() {
        let config = Config::default();
        assert_eq!(
            (config.sampling(), config.engine()),
            (SamplingParams::default(), EngineConfig::default())
        );
        assert_eq!(config.validate(), Ok(()));
        for (key, config) in [
            ("max_num_seqs", Config { max_num_seqs: 0, ..config.clone() }),
            ("max_num_batched_tokens", Config { max_num_batched_tokens: 0, ..config.clone() }),
            ("kv_cache_memory_gib", Config { kv_cache_memory_gib: Some(-1.0), ..config.clone() }),
            ("top_p", Config { top_p: 1.5, ..config.clone() }),
            ("min_p", Config { min_p: -0.1, ..config.clone() }),
        ] {
            assert_eq!(config.validate().expect_err(key).key, key);
        }
    }
}
