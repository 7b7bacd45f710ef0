//! DeepSeek-V3's architecture (`deepseek2` with a sigmoid router; Kimi-K2 and Moonlight are of it): its keys, its part of
//! `config.json`, and its tensors. It never looks at values.
//!
//! llama.cpp keeps the two halves of `kv_b_proj` apart since it computes on latents (`attention.key_length_mla`), that of
//! keys transposed in each head; files from before have the whole.

use crate::architecture::{Architecture, Experts, Keys};
use crate::error::Error;
use crate::names::{Expected, Name, Rows};
use crate::rope::Scaling;
use serde_json::{Map, Value, json};

/// Elements of one head's share of `kv_b_proj`, which is transposed in memory. DeepSeek-V3's has 65,536.
const MOST_OF_A_HEAD: u64 = 1 << 20;

/// What DeepSeek-V3 has beyond the sizes of other families.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latent {
    pub(crate) q_lora_rank: Option<u64>,
    pub(crate) kv_lora_rank: u64,
    /// Columns of a query's and a key's head without position.
    pub(crate) nope: u64,
    /// Those with position.
    pub(crate) rotated: u64,
    pub(crate) value: u64,
    /// Whether the halves of `kv_b_proj` are tensors of their own.
    pub(crate) halves: bool,
    pub(crate) dense_blocks: u64,
    pub(crate) shared_experts: u64,
    pub(crate) groups: u64,
    pub(crate) groups_used: u64,
    pub(crate) scale: f64,
    pub(crate) normed: bool,
    /// YaRN's `mscale` and `mscale_all_dim`.
    pub(crate) mscale: f64,
}

impl Latent {
    pub(crate) fn read(keys: &Keys, blocks: u64, scaling: Scaling) -> Result<Self, Error> {
        const GATING: &str = "expert_gating_func";
        const LOG: &str = "rope.scaling.yarn_log_multiplier";
        let wrong = |key: &str, expected: &str| Err(keys.metadata.wrong(&keys.name(key), expected));
        if keys.metadata.unsigned(&keys.name(GATING))? != Some(2) {
            return wrong(GATING, "2 (sigmoid, DeepSeek-V3): DeepSeek-V2's router is not supported");
        }
        let kv_lora_rank = keys.size("attention.kv_lora_rank")?;
        let rotated = keys.size("rope.dimension_count")?;
        let halves = keys.optional_size_or_none("attention.key_length_mla")?.is_some();
        let [key_length, value_length] = if halves {
            ["attention.key_length_mla", "attention.value_length_mla"]
        } else {
            ["attention.key_length", "attention.value_length"]
        };
        let (key, value) = (keys.size(key_length)?, keys.size(value_length)?);
        if key <= rotated || rotated % 2 != 0 {
            return wrong(key_length, &format!("more than the {rotated} rotated columns, of an even number"));
        }
        let nope = key - rotated;
        if kv_lora_rank.max(nope).max(value) > MOST_OF_A_HEAD
            || kv_lora_rank * nope.max(value) > MOST_OF_A_HEAD
        {
            return wrong("attention.kv_lora_rank", &format!("at most {MOST_OF_A_HEAD} elements per head"));
        }
        let dense_blocks = keys.optional_size_or_none("leading_dense_block_count")?.unwrap_or(0);
        if dense_blocks > blocks {
            return wrong("leading_dense_block_count", &format!("at most the {blocks} blocks"));
        }
        // The file has 0.1 times `mscale_all_dim`, and llama.cpp takes both coefficients for equal.
        let mscale = match (scaling, keys.metadata.number(&keys.name(LOG))?) {
            (Scaling::Yarn { .. }, Some(log)) if log > 0.0 => (log * 10.0 * 1e6).round() / 1e6,
            (Scaling::Yarn { .. }, _) => return wrong(LOG, "a number above 0 beside YaRN"),
            (_, Some(log)) if log != 0.0 => return wrong(LOG, "absent without YaRN"),
            _ => 0.0,
        };
        Ok(Self {
            q_lora_rank: keys.optional_size_or_none("attention.q_lora_rank")?,
            kv_lora_rank,
            nope,
            rotated,
            value,
            halves,
            dense_blocks,
            shared_experts: keys.optional_size_or_none("expert_shared_count")?.unwrap_or(0),
            groups: keys.optional_size_or_none("expert_group_count")?.unwrap_or(1),
            groups_used: keys.optional_size_or_none("expert_group_used_count")?.unwrap_or(1),
            scale: match keys.metadata.number(&keys.name("expert_weights_scale"))? {
                None | Some(0.0) => 1.0,
                Some(scale) if scale > 0.0 => scale,
                Some(_) => return wrong("expert_weights_scale", "a number above 0"),
            },
            normed: keys.metadata.flag(&keys.name("expert_weights_norm"))?.unwrap_or(false),
            mscale,
        })
    }

