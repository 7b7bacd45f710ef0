//! Fixtures of other programs, and a writer of small GGUF files that says whatever a test wants it to.
#![allow(dead_code, reason = "each test file uses its part")]

use ruminate_gguf::{Error, Gguf, Import, Options};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

pub(crate) fn fixture(name: &str) -> PathBuf {
    ruminate_testkit::fixture_path("gguf").join(name)
}

pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

/// A safetensors file's tensors as (shape, f32).
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).expect("readable");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let floats = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let values = match view.dtype() {
            safetensors::Dtype::F32 => {
                view.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
            }
            safetensors::Dtype::BF16 => {
                let bits = |&[low, high]: &[u8; 2]| f32::from_le_bytes([0, 0, low, high]);
                view.data().as_chunks::<2>().0.iter().map(bits).collect()
            }
            other => panic!("{name}: {other:?}"),
        };
        (name, (view.shape().to_vec(), values))
    };
    file.tensors().into_iter().map(floats).collect()
}

/// A file held in memory.
type InMemory<'a> = Gguf<Cursor<&'a [u8]>>;

/// Reads a file held in memory and plans its import.
pub(crate) fn plan(bytes: &[u8]) -> Result<(InMemory<'_>, Import), Error> {
    let mut gguf = Gguf::read(Cursor::new(bytes))?;
    let import = Import::plan(&mut gguf, &Options::default())?;
    Ok((gguf, import))
}

/// Reads a file held in memory and imports it into a folder.
pub(crate) fn import(bytes: &[u8], folder: &Path) -> Result<(), Error> {
    let (mut gguf, import) = plan(bytes)?;
    import.write(&mut gguf, folder, &mut |_| {})
}

/// A GGUF file in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    keys: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    /// Slowest first.
    shape: Vec<u64>,
    kind: u32,
    data: Vec<u8>,
    /// How long the data are, or are said to be.
    bytes: u64,
}

impl Writer {
    /// A value as its type number and bytes. A key that is there already is replaced.
    pub(crate) fn raw(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        self.keys.retain(|(name, _)| name != key);
        self.keys.push((key.to_owned(), [&kind.to_le_bytes(), value].concat()));
        self
    }

    pub(crate) fn u32(&mut self, key: &str, value: u32) -> &mut Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(&mut self, key: &str, value: f32) -> &mut Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, 8, &string(value))
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[&str]) -> &mut Self {
        let list: Vec<u8> = values.iter().flat_map(|value| string(value)).collect();
        self.raw(key, 9, &[&8_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &list].concat())
    }

    pub(crate) fn integers(&mut self, key: &str, values: &[i32]) -> &mut Self {
        let list: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(key, 9, &[&5_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &list].concat())
    }

    pub(crate) fn floats(&mut self, key: &str, values: &[f32]) -> &mut Self {
        let list: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(key, 9, &[&6_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &list].concat())
    }

    pub(crate) fn without(&mut self, key: &str) -> &mut Self {
        self.keys.retain(|(name, _)| name != key);
        self
    }

    pub(crate) fn without_keys(&mut self) -> &mut Self {
        self.keys.clear();
        self
    }

    /// The tensors' names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors.iter().map(|tensor| tensor.name.clone()).collect()
    }

    /// A tensor with its shape slowest first.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[u64], kind: u32, data: &[u8]) -> &mut Self {
        self.claim(name, shape, kind, data.len() as u64);
        self.tensors.last_mut().expect("just added").data = data.to_vec();
        self
    }

    /// A tensor whose data the test writes itself.
    pub(crate) fn claim(&mut self, name: &str, shape: &[u64], kind: u32, bytes: u64) -> &mut Self {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Tensor { name, shape, kind, data: Vec::new(), bytes });
        self
    }

    /// An F32 tensor that counts up.
    pub(crate) fn counting(&mut self, name: &str, shape: &[u64]) -> &mut Self {
        let data: Vec<u8> =
            (0..shape.iter().product()).flat_map(|i: u64| (i as f32 / 16.0).to_le_bytes()).collect();
        self.tensor(name, shape, 0, &data)
    }

    pub(crate) fn without_tensor(&mut self, name: &str) -> &mut Self {
        self.tensors.retain(|other| other.name != name);
        self
    }

    /// All but the tensors' data, up to where they begin.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            out.extend(string(key));
            out.extend(value);
        }
        let mut offset = 0_u64;
        for Tensor { name, shape, kind, bytes, .. } in &self.tensors {
            out.extend(string(name));
            out.extend((shape.len() as u32).to_le_bytes());
            out.extend(shape.iter().rev().flat_map(|size| size.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset = (offset + bytes).next_multiple_of(32);
        }
        if !self.tensors.is_empty() {
            out.resize(out.len().next_multiple_of(32), 0);
        }
        out
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(&tensor.data);
        }
        out
    }
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A whole model of one layer: two heads of four, six tokens.
pub(crate) fn tiny() -> Writer {
    let mut file = Writer::default();
    file.text("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", 64)
        .u32("llama.embedding_length", 8)
        .u32("llama.feed_forward_length", 12)
        .u32("llama.attention.head_count", 2)
        .u32("llama.attention.head_count_kv", 1)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .texts("general.tags", &["one", "two"])
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "gpt-2")
        .texts("tokenizer.ggml.tokens", &["a", "b", "c", "ab", "abc", "<end>"])
        .texts("tokenizer.ggml.merges", &["a b", "ab c"])
        .integers("tokenizer.ggml.token_type", &[1, 1, 1, 1, 1, 3])
        .u32("tokenizer.ggml.eos_token_id", 5)
        .text("tokenizer.chat_template", "{{ messages }}")
        .counting("token_embd.weight", &[6, 8])
        .counting("blk.0.attn_norm.weight", &[8])
        .counting("blk.0.attn_q.weight", &[8, 8])
        .counting("blk.0.attn_k.weight", &[4, 8])
        .counting("blk.0.attn_v.weight", &[4, 8])
        .counting("blk.0.attn_output.weight", &[8, 8])
        .counting("blk.0.ffn_norm.weight", &[8])
        .counting("blk.0.ffn_gate.weight", &[12, 8])
        .counting("blk.0.ffn_up.weight", &[12, 8])
        .counting("blk.0.ffn_down.weight", &[8, 12])
        .counting("output_norm.weight", &[8]);
    file
}
