//! The architecture of a decoder, read from and written to Hugging Face's `config.json`.
//!
//! [`Config`] says which parts the decoder is built of; nothing after it asks for a model's family. The key
//! names and the families' habits live in [`hugging_face`](self).

mod defaults;
mod families;
mod hugging_face;
mod keys;
mod parts;
mod rope;
mod rope_keys;
mod size;
mod unrotated;
mod write;

pub use keys::ConfigError;
pub(crate) use keys::is_off;
pub use rope::{LongRope, Rope, Scaling};
pub use size::Parameters;
pub use unrotated::Unrotated;

/// The parts of a decoder and their sizes. Field names follow `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Tokens of the vocabulary (V).
    pub vocab_size: usize,
    /// Width of the residual stream (D).
    pub hidden_size: usize,
    /// Number of decoder blocks.
    pub num_hidden_layers: usize,
    /// Width of a dense feed-forward layer.
    pub intermediate_size: usize,
    /// Whether the maps of dense feed-forward layers have biases.
    pub mlp_bias: bool,
    /// Longest sequence that the positions were trained for.
    pub max_position_embeddings: usize,
    /// Epsilon of every RMS norm.
    pub rms_norm_eps: f64,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Tokens that end a completion, from `eos_token_id` (a number or a list).
    pub eos_token_ids: Vec<u32>,
    /// The attention of every block.
    pub attention: Attention,
    /// Whether maps that share their input are one.
    pub maps: Maps,
    /// Where the norms of a block are.
    pub norms: NormPlace,
    /// Position embedding.
    pub rope: Rope,
    /// Blocks whose attention is not rotated (SmolLM3).
    pub unrotated: Unrotated,
    /// Factors on states and scores.
    pub multipliers: Multipliers,
    /// The mixture of experts, where there is one.
    pub moe: Option<Moe>,
    /// Multi-token prediction modules (DeepSeek-V3 section 2.2), 0 or 1.
    pub num_nextn_predict_layers: usize,
    /// Which family's keys `config.json` uses.
    pub family: Family,
}

/// The family whose `config.json` this is. Only reading and writing look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `model_type: deepseek_v3`; `kimi_k2` is another name of it.
    DeepseekV3,
    /// `model_type: dots1`
    Dots1,
    /// `model_type: glm4_moe` (GLM-4.5 to 4.7)
    Glm4Moe,
    /// `model_type: granite`
    Granite,
    /// `model_type: internlm3`
    Internlm3,
    /// `model_type: llama`
    Llama,
    /// `model_type: mistral`
    Mistral,
    /// `model_type: mixtral`
    Mixtral,
    /// `model_type: olmo2`
    Olmo2,
    /// `model_type: phi3` (Phi-3, Phi-4)
    Phi3,
    /// `model_type: qwen2`
    Qwen2,
    /// `model_type: qwen2_moe`
    Qwen2Moe,
    /// `model_type: qwen3`
    Qwen3,
    /// `model_type: qwen3_moe`
    Qwen3Moe,
    /// `model_type: seed_oss`
    SeedOss,
    /// `model_type: smollm3`
    Smollm3,
}

/// Whether linear maps that share their input are held and stored as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maps {
    /// One by one: `q_proj`, `k_proj`, `v_proj`; `gate_proj`, `up_proj`.
    Apart,
    /// `qkv_proj` and `gate_up_proj` (Phi-3).
    Joined,
}

/// Where the norms of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// Before attention and before the feed-forward layer.
    Before,
    /// Behind each of them, on what is added to the residual stream (OLMo-2, arXiv 2501.00656, section 2.1).
    After,
}

/// Granite's factors; 1 in the other families.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multipliers {
    /// `embedding_multiplier`: on the embeddings.
    pub embedding: f64,
    /// `residual_multiplier`: on what each half of a block adds.
    pub residual: f64,
    /// `attention_multiplier`: on attention scores, in the place of `head_dim^-0.5`.
    pub attention: Option<f64>,
    /// `logits_scaling`: what logits are divided by.
    pub logits: f64,
}

impl Multipliers {
    /// No factors.
    pub const NONE: Self = Self { embedding: 1.0, residual: 1.0, attention: None, logits: 1.0 };
}

/// Attention's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
    Mla(Mla),
    /// Grouped-query attention (arXiv 2305.13245).
    Gqa(Gqa),
}

