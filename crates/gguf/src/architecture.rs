//! Metadata to `config.json`: the families, their sizes, and what of a file we refuse because a configuration
//! could not say it. It refuses to know tensors' contents.

use crate::deepseek::Latent;
use crate::dtype::Dtype;
use crate::error::{Error, shown};
use crate::keys::{EMBEDDING, HEAD, ROPE_DIVISORS, refuse_others};
use crate::metadata::Metadata;
use crate::rope::Scaling;
use crate::tensor::TensorInfo;
use serde_json::{Value, json};

/// A model family, by what distinguishes its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Rows of q and k are reordered in the file.
    Llama,
    /// Biases on q, k and v.
    Qwen2,
    /// Norms on the heads of q and k.
    Qwen3,
    /// The same with a mixture of experts in every block.
    Qwen3Moe,
    /// Llama with every fourth block unrotated.
    Smollm3,
    /// Llama with factors on states and scores.
    Granite,
    /// Qwen2 with another name for the second norm.
    SeedOss,
    /// Llama in the order of Hugging Face's rows, with q, k and v in one tensor, and gate and values in one.
    Phi3,
    /// Latent attention and DeepSeek-V3's mixture.
    Deepseek2,
}

/// Granite's factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Multipliers {
    pub(crate) embedding: f64,
    pub(crate) residual: f64,
    pub(crate) attention: f64,
    pub(crate) logits: f64,
}

/// Of SmolLM3's blocks one of so many is not rotated (llama.cpp's `n_no_rope_layer_step`).
pub(crate) const UNROTATED: u64 = 4;

/// The sizes and numbers of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) family: Family,
    pub(crate) vocab_size: u64,
    pub(crate) hidden_size: u64,
    pub(crate) num_hidden_layers: u64,
    pub(crate) intermediate_size: u64,
    pub(crate) num_attention_heads: u64,
    pub(crate) num_key_value_heads: u64,
    pub(crate) head_dim: u64,
    pub(crate) max_position_embeddings: u64,
    pub(crate) rms_norm_eps: f64,
    pub(crate) rope_theta: f64,
    pub(crate) scaling: Scaling,
    pub(crate) experts: Option<Experts>,
    pub(crate) multipliers: Option<Multipliers>,
    /// Of latent attention.
    pub(crate) latent: Option<Latent>,
    pub(crate) tie_word_embeddings: bool,
}

/// The sizes of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Experts {
    pub(crate) count: u64,
    /// Per token.
    pub(crate) used: u64,
    pub(crate) intermediate_size: u64,
}

/// Experts of all blocks together: each is a few tensors of the folder, by name. DeepSeek-V3 has 14,848.
const MOST_EXPERTS: u64 = 1 << 14;

/// No size of a model is larger; products of two stay within 64 bits.
pub(crate) const LARGEST: u64 = 1 << 28;

impl Family {
    pub(crate) const ALL: [Self; 9] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::Smollm3,
        Self::Granite,
        Self::SeedOss,
        Self::Phi3,
        Self::Deepseek2,
    ];

    /// The names of all.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Of `general.architecture`.
    pub(crate) fn of(metadata: &Metadata) -> Result<Self, Error> {
        const KEY: &str = "general.architecture";
        let name = metadata.text(KEY)?.ok_or_else(|| metadata.wrong(KEY, Self::names()))?;
        let family = Self::ALL.into_iter().find(|family| family.name() == name);
        family.ok_or_else(|| Error::Architecture { found: shown(name), known: Self::names() })
    }

    /// Its name in GGUF's keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Smollm3 => "smollm3",
            Self::Granite => "granite",
            Self::SeedOss => "seed_oss",
            Self::Phi3 => "phi3",
            Self::Deepseek2 => "deepseek2",
        }
    }

    /// `model_type` of `config.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Qwen3Moe => "qwen3_moe",
            // Taken apart, its weights are Llama's.
            Self::Phi3 => "llama",
            Self::Deepseek2 => "deepseek_v3",
            other => other.name(),
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Llama | Self::Phi3 => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::Smollm3 => "SmolLM3ForCausalLM",
            Self::Granite => "GraniteForCausalLM",
            Self::SeedOss => "SeedOssForCausalLM",
            Self::Deepseek2 => "DeepseekV3ForCausalLM",
        }
    }
}

