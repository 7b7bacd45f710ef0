//! `config.json` -> the parts of a decoder: attention, the mixture of experts, which blocks are rotated, factors; and what
//! of a family's files has no part here.

use super::defaults::{self, Heads, Width};
use super::families::{Biases, HeadNorms, Mixture, Window};
use super::keys::{ConfigError, Keys};
use super::{Attention, Bias, Family, Gqa, HeadNorm, Mla, Moe, Multipliers, Router, Unrotated};
use serde_json::{Value, json};

pub(super) const NO_ROPE_LAYERS: &str = "no_rope_layers";
pub(super) const NO_ROPE_LAYER_INTERVAL: &str = "no_rope_layer_interval";
pub(super) const ATTENTION_OUT_BIAS: &str = "attention_out_bias";
pub(super) const PARTIAL_ROTARY_FACTOR: &str = "partial_rotary_factor";
pub(super) const SLIDING_WINDOW: &str = "sliding_window";
const LAYER_TYPES: &str = "layer_types";

/// Refuses what files of the families may say and the decoder has no part for.
pub(super) fn refuse_other_parts(keys: &Keys, family: Family) -> Result<(), ConfigError> {
    let no = [json!(false)];
    keys.only("use_sliding_window", &no, "false (attention sees the whole sequence)")?;
    let whole = |kind: &Value| kind == "full_attention";
    if keys.0.get(LAYER_TYPES).and_then(Value::as_array).is_some_and(|kinds| !kinds.iter().all(whole)) {
        return Err(keys.wrong(LAYER_TYPES, "\"full_attention\" alone"));
    }
    if family.traits().rotated_share.is_none() {
        keys.only(PARTIAL_ROTARY_FACTOR, &[json!(1), json!(1.0)], "1 (all of a head is rotated)")?;
    }
    if !family.traits().mlp_bias {
        keys.only("mlp_bias", &no, "false")?;
    }
    keys.only("per_layer_config", &[json!({}), json!([])], "empty (all blocks are alike)")?;
    if family == Family::DeepseekV3 {
        keys.only("attention_bias", &no, "false")?;
    }
    keys.only("mlp_only_layers", &[json!([])], "[] (every block has experts)")?;
    keys.only("scoring_func", &[json!("sigmoid")], "\"sigmoid\"")?;
    keys.only("topk_method", &[json!("noaux_tc")], "\"noaux_tc\"")?;
    keys.only("moe_layer_freq", &[json!(1)], "1")
}

/// Refuses a window that is shorter than the positions: attention sees the whole sequence.
pub(super) fn refuse_window(
    keys: &Keys,
    family: Family,
    max_position_embeddings: usize,
    num_hidden_layers: usize,
) -> Result<(), ConfigError> {
    let default = match family.traits().window {
        Window::Never => return Ok(()),
        Window::Stated(default) => default,
        Window::Late { blocks, window } => {
            // Where the kinds of blocks are stated, they have been looked at.
            if keys.has(LAYER_TYPES) || keys.count_or("max_window_layers", blocks)? >= num_hidden_layers {
                return Ok(());
            }
            Some(window)
        }
    };
    let window =
        if keys.is_null(SLIDING_WINDOW) { None } else { keys.optional_size(SLIDING_WINDOW)?.or(default) };
    if window.is_none_or(|window| window >= max_position_embeddings) {
        return Ok(());
    }
    let left_out = default
        .map(|default| format!("; where the file leaves it out, {default} is meant"))
        .unwrap_or_default();
    let expected = format!(
        "null, or at least max_position_embeddings: attention sees the whole sequence{left_out} (a model may be read with \
         fewer positions: lower max_position_embeddings to the window)"
    );
    Err(keys.wrong(SLIDING_WINDOW, &expected))
}

