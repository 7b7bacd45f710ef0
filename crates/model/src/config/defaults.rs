//! What a `config.json` means that leaves a key out: the defaults of transformers' configuration classes (5.24), against
//! which `tests/defaults.rs` holds them. Sizes that every file states have none here: a file without them is refused.

use super::Family;

/// Of `initializer_range`, in all families.
pub(super) const INITIALIZER_RANGE: f64 = 0.02;

/// DeepSeek-V3's `q_lora_rank`; null says that there is none.
pub(super) const Q_LORA_RANK: usize = 1536;

/// Mistral's `sliding_window`; null says that there is none.
pub(super) const SLIDING_WINDOW: usize = 4096;
/// Of SmolLM3: every so many blocks one is not rotated.
pub(super) const NO_ROPE_LAYER_INTERVAL: usize = 4;
/// Phi-3's `original_max_position_embeddings`, which stands beside the table of positions.
pub(super) const ORIGINAL_POSITIONS: usize = 4096;

/// The defaults that differ between families.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) max_position_embeddings: usize,
    pub(super) num_key_value_heads: Heads,
    pub(super) head_dim: Width,
    pub(super) eos_token_id: Option<u32>,
    pub(super) norm_topk_prob: bool,
    pub(super) tie_word_embeddings: bool,
    pub(super) rope_theta: f64,
    pub(super) rms_norm_eps: f64,
}

/// Those of a mixture with DeepSeek-V3's router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixture {
    /// None where a file without the key cannot be computed.
    pub(super) n_shared_experts: Option<usize>,
    pub(super) first_k_dense_replace: usize,
    pub(super) n_group: usize,
    pub(super) topk_group: usize,
    pub(super) routed_scaling_factor: f64,
    pub(super) num_nextn_predict_layers: usize,
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

/// The width of a head where a file does not state it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    /// It follows from `hidden_size` and `num_attention_heads`.
    Derived,
    /// This; null means that it follows.
    Number(usize),
    /// This; null cannot be computed.
    NeverNull(usize),
}

impl Family {
    pub(super) fn mixture_defaults(self) -> Mixture {
        let one = Mixture {
            n_shared_experts: Some(1),
            first_k_dense_replace: 1,
            n_group: 1,
            topk_group: 1,
            routed_scaling_factor: 1.0,
            num_nextn_predict_layers: 1,
        };
        match self {
            Self::DeepseekV3 => Mixture {
                first_k_dense_replace: 3,
                n_group: 8,
                topk_group: 4,
                routed_scaling_factor: 2.5,
                ..one
            },
            Self::Dots1 => Mixture {
                n_shared_experts: None,
                first_k_dense_replace: 0,
                num_nextn_predict_layers: 0,
                ..one
            },
            _ => one,
        }
    }

    pub(super) fn defaults(self) -> Defaults {
        let qwen = Defaults {
            max_position_embeddings: 32_768,
            num_key_value_heads: Heads::Number(32),
            head_dim: Width::Derived,
            eos_token_id: None,
            norm_topk_prob: false,
            tie_word_embeddings: false,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-6,
        };
        match self {
            Self::DeepseekV3 => Defaults {
                max_position_embeddings: 4096,
                eos_token_id: Some(1),
                norm_topk_prob: true,
                ..qwen
            },
            Self::Dots1 => Defaults { max_position_embeddings: 2048, ..qwen },
            Self::Glm4Moe => Defaults {
                max_position_embeddings: 131_072,
                num_key_value_heads: Heads::NeverNull(8),
                norm_topk_prob: true,
                rms_norm_eps: 1e-5,
                ..qwen
            },
            Self::Llama => Defaults {
                max_position_embeddings: 2048,
                num_key_value_heads: Heads::OfQueries,
                eos_token_id: Some(2),
                ..qwen
            },
            Self::Granite => Defaults { eos_token_id: Some(2), ..Self::Llama.defaults() },
            Self::Internlm3 => Defaults {
                num_key_value_heads: Heads::Number(2),
                head_dim: Width::Number(128),
                eos_token_id: Some(2),
                rms_norm_eps: 1e-5,
                ..qwen
            },
            Self::Mistral => Defaults {
                max_position_embeddings: 131_072,
                num_key_value_heads: Heads::Number(8),
                eos_token_id: Some(2),
                ..qwen
            },
            Self::Mixtral => Defaults {
                max_position_embeddings: 131_072,
                num_key_value_heads: Heads::NeverNull(8),
                eos_token_id: Some(2),
                rope_theta: 1_000_000.0,
                rms_norm_eps: 1e-5,
                ..qwen
            },
            Self::Olmo2 => {
                Defaults { eos_token_id: Some(50_279), rms_norm_eps: 1e-5, ..Self::Llama.defaults() }
            }
            Self::Phi3 => Defaults {
                max_position_embeddings: 4096,
                num_key_value_heads: Heads::OfQueries,
                eos_token_id: Some(32_000),
                rms_norm_eps: 1e-5,
                ..qwen
            },
            Self::SeedOss => Defaults {
                max_position_embeddings: 524_288,
                num_key_value_heads: Heads::Number(8),
                head_dim: Width::NeverNull(128),
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
            Self::Qwen2Moe => Defaults { num_key_value_heads: Heads::NeverNull(16), ..qwen },
            Self::Qwen3 => Defaults { head_dim: Width::NeverNull(128), ..qwen },
            Self::Qwen3Moe => Defaults { num_key_value_heads: Heads::NeverNull(4), ..qwen },
        }
    }
}
