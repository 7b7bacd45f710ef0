//! `config.json` <-> [`Config`]: the keys, the families' defaults, and what we refuse.

use super::defaults::{self, Heads};
use super::keys::{ConfigError, Keys};
use super::rope_keys::{rope, rope_scaling_json};
use super::{Attention, Bias, Config, Family, Gqa, HeadNorm, Mla, Moe, Multipliers, Router, Unrotated};
use serde_json::{Map, Value, json};

impl Config {
    /// Reads a `config.json` of one of the families, in its older (`rope_scaling`) or newer
    /// (`rope_parameters`) form.
    ///
    /// # Errors
    /// The family is unknown, a key is missing, or a value cannot be: the message names the key.
    pub fn from_json(json: &Value) -> Result<Self, ConfigError> {
        let keys = Keys(json);
        let family = match json.get("model_type").and_then(Value::as_str).unwrap_or_default() {
            // Kimi-K2's own class is DeepSeek-V3's.
            "deepseek_v3" | "kimi_k2" => Family::DeepseekV3,
            "granite" => Family::Granite,
            "llama" => Family::Llama,
            "mistral" => Family::Mistral,
            "seed_oss" => Family::SeedOss,
            "smollm3" => Family::Smollm3,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "qwen3_moe" => Family::Qwen3Moe,
            other => return Err(ConfigError::Family { found: other.chars().take(80).collect() }),
        };
        keys.only("hidden_act", &[json!("silu"), json!("swish")], "\"silu\"")?;
        refuse_other_parts(&keys, family)?;
        let vocab_size = keys.size("vocab_size")?;
        let defaults = family.defaults();
        let max_position_embeddings =
            keys.size_or("max_position_embeddings", defaults.max_position_embeddings)?;
        if family == Family::Mistral {
            refuse_window(&keys, max_position_embeddings)?;
        }
        let num_hidden_layers = keys.size("num_hidden_layers")?;
        // The other two special ids are checked for what reads the file after us: PyTorch's embedding counts a padding
        // token from the end where it is -1.
        if json.get("pad_token_id") != Some(&json!(-1)) {
            keys.token_ids("pad_token_id", None, vocab_size)?;
        }
        keys.token_ids("bos_token_id", None, vocab_size)?;
        let config = Self {
            family,
            vocab_size,
            hidden_size: keys.size("hidden_size")?,
            num_hidden_layers,
            intermediate_size: keys.size("intermediate_size")?,
            mlp_bias: has_mlp_bias(family) && keys.flag_or("mlp_bias", false)?,
            max_position_embeddings,
            rms_norm_eps: keys.number_or("rms_norm_eps", defaults::RMS_NORM_EPS)?,
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", defaults.tie_word_embeddings)?,
            initializer_range: keys.number_or("initializer_range", defaults::INITIALIZER_RANGE)?,
            eos_token_ids: keys.token_ids("eos_token_id", defaults.eos_token_id, vocab_size)?,
            attention: attention(&keys, family)?,
            rope: rope(&keys, max_position_embeddings, defaults.rope_theta)?,
            unrotated: if family == Family::Smollm3 {
                unrotated(&keys, num_hidden_layers)?
            } else {
                Unrotated::None
            },
            multipliers: if family == Family::Granite { multipliers(&keys)? } else { Multipliers::NONE },
            moe: moe(&keys, family)?,
            num_nextn_predict_layers: match family {
                Family::DeepseekV3 => match either(&keys, "num_nextn_predict_layers", "num_mtp_layers")? {
                    Some(key) => keys.count_or(key, 0)?,
                    None => defaults::NUM_NEXTN_PREDICT_LAYERS,
                },
                _ => 0,
            },
        };
        config.check()?;
        Ok(config)
    }

    /// Rows and columns of the blocks that share a factor in weights that are stored as FP8; none in others.
    ///
    /// # Errors
    /// The weights are quantised in another way, which we do not read.
    pub fn weight_block_size(json: &Value) -> Result<Option<[usize; 2]>, ConfigError> {
        let Some(inner) = json.get("quantization_config").filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let keys = Keys(inner);
        keys.needs(
            "quant_method",
            &[json!("fp8")],
            "\"fp8\" (DeepSeek's), or weights that are not quantised",
        )?;
        keys.only("fmt", &[json!("e4m3")], "\"e4m3\"")?;
        let side = |side: &Value| side.as_u64().filter(|side| (1..=Keys::LARGEST).contains(side));
        match inner.get("weight_block_size").and_then(Value::as_array).map(Vec::as_slice) {
            Some([rows, columns]) if let (Some(rows), Some(columns)) = (side(rows), side(columns)) => {
                Ok(Some([rows as usize, columns as usize]))
            }
            _ => Err(keys.wrong("weight_block_size", "the rows and columns of a block, such as [128, 128]")),
        }
    }