impl Architecture {
    /// Reads the metadata; `rope_divisors` are the elements of `rope_freqs.weight`.
    pub(crate) fn read(
        metadata: &Metadata,
        tensors: &[TensorInfo],
        rope_divisors: Option<&[f32]>,
    ) -> Result<Self, Error> {
        let family = Family::of(metadata)?;
        let keys = Keys { metadata, family };
        refuse_others(metadata, family)?;
        let num_hidden_layers = keys.size("block_count")?;
        if num_hidden_layers > tensors.len() as u64 {
            let expected = format!("at most the file's {} tensors", tensors.len());
            return Err(metadata.wrong(&keys.name("block_count"), expected));
        }
        let hidden_size = keys.size("embedding_length")?;
        let num_attention_heads = keys.size("attention.head_count")?;
        let heads = match family {
            Family::Deepseek2 => None,
            _ => Some(keys.heads(hidden_size, num_attention_heads)?),
        };
        let mismatched =
            |divisors: &&[f32]| heads.is_none_or(|(_, width)| divisors.len() as u64 * 2 != width);
        if let Some(divisors) = rope_divisors.filter(mismatched) {
            let expected = heads.map_or_else(|| "none".to_owned(), |(_, width)| format!("[{}]", width / 2));
            return Err(misshapen(format!("{}: [{}] instead of {expected}", ROPE_DIVISORS, divisors.len())));
        }
        let rope_theta = keys.positive("rope.freq_base", Some(10_000.0))?;
        if rope_theta <= 1.0 {
            return Err(metadata.wrong(&keys.name("rope.freq_base"), "a number above 1"));
        }
        let scaling = Scaling::read(metadata, family.name(), rope_theta, rope_divisors)?;
        let latent = match family {
            Family::Deepseek2 => Some(Latent::read(&keys, num_hidden_layers, scaling)?),
            _ => None,
        };
        let width = latent.map_or(0, |latent| latent.nope + latent.rotated);
        let (num_key_value_heads, head_dim) = heads.unwrap_or((num_attention_heads, width));
        let experts = match family {
            Family::Qwen3Moe | Family::Deepseek2 => Some(keys.experts(num_hidden_layers)?),
            _ => None,
        };
        let multipliers = match family {
            Family::Granite => Some(keys.multipliers(head_dim)?),
            _ => None,
        };
        let context = keys.size("context_length")?;
        if family == Family::Phi3
            && keys.optional_size_or_none("attention.sliding_window")?.is_some_and(|window| window < context)
        {
            let expected = format!("0, or at least the {context} positions: windows are not supported");
            return Err(metadata.wrong(&keys.name("attention.sliding_window"), expected));
        }
        Ok(Self {
            family,
            experts,
            multipliers,
            latent,
            vocab_size: vocab_size(tensors)?,
            hidden_size,
            num_hidden_layers,
            intermediate_size: keys.size("feed_forward_length")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            max_position_embeddings: context,
            rms_norm_eps: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_theta,
            scaling,
            // llama.cpp writes a head only where it is not the embedding.
            tie_word_embeddings: !tensors.iter().any(|tensor| tensor.name == HEAD),
        })
    }

    /// `config.json`, in the spelling that every version of transformers reads.
    pub(crate) fn to_json(&self, dtype: Dtype) -> Value {
        let mut json = json!({
            "architectures": [self.family.class()],
            "model_type": self.family.model_type(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "intermediate_size": self.intermediate_size,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.scaling.to_json(),
            "tie_word_embeddings": self.tie_word_embeddings,
            "dtype": dtype.config_name(),
        });
        // Qwen2's class has no such key.
        if self.family != Family::Qwen2 {
            json["attention_bias"] = json!(self.family == Family::SeedOss);
        }
        if self.family == Family::Smollm3 {
            json["no_rope_layers"] =
                (1..=self.num_hidden_layers).map(|number| u64::from(number % UNROTATED != 0)).collect();
            json["use_sliding_window"] = json!(false);
        }
        if self.family == Family::SeedOss {
            json["attention_out_bias"] = json!(false);
        }
        if let Some(multipliers) = self.multipliers {
            json["embedding_multiplier"] = json!(multipliers.embedding);
            json["residual_multiplier"] = json!(multipliers.residual);
            json["attention_multiplier"] = json!(multipliers.attention);
            json["logits_scaling"] = json!(multipliers.logits);
        }
        if let (Some(latent), Some(experts)) = (self.latent, self.experts) {
            if let Value::Object(config) = &mut json {
                latent.add_json(config, self.num_attention_heads, experts);
            }
        } else if let Some(experts) = self.experts {
            json["num_experts"] = json!(experts.count);
            json["num_experts_per_tok"] = json!(experts.used);
            json["moe_intermediate_size"] = json!(experts.intermediate_size);
            // llama.cpp always makes the chosen weights sum to 1, and has experts in every block.
            json["norm_topk_prob"] = json!(true);
            json["decoder_sparse_step"] = json!(1);
            json["mlp_only_layers"] = json!([]);
        }
        json
    }
}

/// The embedding's rows: `vocab_size` of the metadata is missing in many files.
fn vocab_size(tensors: &[TensorInfo]) -> Result<u64, Error> {
    let embedding = tensors.iter().find(|tensor| tensor.name == EMBEDDING);
    match embedding.map(|tensor| tensor.shape.as_slice()) {
        Some(&[rows @ 1..=LARGEST, _]) => Ok(rows),
        Some(shape) => Err(misshapen(format!("{EMBEDDING}: {shape:?} instead of [tokens, hidden]"))),
        None => Err(Error::Tensors {
            missing: vec![EMBEDDING.to_owned()],
            unexpected: Vec::new(),
            misshapen: Vec::new(),
        }),
    }
}

/// The error of one tensor of another shape.
pub(crate) fn misshapen(found: String) -> Error {
    Error::Tensors { missing: Vec::new(), unexpected: Vec::new(), misshapen: vec![found] }
}

/// The keys of an architecture, which its name precedes.
pub(crate) struct Keys<'a> {
    pub(crate) metadata: &'a Metadata,
    family: Family,
}