pub(super) fn attention(keys: &Keys, family: Family) -> Result<Attention, ConfigError> {
    let num_attention_heads = keys.size("num_attention_heads")?;
    if family == Family::DeepseekV3 {
        return latent_attention(keys, num_attention_heads);
    }
    let defaults = family.defaults();
    let null = keys.is_null("num_key_value_heads");
    let stated = keys.optional_size("num_key_value_heads")?;
    let num_key_value_heads = match defaults.num_key_value_heads {
        Heads::NeverNull(_) if null => return Err(ConfigError::Missing { key: "num_key_value_heads" }),
        Heads::Number(_) if null => num_attention_heads,
        Heads::OfQueries => stated.unwrap_or(num_attention_heads),
        Heads::Number(heads) | Heads::NeverNull(heads) => stated.unwrap_or(heads),
    };
    let null = keys.is_null("head_dim");
    let derived = || -> Result<usize, ConfigError> { Ok(keys.size("hidden_size")? / num_attention_heads) };
    let head_dim = match (keys.optional_size("head_dim")?, defaults.head_dim) {
        (None, Width::NeverNull(_)) if null => return Err(ConfigError::Missing { key: "head_dim" }),
        (Some(width), _) | (None, Width::NeverNull(width)) => width,
        (None, Width::Number(width)) if !null => width,
        (None, Width::Derived | Width::Number(_)) => derived()?,
    };
    Ok(Attention::Gqa(Gqa {
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        rotary_dim: rotary_dim(keys, family, head_dim)?,
        bias: bias(keys, family)?,
        norm: match family.traits().head_norm {
            HeadNorms::Each => HeadNorm::Each,
            HeadNorms::Together => HeadNorm::Together,
            HeadNorms::Stated if keys.flag_or("use_qk_norm", false)? => HeadNorm::Each,
            HeadNorms::Never | HeadNorms::Stated => HeadNorm::None,
        },
    }))
}

fn latent_attention(keys: &Keys, num_attention_heads: usize) -> Result<Attention, ConfigError> {
    if !keys.flag_or("rope_interleave", true)? {
        return Err(keys.wrong("rope_interleave", "true (DeepSeek's interleaved rotary layout)"));
    }
    keys.only("num_key_value_heads", &[json!(num_attention_heads)], "num_attention_heads")?;
    Ok(Attention::Mla(Mla {
        num_attention_heads,
        q_lora_rank: if keys.is_null("q_lora_rank") {
            None
        } else {
            Some(keys.size_or("q_lora_rank", defaults::Q_LORA_RANK)?)
        },
        kv_lora_rank: keys.size("kv_lora_rank")?,
        qk_nope_head_dim: keys.size("qk_nope_head_dim")?,
        qk_rope_head_dim: keys.size("qk_rope_head_dim")?,
        v_head_dim: keys.size("v_head_dim")?,
    }))
}

/// The columns of a head that are rotated. What stands in the table of positions comes before what stands beside it.
fn rotary_dim(keys: &Keys, family: Family, head_dim: usize) -> Result<usize, ConfigError> {
    let Some(default) = family.traits().rotated_share else { return Ok(head_dim) };
    let inner = super::rope_keys::table(keys)?.map(|(_, inner)| inner);
    let share = match inner.filter(|inner| inner.has(PARTIAL_ROTARY_FACTOR)) {
        Some(inner) => inner.positive_or(PARTIAL_ROTARY_FACTOR, None)?,
        None => keys.positive_or(PARTIAL_ROTARY_FACTOR, Some(default))?,
    };
    // Rounded as transformers does.
    let rotated = (head_dim as f64 * share) as usize;
    if share > 1.0 || rotated == 0 || !rotated.is_multiple_of(2) {
        return Err(ConfigError::Value {
            key: PARTIAL_ROTARY_FACTOR,
            found: format!("{share} of heads of {head_dim}"),
            expected: "a share up to 1 that makes an even number of columns".to_owned(),
        });
    }
    Ok(rotated)
}

