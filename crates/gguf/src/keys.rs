//! Names that a file's metadata and tensors have. Each key `<architecture>.*` is read elsewhere, known to change no
//! number, or refused unless its value says that it is not used.

use crate::architecture::Family;
use crate::error::Error;
use crate::metadata::{Metadata, Value};

/// The tensor of the token embeddings.
pub(crate) const EMBEDDING: &str = "token_embd.weight";

/// The tensor of the output head; absent where it is the embedding.
pub(crate) const HEAD: &str = "output.weight";

/// The tensor of the divisors of the rotary frequencies: they go into `config.json`.
pub(crate) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Read by [`Architecture`](crate::architecture::Architecture) and [`Scaling`](crate::rope::Scaling).
const READ: [&str; 17] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
];

/// What is read besides of an architecture.
fn read_of(family: Family) -> &'static [&'static str] {
    match family {
        Family::Qwen3Moe => &["expert_count", "expert_feed_forward_length", "expert_used_count"],
        Family::Granite => &["attention.scale", "embedding_scale", "logit_scale", "residual_scale"],
        Family::Phi3 => &["attention.sliding_window"],
        Family::Deepseek2 => &[
            "attention.key_length_mla",
            "attention.kv_lora_rank",
            "attention.q_lora_rank",
            "attention.value_length_mla",
            "expert_count",
            "expert_feed_forward_length",
            "expert_gating_func",
            "expert_group_count",
            "expert_group_used_count",
            "expert_shared_count",
            "expert_used_count",
            "expert_weights_norm",
            "expert_weights_scale",
            "leading_dense_block_count",
            "rope.scaling.yarn_log_multiplier",
        ],
        _ => &[],
    }
}

/// What llama.cpp does not read for these architectures: how the converter found the rows, the epsilon of another
/// kind of norm, and what the tensors' shapes say.
const HARMLESS: [&str; 4] =
    ["attention.layer_norm_epsilon", "rope.scaling.finetuned", "tensor_data_layout", "vocab_size"];

/// Factors that multiply by nothing where they are 1. Of all others, 0 is what says that they are not used.
const NEUTRAL_AT_ONE: [&str; 7] = [
    "embedding_scale",
    "logit_scale",
    "residual_scale",
    "rope.scale_linear",
    "rope.scaling.alpha",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_attn_factor",
];

/// Whether attention looks back only; the one flag that is true where nothing is special.
const CAUSAL: &str = "attention.causal";

/// Refuses a file one of whose keys would make it another model than the configuration that we write.
///
/// # Errors
/// [`Error::Metadata`] with the first such key.
pub(crate) fn refuse_others(metadata: &Metadata, family: Family) -> Result<(), Error> {
    let architecture = family.name();
    let is_read = |own: &str| READ.contains(&own) || read_of(family).contains(&own);
    for (key, value) in metadata.iter() {
        let own = key.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.'));
        let Some(own) = own.filter(|own| !is_read(own) && !HARMLESS.contains(own)) else { continue };
        let neutral = match value {
            Value::Flag(flag) => *flag == (own == CAUSAL),
            Value::Integer(number) => is_neutral(own, *number as f64),
            Value::Float(number) => is_neutral(own, *number),
            Value::Text(text) => text.is_empty(),
            Value::Texts(texts) => texts.is_empty(),
            Value::Integers(integers) => integers.iter().all(|&integer| integer == 0),
            Value::Floats(floats) => floats.iter().all(|&float| float == 0.0),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Skipped { len } => *len == 0,
        };
        if !neutral {
            let expected = if own == CAUSAL {
                "true: attention looks back only"
            } else if NEUTRAL_AT_ONE.contains(&own) {
                "1, or absent: other factors are not supported"
            } else {
                "absent, 0, false or empty: what it changes is not supported"
            };
            return Err(metadata.wrong(key, expected));
        }
    }
    Ok(())
}

fn is_neutral(key: &str, number: f64) -> bool {
    number == 0.0 || (number == 1.0 && NEUTRAL_AT_ONE.contains(&key))
}
