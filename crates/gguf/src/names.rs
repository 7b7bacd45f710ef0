//! Which tensors an architecture has: their names in the file and in a model folder, their shapes, and the order of
//! their rows. It refuses to know what they hold.

use crate::architecture::{Architecture, Family};
use crate::deepseek;
use crate::error::{Error, shown};
use crate::keys::{EMBEDDING, HEAD, ROPE_DIVISORS};
use crate::tensor::TensorInfo;
use std::collections::BTreeMap;

/// Where a tensor of a model folder comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mapped {
    /// The name in the model folder.
    pub(crate) name: String,
    /// The tensors of the file.
    pub(crate) source: Source,
}

/// The tensors of the file that become one of a model folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// One, and in which order its rows are wanted.
    Rows(TensorInfo, Rows),
    /// The halves of latent attention's up-projection: in each head the transposed rows of keys, then those of values.
    LatentUp {
        /// `[H, C, P]`
        key: TensorInfo,
        /// `[H, Dv, C]`
        value: TensorInfo,
    },
}

impl Mapped {
    /// Its shape in the model folder.
    pub(crate) fn shape(&self) -> Vec<u64> {
        match &self.source {
            Source::Rows(stored, _) => stored.shape.clone(),
            Source::LatentUp { key, value } => {
                vec![key.shape[0] * (key.shape[2] + value.shape[1]), key.shape[1]]
            }
        }
    }

    /// How many elements it has.
    pub(crate) fn elements(&self) -> u64 {
        self.shape().iter().product()
    }

    /// The tensors of the file, whose types decide how it is stored.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &TensorInfo> {
        let (first, second) = match &self.source {
            Source::Rows(stored, _) => (stored, None),
            Source::LatentUp { key, value } => (key, Some(value)),
        };
        std::iter::once(first).chain(second)
    }
}

/// The order of a tensor's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// As they lie.
    AsStored,
    /// Of heads of this many rows. llama.cpp rotates neighbours, transformers rotates an element with the one half a
    /// head further on, so its converter interleaved the halves of each head: rows 0, 1, 2, 3, .. of a file's head are
    /// rows 0, w/2, 1, w/2 + 1, ..
    Interleaved { width: u64 },
}

impl Rows {
    /// The stored row that becomes row `row`.
    pub(crate) fn source(self, row: u64) -> u64 {
        match self {
            Self::AsStored => row,
            Self::Interleaved { width } => {
                let (head, row) = (row / width, row % width);
                head * width + row % (width / 2) * 2 + row / (width / 2)
            }
        }
    }

    /// The row of the model folder that is stored as row `row`.
    pub(crate) fn wanted(self, row: u64) -> u64 {
        match self {
            Self::AsStored => row,
            Self::Interleaved { width } => {
                let (head, row) = (row / width, row % width);
                head * width + row % 2 * (width / 2) + row / 2
            }
        }
    }

    /// How many rows change places among themselves.
    pub(crate) fn group(self) -> u64 {
        match self {
            Self::AsStored => 1,
            Self::Interleaved { width } => width,
        }
    }
}

/// Pairs every tensor that the architecture needs with the file's; the result is in the order of layers.
///
/// # Errors
/// [`Error::Tensors`] names all that are missing, that are left over and that have another shape.
pub(crate) fn map(architecture: &Architecture, tensors: &[TensorInfo]) -> Result<Vec<Mapped>, Error> {
    /// Names an error lists.
    const NAMED: usize = 32;
    let mut left: BTreeMap<&str, &TensorInfo> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    left.remove(ROPE_DIVISORS);
    let (mut mapped, mut missing, mut misshapen) = (Vec::new(), Vec::new(), Vec::new());
    let mut latent_key = None;
    for Expected { stored, name, shape, rows } in expected(architecture) {
        match left.remove(stored.as_str()) {
            None => missing.push(stored),
            Some(tensor) if tensor.shape != shape => {
                misshapen.push(format!("{stored}: {:?} instead of {shape:?}", tensor.shape));
            }
            Some(tensor) => match name {
                Name::One(name) => mapped.push(Mapped { name, source: Source::Rows(tensor.clone(), rows) }),
                Name::LatentKey => latent_key = Some(tensor.clone()),
                Name::LatentValue(name) => mapped.extend(
                    latent_key
                        .take()
                        .map(|key| Mapped { name, source: Source::LatentUp { key, value: tensor.clone() } }),
                ),
                Name::PerExpert { .. } => mapped.extend((0..shape[0]).map(|expert| Mapped {
                    name: name.of_expert(expert),
                    source: Source::Rows(expert_of(tensor, expert), rows),
                })),
                Name::Joined(parts) => {
                    let mut first = 0;
                    for (name, count) in parts {
                        mapped
                            .push(Mapped { name, source: Source::Rows(rows_of(tensor, first, count), rows) });
                        first += count;
                    }
                }
            },
        }
    }
    let mut unexpected: Vec<String> = left.into_keys().map(shown).collect();
    if missing.is_empty() && misshapen.is_empty() && unexpected.is_empty() {
        return Ok(mapped);
    }
    for list in [&mut missing, &mut misshapen, &mut unexpected] {
        list.truncate(NAMED);
    }
    Err(Error::Tensors { missing, unexpected, misshapen })
}

