//! What a `config.json` means that leaves a key out: the defaults of transformers' configuration classes (5.24), against
//! which `tests/defaults.rs` holds them. Sizes that every file states have none here: a file without them is refused.

use super::Family;

/// Of `rms_norm_eps`, in all families.
pub(super) const RMS_NORM_EPS: f64 = 1e-6;
/// Of `initializer_range`, in all families.
pub(super) const INITIALIZER_RANGE: f64 = 0.02;

/// DeepSeek-V3's `q_lora_rank`; null says that there is none.
pub(super) const Q_LORA_RANK: usize = 1536;
pub(super) const N_SHARED_EXPERTS: usize = 1;
pub(super) const FIRST_K_DENSE_REPLACE: usize = 3;
pub(super) const N_GROUP: usize = 8;
pub(super) const TOPK_GROUP: usize = 4;
pub(super) const ROUTED_SCALING_FACTOR: f64 = 2.5;
pub(super) const NUM_NEXTN_PREDICT_LAYERS: usize = 1;

/// Mistral's `sliding_window`; null says that there is none.
pub(super) const SLIDING_WINDOW: usize = 4096;
/// Of SmolLM3: every so many blocks one is not rotated.
pub(super) const NO_ROPE_LAYER_INTERVAL: usize = 4;

/// The defaults that differ between families.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) max_position_embeddings: usize,
    pub(super) num_key_value_heads: Heads,
    /// The width of a head, where it does not follow from `hidden_size` and `num_attention_heads`.
    pub(super) head_dim: Option<usize>,
    pub(super) eos_token_id: Option<u32>,
    pub(super) norm_topk_prob: bool,
    pub(super) tie_word_embeddings: bool,
    pub(super) rope_theta: f64,
}

/// Key-value heads where a file does not state them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heads {
    /// One per query head.
    OfQueries,
    /// So many; null means one per query head.
    Number(usize),
    /// So many; null cannot be computed.
    NeverNull(usize),
}

impl Family {
    pub(super) fn defaults(self) -> Defaults {
        let qwen = Defaults {
            max_position_embeddings: 32_768,
            num_key_value_heads: Heads::Number(32),
            head_dim: None,
            eos_token_id: None,
            norm_topk_prob: false,
            tie_word_embeddings: false,
            rope_theta: 10_000.0,
        };
        match self {
            Self::DeepseekV3 => Defaults {
                max_position_embeddings: 4096,
                eos_token_id: Some(1),
                norm_topk_prob: true,
                ..qwen
            },
            Self::Llama => Defaults {
                max_position_embeddings: 2048,
                num_key_value_heads: Heads::OfQueries,
                eos_token_id: Some(2),
                ..qwen
            },
            Self::Granite => Defaults { eos_token_id: Some(2), ..Self::Llama.defaults() },
            Self::Mistral => Defaults {
                max_position_embeddings: 131_072,
                num_key_value_heads: Heads::Number(8),
                eos_token_id: Some(2),
                ..qwen
            },
            Self::SeedOss => Defaults {
                max_position_embeddings: 524_288,
                num_key_value_heads: Heads::Number(8),
                head_dim: Some(128),
                eos_token_id: Some(2),
                ..qwen
            },
            Self::Smollm3 => Defaults {
                num_key_value_heads: Heads::Number(4),
                eos_token_id: Some(128_001),
                tie_word_embeddings: true,
                rope_theta: 2_000_000.0,
                ..qwen
            },
            Self::Qwen2 => qwen,
            Self::Qwen3 => Defaults { head_dim: Some(128), ..qwen },
            Self::Qwen3Moe => Defaults { num_key_value_heads: Heads::NeverNull(4), ..qwen },
        }
    }
}
