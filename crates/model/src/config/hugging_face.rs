//! `config.json` <-> [`Config`]: the keys, the families' defaults, and what we refuse.

use super::{Attention, Bias, Config, Family, Gqa, HeadNorm, Mla, Moe, Rope, Router, Scaling};
use serde_json::{Map, Value, json};

/// Why a `config.json` is not a model that we can build.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `model_type` is not one of ours.
    #[error(
        "config.json: model_type is {found:?}; expected one of deepseek_v3, llama, qwen2, qwen3, qwen3_moe"
    )]
    Family {
        /// What the file says.
        found: String,
    },
    /// A key is missing.
    #[error("config.json: `{key}` is missing; this family needs it")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key's value is out of range or of another type.
    #[error("config.json: `{key}` is {found}; expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What the file says.
        found: String,
        /// What would be right.
        expected: String,
    },
}

impl Config {
    /// Reads a `config.json` of one of the five families, in its older (`rope_scaling`) or newer
    /// (`rope_parameters`) form.
    ///
    /// # Errors
    /// The family is unknown, a key is missing, or a value cannot be: the message names the key.
    pub fn from_json(json: &Value) -> Result<Self, ConfigError> {
        let keys = Keys(json);
        let family = match json.get("model_type").and_then(Value::as_str).unwrap_or_default() {
            "deepseek_v3" => Family::DeepseekV3,
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "qwen3_moe" => Family::Qwen3Moe,
            other => return Err(ConfigError::Family { found: other.chars().take(80).collect() }),
        };
        keys.only("hidden_act", &[json!("silu"), json!("swish")], "\"silu\"")?;
        keys.only("use_sliding_window", &[json!(false)], "false (attention sees the whole sequence)")?;
        let config = Self {
            family,
            vocab_size: keys.size("vocab_size")?,
            hidden_size: keys.size("hidden_size")?,
            num_hidden_layers: keys.size("num_hidden_layers")?,
            intermediate_size: keys.size("intermediate_size")?,
            max_position_embeddings: keys.size_or("max_position_embeddings", 4096)?,
            rms_norm_eps: keys.number_or("rms_norm_eps", 1e-6)?,
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", false)?,
            initializer_range: keys.number_or("initializer_range", 0.02)?,
            eos_token_ids: keys.token_ids("eos_token_id")?,
            attention: attention(&keys, family)?,
            rope: rope(&keys)?,
            moe: moe(&keys, family)?,
            num_nextn_predict_layers: match family {
                Family::DeepseekV3 => keys.count_or("num_nextn_predict_layers", 0)?,
                _ => 0,
            },
        };
        config.check()?;
        Ok(config)
    }