    /// Writes `config.json` as transformers reads it.
    pub fn to_json(&self) -> Value {
        let (model_type, architecture) = match self.family {
            Family::DeepseekV3 => ("deepseek_v3", "DeepseekV3ForCausalLM"),
            Family::Granite => ("granite", "GraniteForCausalLM"),
            Family::Mistral => ("mistral", "MistralForCausalLM"),
            Family::SeedOss => ("seed_oss", "SeedOssForCausalLM"),
            Family::Smollm3 => ("smollm3", "SmolLM3ForCausalLM"),
            Family::Llama => ("llama", "LlamaForCausalLM"),
            Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Family::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Family::Qwen3Moe => ("qwen3_moe", "Qwen3MoeForCausalLM"),
        };
        let mut out = Map::new();
        let mut set = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        set("architectures", json!([architecture]));
        set("model_type", json!(model_type));
        set("vocab_size", json!(self.vocab_size));
        set("hidden_size", json!(self.hidden_size));
        set("num_hidden_layers", json!(self.num_hidden_layers));
        set("intermediate_size", json!(self.intermediate_size));
        set("max_position_embeddings", json!(self.max_position_embeddings));
        set("hidden_act", json!("silu"));
        set("rms_norm_eps", json!(self.rms_norm_eps));
        set("tie_word_embeddings", json!(self.tie_word_embeddings));
        set("initializer_range", json!(self.initializer_range));
        match self.eos_token_ids.as_slice() {
            [] => set("eos_token_id", Value::Null),
            [one] => set("eos_token_id", json!(one)),
            many => set("eos_token_id", json!(many)),
        }
        set("dtype", json!("float32"));
        match self.attention {
            Attention::Mla(mla) => {
                set("num_attention_heads", json!(mla.num_attention_heads));
                set("num_key_value_heads", json!(mla.num_attention_heads));
                set("q_lora_rank", json!(mla.q_lora_rank));
                set("kv_lora_rank", json!(mla.kv_lora_rank));
                set("qk_nope_head_dim", json!(mla.qk_nope_head_dim));
                set("qk_rope_head_dim", json!(mla.qk_rope_head_dim));
                set("v_head_dim", json!(mla.v_head_dim));
                set("rope_interleave", json!(true));
                set("attention_bias", json!(false));
            }
            Attention::Gqa(gqa) => {
                set("num_attention_heads", json!(gqa.num_attention_heads));
                set("num_key_value_heads", json!(gqa.num_key_value_heads));
                set("head_dim", json!(gqa.head_dim));
                // Qwen2 has its biases without the key.
                let stated = gqa.bias != Bias::None && self.family != Family::Qwen2;
                set("attention_bias", json!(stated));
            }
        }
        if self.mlp_bias {
            set("mlp_bias", json!(true));
        }
        match self.family {
            Family::Mistral => set("sliding_window", Value::Null),
            Family::SeedOss => set(ATTENTION_OUT_BIAS, json!(self.has_output_bias())),
            Family::Smollm3 => {
                let (key, blocks) = unrotated_json(&self.unrotated, self.num_hidden_layers);
                set(key, blocks);
                set("use_sliding_window", json!(false));
            }
            Family::Granite => {
                let Multipliers { embedding, residual, attention, logits } = self.multipliers;
                set("embedding_multiplier", json!(embedding));
                set("residual_multiplier", json!(residual));
                set("attention_multiplier", json!(attention));
                set("logits_scaling", json!(logits));
            }
            _ => {}
        }
        set("rope_theta", json!(self.rope.theta));
        set("rope_scaling", rope_scaling_json(self.rope.scaling));
        if let Some(moe) = self.moe {
            set("num_experts_per_tok", json!(moe.num_experts_per_tok));
            set("moe_intermediate_size", json!(moe.moe_intermediate_size));
            match moe.router {
                Router::Sigmoid { n_group, topk_group, norm_topk_prob, routed_scaling_factor } => {
                    set("n_routed_experts", json!(moe.n_routed_experts));
                    set("n_shared_experts", json!(moe.n_shared_experts));
                    set("first_k_dense_replace", json!(moe.first_k_dense_replace));
                    set("n_group", json!(n_group));
                    set("topk_group", json!(topk_group));
                    set("norm_topk_prob", json!(norm_topk_prob));
                    set("routed_scaling_factor", json!(routed_scaling_factor));
                    set("scoring_func", json!("sigmoid"));
                    set("topk_method", json!("noaux_tc"));
                    set("moe_layer_freq", json!(1));
                    set("num_nextn_predict_layers", json!(self.num_nextn_predict_layers));
                }
                Router::Softmax { norm_topk_prob } => {
                    set("num_experts", json!(moe.n_routed_experts));
                    set("norm_topk_prob", json!(norm_topk_prob));
                    set("decoder_sparse_step", json!(1));
                    set("mlp_only_layers", json!([]));
                }
            }
        }
        Value::Object(out)
    }

