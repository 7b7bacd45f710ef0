//! `config.json` to the keys of a GGUF file, as llama.cpp's converter writes them. Tokenizers are not its matter.

use super::error::ExportError;
use super::writer::Kv;
use crate::architecture::{Architecture, Experts, Family, LARGEST, Multipliers, UNROTATED};
use crate::container::{MAX_ELEMENTS, MAX_TENSORS};
use crate::rope::Scaling;
use serde_json::Value;

impl Architecture {
    /// Of a `config.json` in the older spelling.
    pub(super) fn from_config(json: &Value) -> Result<Self, ExportError> {
        let config = Config(json);
        let found = json["model_type"].as_str().unwrap_or_default();
        // llama.cpp runs Mistral as Llama. Phi-3 and DeepSeek-V3 are imported only.
        let name = if found == "mistral" { "llama" } else { found };
        let written =
            || Family::ALL.into_iter().filter(|family| !matches!(family, Family::Phi3 | Family::Deepseek2));
        let Some(family) = written().find(|family| family.model_type() == name) else {
            let expected: Vec<&str> =
                ["mistral"].into_iter().chain(written().map(Family::model_type)).collect();
            let expected = expected.join(", ");
            return Err(ExportError::Family { found: found.chars().take(80).collect(), expected });
        };
        config.check_parts(family)?;
        let rope_theta = config.number("rope_theta")?;
        let experts = match family {
            Family::Qwen3Moe => {
                if json["norm_topk_prob"] != Value::Bool(true) {
                    return Err(config.wrong(
                        "norm_topk_prob",
                        "llama.cpp's qwen3moe always makes the chosen experts' weights sum to 1",
                    ));
                }
                Some(Experts {
                    count: config.size("num_experts")?,
                    used: config.size("num_experts_per_tok")?,
                    intermediate_size: config.size("moe_intermediate_size")?,
                })
            }
            _ => None,
        };
        let multipliers = match family {
            Family::Granite => Some(Multipliers {
                embedding: config.number("embedding_multiplier")?,
                residual: config.number("residual_multiplier")?,
                attention: config.number("attention_multiplier")?,
                logits: config.number("logits_scaling")?,
            }),
            _ => None,
        };
        Ok(Self {
            family,
            vocab_size: config.size_up_to("vocab_size", MAX_ELEMENTS)?,
            hidden_size: config.size("hidden_size")?,
            // Every block has tensors.
            num_hidden_layers: config.size_up_to("num_hidden_layers", MAX_TENSORS)?,
            intermediate_size: config.size("intermediate_size")?,
            num_attention_heads: config.size("num_attention_heads")?,
            num_key_value_heads: config.size("num_key_value_heads")?,
            head_dim: config.size_up_to("head_dim", MAX_ELEMENTS)?,
            max_position_embeddings: config.size("max_position_embeddings")?,
            rms_norm_eps: config.number("rms_norm_eps")?,
            rope_theta,
            scaling: config.scaling(family)?,
            experts,
            multipliers,
            latent: None,
            tie_word_embeddings: json["tie_word_embeddings"] == Value::Bool(true),
        })
    }

    /// `<architecture>.*`.
    pub(super) fn keys(&self) -> Vec<(String, Kv)> {
        let size = |size: u64| Kv::Unsigned(size as u32);
        let float = |number: f64| Kv::Float(number as f32);
        let mut keys = vec![
            ("vocab_size", size(self.vocab_size)),
            ("context_length", size(self.max_position_embeddings)),
            ("embedding_length", size(self.hidden_size)),
            ("block_count", size(self.num_hidden_layers)),
            ("feed_forward_length", size(self.intermediate_size)),
            ("attention.head_count", size(self.num_attention_heads)),
            ("attention.head_count_kv", size(self.num_key_value_heads)),
            ("attention.key_length", size(self.head_dim)),
            ("attention.value_length", size(self.head_dim)),
            ("attention.layer_norm_rms_epsilon", float(self.rms_norm_eps)),
            ("rope.dimension_count", size(self.head_dim)),
            ("rope.freq_base", float(self.rope_theta)),
        ];
        match self.scaling {
            // Llama 3's rule is a tensor.
            Scaling::None | Scaling::Llama3 { .. } => {}
            Scaling::Yarn { factor, original, beta_fast, beta_slow } => keys.extend([
                ("rope.scaling.type", Kv::Text("yarn".to_owned())),
                ("rope.scaling.factor", float(factor)),
                ("rope.scaling.original_context_length", size(original)),
                ("rope.scaling.yarn_beta_fast", float(beta_fast)),
                ("rope.scaling.yarn_beta_slow", float(beta_slow)),
            ]),
        }
        if let Some(experts) = self.experts {
            keys.extend([
                ("expert_count", size(experts.count)),
                ("expert_used_count", size(experts.used)),
                ("expert_feed_forward_length", size(experts.intermediate_size)),
            ]);
        }
        if let Some(multipliers) = self.multipliers {
            keys.extend([
                ("embedding_scale", float(multipliers.embedding)),
                ("residual_scale", float(multipliers.residual)),
                ("attention.scale", float(multipliers.attention)),
                ("logit_scale", float(multipliers.logits)),
            ]);
        }
        let family = self.family.name();
        keys.into_iter().map(|(key, value)| (format!("{family}.{key}"), value)).collect()
    }