    /// The keys of `config.json` that other families do not have.
    pub(crate) fn add_json(&self, config: &mut Map<String, Value>, heads: u64, experts: Experts) {
        config.shift_remove("head_dim");
        let keys = json!({
            "num_key_value_heads": heads,
            "q_lora_rank": self.q_lora_rank,
            "kv_lora_rank": self.kv_lora_rank,
            "qk_nope_head_dim": self.nope,
            "qk_rope_head_dim": self.rotated,
            "v_head_dim": self.value,
            "rope_interleave": true,
            "n_routed_experts": experts.count,
            "num_experts_per_tok": experts.used,
            "moe_intermediate_size": experts.intermediate_size,
            "n_shared_experts": self.shared_experts,
            "first_k_dense_replace": self.dense_blocks,
            "n_group": self.groups,
            "topk_group": self.groups_used,
            "norm_topk_prob": self.normed,
            "routed_scaling_factor": self.scale,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "moe_layer_freq": 1,
            // The converter leaves the module out.
            "num_nextn_predict_layers": 0,
        });
        if let Value::Object(keys) = keys {
            config.extend(keys);
        }
        if let Some(Value::Object(scaling)) = config.get_mut("rope_scaling") {
            scaling.insert("mscale".to_owned(), json!(self.mscale));
            scaling.insert("mscale_all_dim".to_owned(), json!(self.mscale));
        }
    }
}

/// What of a block's tensors only this architecture has; norms and a dense feed-forward layer are as in others.
pub(crate) fn block(a: &Architecture, latent: Latent, layer: u64, add: &mut dyn FnMut(Expected)) {
    let (d, heads) = (a.hidden_size, a.num_attention_heads);
    let Latent { kv_lora_rank: c, nope, rotated, value, .. } = latent;
    let named = |name: &str| format!("model.layers.{layer}.{name}");
    let mut of = |stored: &str, name: Name, shape: &[u64]| {
        let stored = format!("blk.{layer}.{stored}");
        add(Expected { stored, name, shape: shape.to_vec(), rows: Rows::AsStored });
    };
    let mut weight = |stored: &str, name: &str, shape: &[u64]| of(stored, Name::One(named(name)), shape);
    match latent.q_lora_rank {
        None => weight("attn_q.weight", "self_attn.q_proj.weight", &[heads * (nope + rotated), d]),
        Some(rank) => {
            weight("attn_q_a.weight", "self_attn.q_a_proj.weight", &[rank, d]);
            weight("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", &[rank]);
            weight("attn_q_b.weight", "self_attn.q_b_proj.weight", &[heads * (nope + rotated), rank]);
        }
    }
    weight("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight", &[c + rotated, d]);
    weight("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", &[c]);
    weight("attn_output.weight", "self_attn.o_proj.weight", &[d, heads * value]);
    let up = "self_attn.kv_b_proj.weight";
    if latent.halves {
        of("attn_k_b.weight", Name::LatentKey, &[heads, c, nope]);
        of("attn_v_b.weight", Name::LatentValue(named(up)), &[heads, value, c]);
    } else {
        weight("attn_kv_b.weight", up, &[heads * (nope + value), c]);
    }
}

/// The mixture of a block.
pub(crate) fn mixture(
    a: &Architecture,
    latent: Latent,
    layer: u64,
    experts: Experts,
    add: &mut dyn FnMut(Expected),
) {
    let d = a.hidden_size;
    let (n, shared) = (experts.count, latent.shared_experts * experts.intermediate_size);
    let mut weight = |stored: &str, name: &str, shape: &[u64]| {
        add(Expected {
            stored: format!("blk.{layer}.{stored}"),
            name: Name::One(format!("model.layers.{layer}.mlp.{name}")),
            shape: shape.to_vec(),
            rows: Rows::AsStored,
        });
    };
    weight("exp_probs_b.bias", "gate.e_score_correction_bias", &[n]);
    if shared > 0 {
        weight("ffn_gate_shexp.weight", "shared_experts.gate_proj.weight", &[shared, d]);
        weight("ffn_up_shexp.weight", "shared_experts.up_proj.weight", &[shared, d]);
        weight("ffn_down_shexp.weight", "shared_experts.down_proj.weight", &[d, shared]);
    }
}