    fn has_output_bias(&self) -> bool {
        matches!(self.attention, Attention::Gqa(Gqa { bias: Bias::All, .. }))
    }

    /// Relations between values that single keys cannot show.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, found: String, expected: &str| {
            Err(ConfigError::Value { key, found, expected: expected.to_owned() })
        };
        match self.attention {
            Attention::Mla(mla) if mla.qk_rope_head_dim % 2 != 0 => {
                return wrong("qk_rope_head_dim", mla.qk_rope_head_dim.to_string(), "an even number");
            }
            // Zero where it is derived and hidden_size is smaller than num_attention_heads.
            Attention::Gqa(gqa) if gqa.head_dim == 0 || gqa.head_dim % 2 != 0 => {
                return wrong("head_dim", gqa.head_dim.to_string(), "an even number above 0");
            }
            Attention::Gqa(gqa) if gqa.num_attention_heads % gqa.num_key_value_heads != 0 => {
                let found = gqa.num_key_value_heads.to_string();
                return wrong("num_key_value_heads", found, "a divisor of num_attention_heads");
            }
            _ => {}
        }
        if let Some(moe) = self.moe {
            let (experts, chosen) = (moe.n_routed_experts, moe.num_experts_per_tok);
            if experts > usize::from(u16::MAX) {
                return wrong("n_routed_experts", experts.to_string(), "at most 65535");
            }
            let reachable = match moe.router {
                Router::Sigmoid { n_group, topk_group, .. } => {
                    if n_group > experts || experts % n_group != 0 {
                        return wrong("n_group", n_group.to_string(), "a divisor of n_routed_experts");
                    }
                    if topk_group > n_group {
                        return wrong("topk_group", topk_group.to_string(), "at most n_group");
                    }
                    experts / n_group * topk_group
                }
                Router::Softmax { .. } => experts,
            };
            if chosen > reachable {
                return wrong(
                    "num_experts_per_tok",
                    chosen.to_string(),
                    "at most the experts of topk_group groups",
                );
            }
        }
        if self.num_nextn_predict_layers > 1 {
            let found = self.num_nextn_predict_layers.to_string();
            return wrong("num_nextn_predict_layers", found, "0 or 1");
        }
        Ok(())
    }
}