/// Which maps of attention have biases.
fn bias(keys: &Keys, family: Family) -> Result<Bias, ConfigError> {
    const KEY: &str = "attention_bias";
    let only = |flag, bias| if flag { bias } else { Bias::None };
    Ok(match family.traits().biases {
        Biases::Never => Bias::None,
        Biases::QueryKeyValue => Bias::QueryKeyValue,
        Biases::OnAll => only(keys.flag_or(KEY, false)?, Bias::All),
        Biases::OnQueryKeyValue => only(keys.flag_or(KEY, false)?, Bias::QueryKeyValue),
        Biases::QkvBias => only(keys.flag_or("qkv_bias", true)?, Bias::QueryKeyValue),
        Biases::Internlm3 => {
            let attention = flag_of(keys, KEY, "qkv_bias")?;
            if attention != flag_of(keys, MLP_BIAS, "bias")? {
                return Err(
                    keys.wrong(KEY, "what mlp_bias (or bias) is, as its class in transformers needs it")
                );
            }
            only(attention, Bias::All)
        }
        Biases::SeedOss => match (keys.flag_or(KEY, true)?, keys.flag_or(ATTENTION_OUT_BIAS, false)?) {
            (true, true) => Bias::All,
            (true, false) => Bias::QueryKeyValue,
            (false, false) => Bias::None,
            (false, true) => {
                return Err(keys.wrong(ATTENTION_OUT_BIAS, "false where attention_bias is false"));
            }
        },
    })
}

const MLP_BIAS: &str = "mlp_bias";

/// Whether dense feed-forward layers have biases.
pub(super) fn mlp_bias(keys: &Keys, family: Family) -> Result<bool, ConfigError> {
    match family {
        Family::Internlm3 => flag_of(keys, MLP_BIAS, "bias"),
        _ => Ok(family.traits().mlp_bias && keys.flag_or(MLP_BIAS, false)?),
    }
}

/// A flag with two names.
fn flag_of(keys: &Keys, name: &'static str, other: &'static str) -> Result<bool, ConfigError> {
    either(keys, name, other)?.map_or(Ok(false), |key| keys.flag_or(key, false))
}

pub(super) fn moe(keys: &Keys, family: Family) -> Result<Option<Moe>, ConfigError> {
    let norm_topk_prob = || keys.flag_or("norm_topk_prob", family.defaults().norm_topk_prob);
    // Newer transformers writes the second name of each.
    let count = |name: &'static str, other: &'static str| match either(keys, name, other)? {
        Some(key) => keys.size(key),
        None => Err(ConfigError::Missing { key: name }),
    };
    let num_experts_per_tok = || keys.size("num_experts_per_tok");
    Ok(match family.traits().mixture {
        Mixture::None => None,
        Mixture::Sigmoid => {
            let defaults = family.mixture_defaults();
            Some(Moe {
                n_routed_experts: count("n_routed_experts", "num_local_experts")?,
                n_shared_experts: match defaults.n_shared_experts {
                    Some(default) => keys.count_or("n_shared_experts", default)?,
                    None => keys.size("n_shared_experts")?,
                },
                gated_shared_expert: None,
                num_experts_per_tok: num_experts_per_tok()?,
                moe_intermediate_size: keys.size("moe_intermediate_size")?,
                first_k_dense_replace: keys
                    .count_or("first_k_dense_replace", defaults.first_k_dense_replace)?,
                router: Router::Sigmoid {
                    n_group: keys.size_or("n_group", defaults.n_group)?,
                    topk_group: keys.size_or("topk_group", defaults.topk_group)?,
                    norm_topk_prob: norm_topk_prob()?,
                    routed_scaling_factor: keys
                        .number_or("routed_scaling_factor", defaults.routed_scaling_factor)?,
                },
            })
        }
        kind @ (Mixture::Softmax | Mixture::SoftmaxShared) => {
            if keys.size_or("decoder_sparse_step", 1)? != 1 {
                return Err(keys.wrong("decoder_sparse_step", "1"));
            }
            Some(Moe {
                n_routed_experts: count("num_experts", "num_local_experts")?,
                n_shared_experts: 0,
                gated_shared_expert: match kind {
                    Mixture::SoftmaxShared => Some(keys.size("shared_expert_intermediate_size")?),
                    _ => None,
                },
                num_experts_per_tok: num_experts_per_tok()?,
                moe_intermediate_size: keys.size("moe_intermediate_size")?,
                first_k_dense_replace: 0,
                router: Router::Softmax { norm_topk_prob: norm_topk_prob()? },
            })
        }
        Mixture::Mixtral => Some(Moe {
            n_routed_experts: count("num_local_experts", "num_experts")?,
            n_shared_experts: 0,
            gated_shared_expert: None,
            num_experts_per_tok: num_experts_per_tok()?,
            moe_intermediate_size: keys.size("intermediate_size")?,
            first_k_dense_replace: 0,
            router: Router::Softmax { norm_topk_prob: true },
        }),
    })
}