/// The expert's share of a tensor that stacks those of all.
fn expert_of(stacked: &TensorInfo, expert: u64) -> TensorInfo {
    let bytes = stacked.bytes / stacked.shape[0];
    let shape = stacked.shape[1..].to_vec();
    TensorInfo { shape, at: stacked.at + expert * bytes, bytes, ..stacked.clone() }
}

/// Some rows of a tensor.
fn rows_of(joined: &TensorInfo, first: u64, count: u64) -> TensorInfo {
    let row = joined.bytes / joined.shape[0];
    let shape = [&[count], &joined.shape[1..]].concat();
    TensorInfo { shape, at: joined.at + first * row, bytes: count * row, ..joined.clone() }
}

/// A tensor of the file, and what it is in a model folder.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) stored: String,
    pub(crate) name: Name,
    pub(crate) shape: Vec<u64>,
    pub(crate) rows: Rows,
}

/// The names of a tensor of the file in a model folder.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    One(String),
    /// Experts are stacked in the file, and tensors of their own in the folder: `{before}{expert}{after}`.
    PerExpert {
        before: String,
        after: String,
    },
    /// Tensors of the folder of so many rows each, one after the other in the file.
    Joined(Vec<(String, u64)>),
    /// The half of keys of the tensor that the next [`LatentValue`](Self::LatentValue) names.
    LatentKey,
    /// The half of values.
    LatentValue(String),
}

impl Name {
    /// How many tensors of a model folder a tensor of this shape is.
    pub(crate) fn parts(&self, shape: &[u64]) -> u64 {
        match self {
            Self::One(_) | Self::Joined(_) | Self::LatentKey | Self::LatentValue(_) => 1,
            Self::PerExpert { .. } => shape[0],
        }
    }

    /// The name of an expert's tensor, or of the one. Joined ones and halves are imported only.
    pub(crate) fn of_expert(&self, expert: u64) -> String {
        match self {
            Self::One(name) | Self::LatentValue(name) => name.clone(),
            Self::LatentKey => String::new(),
            Self::Joined(parts) => parts.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            Self::PerExpert { before, after } => format!("{before}{expert}{after}"),
        }
    }
}

/// One stored matrix of a layer that holds several of ours, with so many rows each, below one another.
fn joined(layer: u64, stored: &str, parts: &[(&str, u64)], columns: u64) -> Expected {
    let name = |(name, rows): &(&str, u64)| (format!("model.layers.{layer}.{name}.weight"), *rows);
    Expected {
        stored: format!("blk.{layer}.{stored}.weight"),
        name: Name::Joined(parts.iter().map(name).collect()),
        shape: vec![parts.iter().map(|(_, rows)| rows).sum(), columns],
        rows: Rows::AsStored,
    }
}