    /// Writes `config.json` as transformers reads it.
    pub fn to_json(&self) -> Value {
        let (model_type, architecture) = match self.family {
            Family::DeepseekV3 => ("deepseek_v3", "DeepseekV3ForCausalLM"),
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
                set("attention_bias", json!(false));
            }
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

fn attention(keys: &Keys, family: Family) -> Result<Attention, ConfigError> {
    let num_attention_heads = keys.size("num_attention_heads")?;
    if family == Family::DeepseekV3 {
        if !keys.flag_or("rope_interleave", true)? {
            return Err(keys.wrong("rope_interleave", "true (DeepSeek's interleaved rotary layout)"));
        }
        return Ok(Attention::Mla(Mla {
            num_attention_heads,
            q_lora_rank: keys.optional_size("q_lora_rank")?,
            kv_lora_rank: keys.size("kv_lora_rank")?,
            qk_nope_head_dim: keys.size("qk_nope_head_dim")?,
            qk_rope_head_dim: keys.size("qk_rope_head_dim")?,
            v_head_dim: keys.size("v_head_dim")?,
        }));
    }
    if family == Family::Llama && keys.flag_or("attention_bias", false)? {
        return Err(keys.wrong("attention_bias", "false"));
    }
    let head_dim = match keys.optional_size("head_dim")? {
        Some(width) => width,
        None => keys.size("hidden_size")? / num_attention_heads,
    };
    Ok(Attention::Gqa(Gqa {
        num_attention_heads,
        num_key_value_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim,
        bias: if family == Family::Qwen2 { Bias::QueryKeyValue } else { Bias::None },
        norm: match family {
            Family::Qwen3 | Family::Qwen3Moe => HeadNorm::Rms,
            _ => HeadNorm::None,
        },
    }))
}

fn moe(keys: &Keys, family: Family) -> Result<Option<Moe>, ConfigError> {
    Ok(match family {
        Family::DeepseekV3 => Some(Moe {
            n_routed_experts: keys.size("n_routed_experts")?,
            n_shared_experts: keys.count_or("n_shared_experts", 1)?,
            num_experts_per_tok: keys.size("num_experts_per_tok")?,
            moe_intermediate_size: keys.size("moe_intermediate_size")?,
            first_k_dense_replace: keys.count_or("first_k_dense_replace", 0)?,
            router: Router::Sigmoid {
                n_group: keys.size_or("n_group", 1)?,
                topk_group: keys.size_or("topk_group", 1)?,
                norm_topk_prob: keys.flag_or("norm_topk_prob", true)?,
                routed_scaling_factor: keys.number_or("routed_scaling_factor", 1.0)?,
            },
        }),
        Family::Qwen3Moe => {
            if keys.size_or("decoder_sparse_step", 1)? != 1 {
                return Err(keys.wrong("decoder_sparse_step", "1"));
            }
            Some(Moe {
                // Newer transformers writes the second name.
                n_routed_experts: match keys.optional_size("num_experts")? {
                    Some(count) => count,
                    None => keys.size("num_local_experts")?,
                },
                n_shared_experts: 0,
                num_experts_per_tok: keys.size("num_experts_per_tok")?,
                moe_intermediate_size: keys.size("moe_intermediate_size")?,
                first_k_dense_replace: 0,
                router: Router::Softmax { norm_topk_prob: keys.flag_or("norm_topk_prob", false)? },
            })
        }
        Family::Llama | Family::Qwen2 | Family::Qwen3 => None,
    })
}

fn rope(keys: &Keys) -> Result<Rope, ConfigError> {
    // Newer files hold theta and scaling in `rope_parameters`, older ones beside each other.
    let newer = keys.0.get("rope_parameters").filter(|value| value.is_object());
    let older = keys.0.get("rope_scaling").filter(|value| value.is_object());
    let theta = match newer.map(Keys).filter(|keys| keys.has("rope_theta")) {
        Some(inner) => inner.number("rope_theta")?,
        None => keys.number_or("rope_theta", 10_000.0)?,
    };
    if theta <= 1.0 {
        return Err(ConfigError::Value {
            key: "rope_theta",
            found: theta.to_string(),
            expected: "a number above 1".to_owned(),
        });
    }
    let Some(inner) = newer.or(older).map(Keys) else {
        return Ok(Rope { theta, scaling: Scaling::None });
    };
    let kind = ["rope_type", "type"].iter().find_map(|key| inner.0.get(*key)?.as_str()).unwrap_or("default");
    let original = || -> Result<f64, ConfigError> {
        Ok(match inner.optional_size("original_max_position_embeddings")? {
            Some(tokens) => tokens,
            None => keys.size_or("max_position_embeddings", 4096)?,
        } as f64)
    };
    let scaling = match kind {
        "default" => Scaling::None,
        "yarn" => Scaling::Yarn {
            factor: inner.positive_or("factor", None)?,
            original_max_position_embeddings: original()?,
            beta_fast: inner.positive_or("beta_fast", Some(32.0))?,
            beta_slow: inner.positive_or("beta_slow", Some(1.0))?,
            mscale: inner.number_or("mscale", 0.0)?,
            mscale_all_dim: inner.number_or("mscale_all_dim", 0.0)?,
        },
        "llama3" => {
            let low_freq_factor = inner.positive_or("low_freq_factor", None)?;
            let high_freq_factor = inner.positive_or("high_freq_factor", None)?;
            if high_freq_factor <= low_freq_factor {
                return Err(inner.wrong("high_freq_factor", "a number above low_freq_factor"));
            }
            Scaling::Llama3 {
                factor: inner.positive_or("factor", None)?,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original()?,
            }
        }
        other => {
            return Err(ConfigError::Value {
                key: "rope_scaling",
                found: format!("{other:?}"),
                expected: "default, yarn or llama3".to_owned(),
            });
        }
    };
    Ok(Rope { theta, scaling })
}

fn rope_scaling_json(scaling: Scaling) -> Value {
    match scaling {
        Scaling::None => Value::Null,
        Scaling::Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast,
            beta_slow,
            mscale,
            mscale_all_dim,
        } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original_max_position_embeddings as u64,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "mscale": mscale,
            "mscale_all_dim": mscale_all_dim,
        }),
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings as u64,
            })
        }
    }
}