/// Modules of multi-token prediction.
pub(super) fn num_nextn_predict_layers(keys: &Keys, family: Family) -> Result<usize, ConfigError> {
    if !matches!(family, Family::DeepseekV3 | Family::Glm4Moe) {
        return Ok(0);
    }
    match either(keys, "num_nextn_predict_layers", "num_mtp_layers")? {
        Some(key) => keys.count_or(key, 0),
        None => Ok(family.mixture_defaults().num_nextn_predict_layers),
    }
}

/// The blocks of SmolLM3 that are not rotated: 0 in `no_rope_layers`, or one of every `no_rope_layer_interval`.
pub(super) fn unrotated(keys: &Keys, num_hidden_layers: usize) -> Result<Unrotated, ConfigError> {
    const EXPECTED: &str = "a 0 or a 1 per block";
    if !keys.has(NO_ROPE_LAYERS) {
        let interval = keys.size_or(NO_ROPE_LAYER_INTERVAL, defaults::NO_ROPE_LAYER_INTERVAL)?;
        return Ok(if interval > num_hidden_layers { Unrotated::None } else { Unrotated::Every(interval) });
    }
    let list = keys.0[NO_ROPE_LAYERS].as_array().filter(|list| list.len() == num_hidden_layers);
    let list = list.ok_or_else(|| keys.wrong(NO_ROPE_LAYERS, EXPECTED))?;
    let flags: Option<Vec<u64>> = list.iter().map(|flag| flag.as_u64().filter(|flag| *flag < 2)).collect();
    let flags = flags.ok_or_else(|| keys.wrong(NO_ROPE_LAYERS, EXPECTED))?;
    let layers = flags.iter().enumerate().filter(|(_, flag)| **flag == 0).map(|(layer, _)| layer).collect();
    Ok(Unrotated::of_layers(layers, num_hidden_layers))
}

/// The key that says which blocks are not rotated, and its value.
pub(super) fn unrotated_json(unrotated: &Unrotated, num_hidden_layers: usize) -> (&'static str, Value) {
    match unrotated {
        Unrotated::None => (NO_ROPE_LAYER_INTERVAL, json!(num_hidden_layers + 1)),
        Unrotated::Every(interval) => (NO_ROPE_LAYER_INTERVAL, json!(interval)),
        Unrotated::Layers(_) => {
            let rotated = |layer| i32::from(!unrotated.contains(layer));
            (NO_ROPE_LAYERS, (0..num_hidden_layers).map(rotated).collect())
        }
    }
}

pub(super) fn multipliers(keys: &Keys) -> Result<Multipliers, ConfigError> {
    Ok(Multipliers {
        embedding: keys.positive_or("embedding_multiplier", Some(1.0))?,
        residual: keys.positive_or("residual_multiplier", Some(1.0))?,
        attention: Some(keys.positive_or("attention_multiplier", Some(1.0))?),
        logits: keys.positive_or("logits_scaling", Some(1.0))?,
    })
}

/// Which of a key's two names the file has, if any; both only with one value.
fn either(keys: &Keys, name: &'static str, other: &'static str) -> Result<Option<&'static str>, ConfigError> {
    match (keys.has(name), keys.has(other)) {
        (true, true) if keys.0[name] != keys.0[other] => {
            Err(keys.wrong(other, &format!("the value of `{name}`, whose other name it is")))
        }
        (true, _) => Ok(Some(name)),
        (false, true) => Ok(Some(other)),
        (false, false) => Ok(None),
    }
}