impl Keys<'_> {
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.family.name())
    }

    pub(crate) fn optional_size(&self, key: &str) -> Result<Option<u64>, Error> {
        let key = self.name(key);
        match self.metadata.unsigned(&key)? {
            Some(1..=LARGEST) | None => self.metadata.unsigned(&key),
            Some(_) => Err(self.metadata.wrong(&key, "a whole number from 1 to 2^28")),
        }
    }

    pub(crate) fn size(&self, key: &str) -> Result<u64, Error> {
        let missing = || self.metadata.wrong(&self.name(key), "a whole number from 1 to 2^28");
        self.optional_size(key)?.ok_or_else(missing)
    }

    /// A size whose 0 says that there is none.
    pub(crate) fn optional_size_or_none(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.metadata.unsigned(&self.name(key))? {
            Some(0) | None => Ok(None),
            Some(_) => self.optional_size(key),
        }
    }

    /// Key-value heads, and the width of a head.
    fn heads(&self, hidden_size: u64, num_attention_heads: u64) -> Result<(u64, u64), Error> {
        let keys = self.optional_size("attention.head_count_kv")?.unwrap_or(num_attention_heads);
        let head_dim = match self.optional_size("attention.key_length")? {
            Some(width) => width,
            None => hidden_size / num_attention_heads,
        };
        if !num_attention_heads.is_multiple_of(keys) {
            let key = self.name("attention.head_count_kv");
            return Err(self.metadata.wrong(&key, format!("a divisor of {num_attention_heads}")));
        }
        if head_dim == 0 || head_dim % 2 != 0 {
            let key = self.name("attention.key_length");
            return Err(self.metadata.wrong(&key, format!("an even width of heads, not {head_dim}")));
        }
        for same in ["attention.value_length", "rope.dimension_count"] {
            if self.optional_size(same)?.is_some_and(|width| width != head_dim) {
                return Err(self
                    .metadata
                    .wrong(&self.name(same), format!("{head_dim}, the width of a head")));
            }
        }
        Ok((keys, head_dim))
    }

    fn multipliers(&self, head_dim: u64) -> Result<Multipliers, Error> {
        const ROTATED: &str = "rope.scaling.finetuned";
        if self.metadata.flag(&self.name(ROTATED))? == Some(false) {
            let expected = "true, or absent: blocks without rotation are not supported for this architecture";
            return Err(self.metadata.wrong(&self.name(ROTATED), expected));
        }
        // 0 says that there is none, as in llama.cpp.
        let factor = |key: &str, usual: f64| match self.metadata.number(&self.name(key))? {
            Some(factor) if factor < 0.0 => Err(self.metadata.wrong(&self.name(key), "a number above 0")),
            Some(factor) if factor > 0.0 => Ok(factor),
            _ => Ok(usual),
        };
        Ok(Multipliers {
            embedding: factor("embedding_scale", 1.0)?,
            residual: factor("residual_scale", 1.0)?,
            attention: factor("attention.scale", (head_dim as f64).powf(-0.5))?,
            logits: factor("logit_scale", 1.0)?,
        })
    }

    fn experts(&self, blocks: u64) -> Result<Experts, Error> {
        let count = self.size("expert_count")?;
        if count * blocks > MOST_EXPERTS {
            let expected = format!("at most {MOST_EXPERTS} experts in {blocks} blocks");
            return Err(self.metadata.wrong(&self.name("expert_count"), expected));
        }
        let used = self.size("expert_used_count")?;
        if used > count {
            let expected = format!("at most the {count} experts");
            return Err(self.metadata.wrong(&self.name("expert_used_count"), expected));
        }
        let intermediate_size = self.size("expert_feed_forward_length")?;
        Ok(Experts { count, used, intermediate_size })
    }

    fn positive(&self, key: &str, default: Option<f64>) -> Result<f64, Error> {
        let key = self.name(key);
        match self.metadata.number(&key)?.or(default) {
            Some(number) if number > 0.0 => Ok(number),
            _ => Err(self.metadata.wrong(&key, "a number above 0")),
        }
    }
}