/// Typed access to a JSON object; absent and null are the same.
struct Keys<'a>(&'a Value);

impl Keys<'_> {
    /// No size of a model we can hold is larger; products of two sizes stay within 64 bits.
    const LARGEST: u64 = 1 << 28;

    fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    fn wrong(&self, key: &'static str, expected: &str) -> ConfigError {
        let found = self.0.get(key).map_or_else(|| "absent".to_owned(), ToString::to_string);
        let found = found.chars().take(80).collect();
        ConfigError::Value { key, found, expected: expected.to_owned() }
    }

    fn optional_size(&self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        if !self.has(key) {
            return Ok(None);
        }
        match self.0[key].as_u64() {
            Some(size @ 1..=Self::LARGEST) => Ok(Some(size as usize)),
            _ => Err(self.wrong(key, "a whole number from 1 to 2^28")),
        }
    }

    fn size(&self, key: &'static str) -> Result<usize, ConfigError> {
        self.optional_size(key)?.ok_or(ConfigError::Missing { key })
    }

    fn size_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.optional_size(key)?.unwrap_or(default))
    }

    /// Like a size, but zero is allowed.
    fn count_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        if self.0.get(key).and_then(Value::as_u64) == Some(0) { Ok(0) } else { self.size_or(key, default) }
    }

    fn number(&self, key: &'static str) -> Result<f64, ConfigError> {
        if !self.has(key) {
            return Err(ConfigError::Missing { key });
        }
        let number = self.0[key].as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.wrong(key, "a finite number, not negative"))
    }

    fn number_or(&self, key: &'static str, default: f64) -> Result<f64, ConfigError> {
        if self.has(key) { self.number(key) } else { Ok(default) }
    }

    fn positive_or(&self, key: &'static str, default: Option<f64>) -> Result<f64, ConfigError> {
        let number = default.map_or_else(|| self.number(key), |default| self.number_or(key, default))?;
        if number > 0.0 { Ok(number) } else { Err(self.wrong(key, "a finite number above 0")) }
    }

    /// Refuses a value that would change what the decoder computes; absent is fine.
    fn only(&self, key: &'static str, allowed: &[Value], expected: &str) -> Result<(), ConfigError> {
        if self.has(key) && !allowed.contains(&self.0[key]) { Err(self.wrong(key, expected)) } else { Ok(()) }
    }

    fn flag_or(&self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        if !self.has(key) {
            return Ok(default);
        }
        self.0[key].as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    fn token_ids(&self, key: &'static str) -> Result<Vec<u32>, ConfigError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match self.0.get(key) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(many)) => many.iter().map(id).collect(),
            Some(one) => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| self.wrong(key, "a token id or a list of them"))
    }
}