/// Refuses what files of the families may say and the decoder has no part for.
fn refuse_other_parts(keys: &Keys, family: Family) -> Result<(), ConfigError> {
    let no = [json!(false)];
    keys.only("use_sliding_window", &no, "false (attention sees the whole sequence)")?;
    let whole = |kind: &Value| kind == "full_attention";
    if keys.0.get("layer_types").and_then(Value::as_array).is_some_and(|kinds| !kinds.iter().all(whole)) {
        return Err(keys.wrong("layer_types", "\"full_attention\" alone"));
    }
    keys.only("partial_rotary_factor", &[json!(1), json!(1.0)], "1 (all of a head is rotated)")?;
    if !has_mlp_bias(family) {
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

fn attention(keys: &Keys, family: Family) -> Result<Attention, ConfigError> {
    let num_attention_heads = keys.size("num_attention_heads")?;
    if family == Family::DeepseekV3 {
        if !keys.flag_or("rope_interleave", true)? {
            return Err(keys.wrong("rope_interleave", "true (DeepSeek's interleaved rotary layout)"));
        }
        keys.only("num_key_value_heads", &[json!(num_attention_heads)], "num_attention_heads")?;
        return Ok(Attention::Mla(Mla {
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
        }));
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
    let stated = keys.optional_size("head_dim")?;
    let head_dim = match defaults.head_dim {
        Some(_) if keys.is_null("head_dim") => return Err(ConfigError::Missing { key: "head_dim" }),
        Some(width) => stated.unwrap_or(width),
        None => match stated {
            Some(width) => width,
            None => keys.size("hidden_size")? / num_attention_heads,
        },
    };
    Ok(Attention::Gqa(Gqa {
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        bias: bias(keys, family)?,
        norm: match family {
            Family::Qwen3 | Family::Qwen3Moe => HeadNorm::Rms,
            _ => HeadNorm::None,
        },
    }))
}

fn moe(keys: &Keys, family: Family) -> Result<Option<Moe>, ConfigError> {
    let norm_topk_prob = || keys.flag_or("norm_topk_prob", family.defaults().norm_topk_prob);
    Ok(match family {
        Family::DeepseekV3 => Some(Moe {
            n_routed_experts: match either(keys, "n_routed_experts", "num_local_experts")? {
                Some(key) => keys.size(key)?,
                None => return Err(ConfigError::Missing { key: "n_routed_experts" }),
            },
            n_shared_experts: keys.count_or("n_shared_experts", defaults::N_SHARED_EXPERTS)?,
            num_experts_per_tok: keys.size("num_experts_per_tok")?,
            moe_intermediate_size: keys.size("moe_intermediate_size")?,
            first_k_dense_replace: keys.count_or("first_k_dense_replace", defaults::FIRST_K_DENSE_REPLACE)?,
            router: Router::Sigmoid {
                n_group: keys.size_or("n_group", defaults::N_GROUP)?,
                topk_group: keys.size_or("topk_group", defaults::TOPK_GROUP)?,
                norm_topk_prob: norm_topk_prob()?,
                routed_scaling_factor: keys
                    .number_or("routed_scaling_factor", defaults::ROUTED_SCALING_FACTOR)?,
            },
        }),
        Family::Qwen3Moe => {
            if keys.size_or("decoder_sparse_step", 1)? != 1 {
                return Err(keys.wrong("decoder_sparse_step", "1"));
            }
            Some(Moe {
                // Newer transformers writes the second name.
                n_routed_experts: match either(keys, "num_experts", "num_local_experts")? {
                    Some(key) => keys.size(key)?,
                    None => return Err(ConfigError::Missing { key: "num_experts" }),
                },
                n_shared_experts: 0,
                num_experts_per_tok: keys.size("num_experts_per_tok")?,
                moe_intermediate_size: keys.size("moe_intermediate_size")?,
                first_k_dense_replace: 0,
                router: Router::Softmax { norm_topk_prob: norm_topk_prob()? },
            })
        }
        _ => None,
    })
}

const NO_ROPE_LAYERS: &str = "no_rope_layers";
const NO_ROPE_LAYER_INTERVAL: &str = "no_rope_layer_interval";
const ATTENTION_OUT_BIAS: &str = "attention_out_bias";

/// Whether a family's class reads `mlp_bias`.
fn has_mlp_bias(family: Family) -> bool {
    matches!(family, Family::Granite | Family::Llama | Family::SeedOss | Family::Smollm3)
}

/// Which maps of attention have biases.
fn bias(keys: &Keys, family: Family) -> Result<Bias, ConfigError> {
    Ok(match family {
        // It has its biases always, and not the key.
        Family::Qwen2 => Bias::QueryKeyValue,
        // It has none, and not the key.
        Family::Mistral | Family::DeepseekV3 => Bias::None,
        Family::SeedOss => {
            match (keys.flag_or("attention_bias", true)?, keys.flag_or(ATTENTION_OUT_BIAS, false)?) {
                (true, true) => Bias::All,
                (true, false) => Bias::QueryKeyValue,
                (false, false) => Bias::None,
                (false, true) => {
                    return Err(keys.wrong(ATTENTION_OUT_BIAS, "false where attention_bias is false"));
                }
            }
        }
        _ if keys.flag_or("attention_bias", false)? => Bias::All,
        _ => Bias::None,
    })
}

/// Refuses Mistral's window where it is shorter than the positions: attention sees the whole sequence.
fn refuse_window(keys: &Keys, max_position_embeddings: usize) -> Result<(), ConfigError> {
    const KEY: &str = "sliding_window";
    if keys.is_null(KEY) || keys.size_or(KEY, defaults::SLIDING_WINDOW)? >= max_position_embeddings {
        return Ok(());
    }
    let expected = "null, or at least max_position_embeddings: attention sees the whole sequence; where the file leaves it \
                    out, 4096 is meant (a model may be read with fewer positions: lower max_position_embeddings to the window)";
    Err(keys.wrong(KEY, expected))
}

/// The blocks of SmolLM3 that are not rotated: 0 in `no_rope_layers`, or one of every `no_rope_layer_interval`.
fn unrotated(keys: &Keys, num_hidden_layers: usize) -> Result<Unrotated, ConfigError> {
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
fn unrotated_json(unrotated: &Unrotated, num_hidden_layers: usize) -> (&'static str, Value) {
    match unrotated {
        Unrotated::None => (NO_ROPE_LAYER_INTERVAL, json!(num_hidden_layers + 1)),
        Unrotated::Every(interval) => (NO_ROPE_LAYER_INTERVAL, json!(interval)),
        Unrotated::Layers(_) => {
            let rotated = |layer| i32::from(!unrotated.contains(layer));
            (NO_ROPE_LAYERS, (0..num_hidden_layers).map(rotated).collect())
        }
    }
}

fn multipliers(keys: &Keys) -> Result<Multipliers, ConfigError> {
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
