//! `config.json` -> [`Config`]: the keys, the families' defaults, and what we refuse.

use super::defaults;
use super::families::lacking;
use super::keys::{ConfigError, Keys};
use super::parts::{
    attention, mlp_bias, moe, multipliers, num_nextn_predict_layers, refuse_other_parts, refuse_window,
    unrotated,
};
use super::rope_keys::rope;
use super::{Attention, Config, Family, Multipliers, Router, Scaling, Unrotated};
use serde_json::{Value, json};

impl Config {
    /// Reads a `config.json` of one of the families, in its older (`rope_scaling`) or newer
    /// (`rope_parameters`) form.
    ///
    /// # Errors
    /// The family is unknown, a key is missing, or a value cannot be: the message names the key.
    pub fn from_json(json: &Value) -> Result<Self, ConfigError> {
        let keys = Keys(json);
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let family = Family::of(model_type).ok_or_else(|| ConfigError::Family {
            found: model_type.chars().take(80).collect(),
            lacks: lacking(model_type),
        })?;
        keys.only("hidden_act", &[json!("silu"), json!("swish")], "\"silu\"")?;
        refuse_other_parts(&keys, family)?;
        let vocab_size = keys.size("vocab_size")?;
        let defaults = family.defaults();
        let stated_positions = keys.size_or("max_position_embeddings", defaults.max_position_embeddings)?;
        let rope = rope(&keys, family, stated_positions, defaults.rope_theta)?;
        let max_position_embeddings = match &rope.scaling {
            Scaling::LongRope(long) => stated_positions.min(long.original_max_position_embeddings),
            _ => stated_positions,
        };
        let num_hidden_layers = keys.size("num_hidden_layers")?;
        refuse_window(&keys, family, max_position_embeddings, num_hidden_layers)?;
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
            mlp_bias: mlp_bias(&keys, family)?,
            max_position_embeddings,
            rms_norm_eps: keys.number_or("rms_norm_eps", defaults.rms_norm_eps)?,
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", defaults.tie_word_embeddings)?,
            initializer_range: keys.number_or("initializer_range", defaults::INITIALIZER_RANGE)?,
            eos_token_ids: keys.token_ids("eos_token_id", defaults.eos_token_id, vocab_size)?,
            attention: attention(&keys, family)?,
            maps: family.traits().maps,
            norms: family.traits().norms,
            rope,
            unrotated: if family == Family::Smollm3 {
                unrotated(&keys, num_hidden_layers)?
            } else {
                Unrotated::None
            },
            multipliers: if family == Family::Granite { multipliers(&keys)? } else { Multipliers::NONE },
            moe: moe(&keys, family)?,
            num_nextn_predict_layers: num_nextn_predict_layers(&keys, family)?,
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
        if let Scaling::LongRope(long) = &self.rope.scaling {
            let pairs = self.rotary_width() / 2;
            for (key, factors) in [("short_factor", &long.short_factor), ("long_factor", &long.long_factor)] {
                if factors.len() != pairs {
                    let expected = format!("{pairs} numbers, one per pair of rotated columns");
                    return wrong(key, format!("a list of {}", factors.len()), &expected);
                }
            }
        }
        if self.num_nextn_predict_layers > 1 {
            let found = self.num_nextn_predict_layers.to_string();
            return wrong("num_nextn_predict_layers", found, "0 or 1");
        }
        Ok(())
    }
}