/// All tensors of an architecture, in the order of layers.
pub(crate) fn expected(architecture: &Architecture) -> Vec<Expected> {
    let a = architecture;
    let (d, f) = (a.hidden_size, a.intermediate_size);
    // Sizes are at most 2^28, so products fit.
    let (q, kv) = (a.num_attention_heads * a.head_dim, a.num_key_value_heads * a.head_dim);
    let rotated = match a.family {
        Family::Llama | Family::Smollm3 | Family::Granite => Rows::Interleaved { width: a.head_dim },
        Family::Qwen2
        | Family::Qwen3
        | Family::Qwen3Moe
        | Family::SeedOss
        | Family::Phi3
        | Family::Deepseek2 => Rows::AsStored,
    };
    let plain = Rows::AsStored;

    let mut all: Vec<Expected> = Vec::new();
    let add = |all: &mut Vec<Expected>, stored: String, name: String, shape: &[u64], rows: Rows| {
        all.push(Expected { stored, name: Name::One(name), shape: shape.to_vec(), rows });
    };
    add(&mut all, EMBEDDING.to_owned(), "model.embed_tokens.weight".to_owned(), &[a.vocab_size, d], plain);
    for layer in 0..a.num_hidden_layers {
        let experts = a.experts.filter(|_| a.latent.is_none_or(|latent| layer >= latent.dense_blocks));
        if let Some(latent) = a.latent {
            deepseek::block(a, latent, layer, &mut |expected| all.push(expected));
            if let Some(experts) = experts {
                deepseek::mixture(a, latent, layer, experts, &mut |expected| all.push(expected));
            }
        }
        let mut weight = |stored: &str, name: &str, shape: &[u64], rows: Rows| {
            add(
                &mut all,
                format!("blk.{layer}.{stored}"),
                format!("model.layers.{layer}.{name}"),
                shape,
                rows,
            );
        };
        weight("attn_norm.weight", "input_layernorm.weight", &[d], plain);
        if !matches!(a.family, Family::Phi3 | Family::Deepseek2) {
            weight("attn_q.weight", "self_attn.q_proj.weight", &[q, d], rotated);
            weight("attn_k.weight", "self_attn.k_proj.weight", &[kv, d], rotated);
            weight("attn_v.weight", "self_attn.v_proj.weight", &[kv, d], plain);
        }
        if a.latent.is_none() {
            weight("attn_output.weight", "self_attn.o_proj.weight", &[d, q], plain);
        }
        match a.family {
            Family::Llama | Family::Smollm3 | Family::Granite | Family::Phi3 | Family::Deepseek2 => {}
            Family::Qwen2 | Family::SeedOss => {
                weight("attn_q.bias", "self_attn.q_proj.bias", &[q], plain);
                weight("attn_k.bias", "self_attn.k_proj.bias", &[kv], plain);
                weight("attn_v.bias", "self_attn.v_proj.bias", &[kv], plain);
            }
            Family::Qwen3 | Family::Qwen3Moe => {
                weight("attn_q_norm.weight", "self_attn.q_norm.weight", &[a.head_dim], plain);
                weight("attn_k_norm.weight", "self_attn.k_norm.weight", &[a.head_dim], plain);
            }
        }
        let norm = if a.family == Family::SeedOss { "post_attention_norm.weight" } else { "ffn_norm.weight" };
        weight(norm, "post_attention_layernorm.weight", &[d], plain);
        if a.family == Family::Phi3 {
            weight("ffn_down.weight", "mlp.down_proj.weight", &[d, f], plain);
            let attention = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
            all.push(joined(layer, "attn_qkv", &attention, d));
            all.push(joined(layer, "ffn_up", &[("mlp.gate_proj", f), ("mlp.up_proj", f)], d));
            continue;
        }
        let Some(experts) = experts else {
            weight("ffn_gate.weight", "mlp.gate_proj.weight", &[f, d], plain);
            weight("ffn_up.weight", "mlp.up_proj.weight", &[f, d], plain);
            weight("ffn_down.weight", "mlp.down_proj.weight", &[d, f], plain);
            continue;
        };
        let (n, f) = (experts.count, experts.intermediate_size);
        weight("ffn_gate_inp.weight", "mlp.gate.weight", &[n, d], plain);
        for (stored, name, shape) in
            [("gate", "gate_proj", [n, f, d]), ("up", "up_proj", [n, f, d]), ("down", "down_proj", [n, d, f])]
        {
            all.push(Expected {
                stored: format!("blk.{layer}.ffn_{stored}_exps.weight"),
                name: Name::PerExpert {
                    before: format!("model.layers.{layer}.mlp.experts."),
                    after: format!(".{name}.weight"),
                },
                shape: shape.to_vec(),
                rows: plain,
            });
        }
    }
    add(&mut all, "output_norm.weight".to_owned(), "model.norm.weight".to_owned(), &[d], plain);
    if !a.tie_word_embeddings {
        add(&mut all, HEAD.to_owned(), "lm_head.weight".to_owned(), &[a.vocab_size, d], plain);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn interleaved_halves_are_taken_apart_in_each_head() {
        let rows = Rows::Interleaved { width: 6 };
        let sources: Vec<u64> = (0..12).map(|row| rows.source(row)).collect();
        assert_eq!(sources, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        assert!(sources.iter().enumerate().all(|(row, &source)| rows.wanted(source) == row as u64));
    }
}