/// Sizes of multi-head latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mla {
    /// Heads (H).
    pub num_attention_heads: usize,
    /// Rank of the query's down-projection; none where queries are projected directly.
    pub q_lora_rank: Option<usize>,
    /// Rank of the key-value latent, the larger part of what the cache holds.
    pub kv_lora_rank: usize,
    /// Width of a head's part without position.
    pub qk_nope_head_dim: usize,
    /// Width of a head's rotary part, shared by all heads on the key's side.
    pub qk_rope_head_dim: usize,
    /// Width of a head's value.
    pub v_head_dim: usize,
}

/// Sizes and options of grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gqa {
    /// Query heads (H).
    pub num_attention_heads: usize,
    /// Key-value heads, a divisor of H.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Columns of a head that are rotated, the first ones: all, or a part (Phi-4-mini, GLM-4.5).
    pub rotary_dim: usize,
    /// Where biases are.
    pub bias: Bias,
    /// How queries and keys are normalised.
    pub norm: HeadNorm,
}

/// Which projections of attention carry a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// None.
    None,
    /// Queries, keys and values (Qwen2, Seed-OSS, GLM-4.5).
    QueryKeyValue,
    /// Those and the output (`attention_bias` of Llama).
    All,
}

/// Normalisation of queries and keys before the rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNorm {
    /// None.
    None,
    /// RMS norm over each head's width (Qwen3).
    Each,
    /// RMS norm over all heads together (OLMo-2).
    Together,
}

/// The mixture of experts of the blocks that have one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moe {
    /// Routed experts a layer (E).
    pub n_routed_experts: usize,
    /// Experts that every token passes; they are one feed-forward layer of that many times the width.
    pub n_shared_experts: usize,
    /// Width of the one expert that every token passes and whose output a sigmoid of the state weighs (Qwen2-MoE).
    pub gated_shared_expert: Option<usize>,
    /// Routed experts a token (K).
    pub num_experts_per_tok: usize,
    /// Width of one expert (F).
    pub moe_intermediate_size: usize,
    /// Blocks at the start that are dense.
    pub first_k_dense_replace: usize,
    /// How scores become weights.
    pub router: Router,
}

/// The router's function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Router {
    /// DeepSeek-V3: sigmoid scores, choice by score plus bias within the best groups (arXiv 2412.19437, eq. 12-16).
    Sigmoid {
        /// Groups the experts are divided into.
        n_group: usize,
        /// Groups a token may use.
        topk_group: usize,
        /// Whether the chosen scores are divided by their sum.
        norm_topk_prob: bool,
        /// Factor on the weights.
        routed_scaling_factor: f64,
    },
    /// Mixtral, Qwen2-MoE, Qwen3-MoE: softmax over all experts, choice by score.
    Softmax {
        /// Whether the chosen scores are divided by their sum.
        norm_topk_prob: bool,
    },
}

impl Moe {
    /// Width of what every token passes, 0 where there is none.
    pub(crate) fn shared_width(&self) -> usize {
        self.gated_shared_expert.unwrap_or(self.n_shared_experts * self.moe_intermediate_size)
    }
}

impl Config {
    /// Whether block `layer` has experts.
    pub fn is_moe(&self, layer: usize) -> bool {
        self.moe.is_some_and(|moe| layer >= moe.first_k_dense_replace)
    }

    /// Number of blocks with experts.
    pub fn moe_layers(&self) -> usize {
        (0..self.num_hidden_layers).filter(|&layer| self.is_moe(layer)).count()
    }

    /// Width of the rotary part of a head.
    pub fn rotary_width(&self) -> usize {
        match self.attention {
            Attention::Mla(mla) => mla.qk_rope_head_dim,
            Attention::Gqa(gqa) => gqa.rotary_dim,
        }
    }

    /// Factor on attention scores. YaRN raises it with the extension of the context (arXiv 2309.00071, eq. 22;
    /// DeepSeek-V3 applies it on the scores, `mscale^2`).
    pub fn softmax_scale(&self) -> f64 {
        match self.attention {
            Attention::Mla(mla) => {
                let width = (mla.qk_nope_head_dim + mla.qk_rope_head_dim) as f64;
                width.powf(-0.5) * self.rope.score_factor()
            }
            Attention::Gqa(gqa) => {
                self.multipliers.attention.unwrap_or_else(|| (gqa.head_dim as f64).powf(-0.5))
            }
        }
    }
}