    /// The elements of `rope_freqs.weight`; none where the file has no such tensor.
    pub(super) fn rope_divisors(&self) -> Vec<f32> {
        self.scaling.divisors(self.rope_theta, self.head_dim)
    }
}

struct Config<'a>(&'a Value);

impl Config<'_> {
    fn wrong(&self, key: &'static str, expected: &str) -> ExportError {
        let found = match &self.0[key] {
            Value::Null => "absent".to_owned(),
            value => value.to_string().chars().take(80).collect(),
        };
        ExportError::Config { key, found, expected: expected.to_owned() }
    }

    /// Refuses parts of a family for which a file has no tensors or keys.
    fn check_parts(&self, family: Family) -> Result<(), ExportError> {
        let is = |key: &str, flag: bool| self.0[key] == Value::Bool(flag);
        if family == Family::SeedOss && !is("attention_bias", true) {
            return Err(self.wrong("attention_bias", "llama.cpp's seed_oss has biases on q, k and v"));
        }
        if family != Family::SeedOss && is("attention_bias", true) {
            return Err(self.wrong("attention_bias", "biases of attention are not written"));
        }
        for key in ["attention_out_bias", "mlp_bias"] {
            if is(key, true) {
                return Err(self.wrong(key, "such biases are not written"));
            }
        }
        if family == Family::Smollm3 {
            const KEY: &str = "no_rope_layers";
            const INTERVAL: &str = "no_rope_layer_interval";
            let interval = &self.0[INTERVAL];
            let behind =
                self.0["num_hidden_layers"].as_u64().map_or(u64::MAX, |count| count.saturating_add(1));
            let same = |interval: u64| interval.min(behind) == UNROTATED.min(behind);
            if self.0[KEY].is_null() && !interval.is_null() && !interval.as_u64().is_some_and(same) {
                return Err(self.wrong(INTERVAL, "llama.cpp leaves every fourth block unrotated"));
            }
            let blocks = self.0[KEY].as_array().into_iter().flatten();
            let usual = |(block, rotated): (u64, &Value)| {
                rotated.as_u64() == Some(u64::from((block + 1) % UNROTATED != 0))
            };
            if !(0..).zip(blocks).all(usual) {
                return Err(self.wrong(KEY, "llama.cpp leaves every fourth block unrotated, and no other"));
            }
        }
        Ok(())
    }

    fn size(&self, key: &'static str) -> Result<u64, ExportError> {
        self.size_up_to(key, LARGEST)
    }

    fn size_up_to(&self, key: &'static str, limit: u64) -> Result<u64, ExportError> {
        let size = self.0[key].as_u64().filter(|size| (1..=limit).contains(size));
        size.ok_or_else(|| self.wrong(key, &format!("expected a whole number from 1 to {limit}")))
    }

    fn number(&self, key: &'static str) -> Result<f64, ExportError> {
        let number = self.0[key].as_f64().filter(|number| *number > 0.0);
        number.ok_or_else(|| self.wrong(key, "expected a number above 0"))
    }

    fn scaling(&self, family: Family) -> Result<Scaling, ExportError> {
        const KEY: &str = "rope_scaling";
        let table = &self.0[KEY];
        if table.is_null() {
            return Ok(Scaling::None);
        }
        let number = |key: &str| table[key].as_f64().filter(|number| *number > 0.0);
        let missing = || self.wrong(KEY, "expected a table with all its numbers");
        let needed = |key: &str| number(key).ok_or_else(missing);
        match table["rope_type"].as_str() {
            Some("yarn") => {
                let unsaid = ["attention_factor", "mscale", "mscale_all_dim"];
                if unsaid.iter().any(|key| number(key).is_some()) {
                    return Err(self.wrong(KEY, "a file has no keys for YaRN's factors of attention"));
                }
                Ok(Scaling::Yarn {
                    factor: needed("factor")?,
                    original: needed("original_max_position_embeddings")? as u64,
                    beta_fast: needed("beta_fast")?,
                    beta_slow: needed("beta_slow")?,
                })
            }
            Some("llama3") if !matches!(family, Family::Llama | Family::Granite) => {
                Err(self.wrong(KEY, "llama.cpp has Llama 3's rule for llama and granite only"))
            }
            Some("llama3") => Ok(Scaling::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                original: needed("original_max_position_embeddings")?,
            }),
            _ => Err(self.wrong(KEY, "expected YaRN's or Llama 3's rule")),
        }
    }
}
