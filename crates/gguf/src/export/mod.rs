//! A model into a GGUF file: what a file says, and its tensors in the order of their data. The caller has the weights and
//! the folder's parts; this module refuses to read a model folder.

mod config;
mod error;
mod quantize;
mod tokenizer;
mod writer;

use crate::architecture::Architecture;
use crate::container::MAX_TENSORS;
use crate::keys::ROPE_DIVISORS;
use crate::names::{self, Expected};
use crate::progress::Progress;
use crate::tensor::TensorType;
use quantize::quantize;
use serde_json::Value;
use std::io::Write;
use std::ops::Range;
use writer::{Header, Kv};

pub use error::ExportError;

/// How matrices are stored; norms, biases and routers are F32, as llama.cpp wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportType {
    /// Half precision, rounded to nearest.
    F16,
    /// bfloat16, rounded to nearest.
    Bf16,
    /// 8 bits with a scale for every 32, as llama.cpp's reference rounds them; F16 where rows are no multiple of 32.
    Q8_0,
}

/// A model as its folder describes it.
#[derive(Clone, Copy, Debug)]
pub struct ExportSource<'a> {
    /// What the model is called: `general.name`.
    pub name: &'a str,
    /// `config.json`, its positions in the older spelling (`rope_theta`, `rope_scaling`).
    pub config: &'a Value,
    /// `tokenizer.json`, with all added tokens.
    pub tokenizer: &'a Value,
    /// `bos_token`; without one, the token that the tokenizer's template puts before a text.
    pub bos: Option<u32>,
    /// `pad_token`.
    pub pad: Option<u32>,
    /// `unk_token`.
    pub unk: Option<u32>,
    /// What ends a text, then what ends a turn and a message, where these are other tokens.
    pub ends: &'a [u32],
    /// The chat template's source.
    pub chat_template: Option<&'a str>,
}

/// Fills a list with the elements of the tensor of that name that are in the range, in f32.
pub type Values<'a> = dyn FnMut(&str, Range<u64>, &mut Vec<f32>) + 'a;

/// What an export will write.
#[derive(Debug)]
pub struct Export {
    header: Header,
    tensors: Vec<Planned>,
    /// The divisors of the rotary frequencies, where the file has them.
    divisors: Vec<f32>,
}

/// A tensor of the file, and which of the model's it is.
#[derive(Debug)]
struct Planned {
    expected: Expected,
    kind: TensorType,
}

impl ExportType {
    /// Of its name on a command line: `f16`, `bf16` or `q8_0`.
    pub fn of_name(name: &str) -> Option<Self> {
        [("f16", Self::F16), ("bf16", Self::Bf16), ("q8_0", Self::Q8_0)]
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| kind)
    }

    /// `general.file_type` (`enum llama_ftype`).
    fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q8_0 => 7,
        }
    }

    fn of_tensor(self, name: &str, shape: &[u64]) -> TensorType {
        match (self, shape) {
            (_, [_]) => TensorType::F32,
            _ if name.ends_with(".ffn_gate_inp.weight") => TensorType::F32,
            (Self::Bf16, _) => TensorType::Bf16,
            (Self::Q8_0, [.., row]) if row % 32 == 0 => TensorType::Q8_0,
            (Self::F16 | Self::Q8_0, _) => TensorType::F16,
        }
    }
}

impl Export {
    /// Checks that llama.cpp runs such a model, and with which of its tokenizers.
    ///
    /// # Errors
    /// What it cannot run, or what a GGUF file cannot say.
    pub fn plan(source: &ExportSource, kind: ExportType) -> Result<Self, ExportError> {
        let architecture = Architecture::from_config(source.config)?;
        let divisors = architecture.rope_divisors();
        let mut keys = vec![
            ("general.architecture".to_owned(), Kv::Text(architecture.family.name().to_owned())),
            ("general.type".to_owned(), Kv::Text("model".to_owned())),
            ("general.name".to_owned(), Kv::Text(source.name.to_owned())),
            ("general.file_type".to_owned(), Kv::Unsigned(kind.file_type())),
            ("general.quantization_version".to_owned(), Kv::Unsigned(2)),
        ];
        keys.extend(architecture.keys());
        keys.extend(tokenizer::keys(source, architecture.vocab_size)?);
        let wanted = names::expected(&architecture);
        if wanted.len() as u64 > MAX_TENSORS {
            return Err(ExportError::Config {
                key: "num_hidden_layers",
                found: architecture.num_hidden_layers.to_string(),
                expected: format!("a file has at most {MAX_TENSORS} tensors, these blocks {}", wanted.len()),
            });
        }
        let mut tensors = Vec::new();
        for expected in wanted {
            let kind = kind.of_tensor(&expected.stored, &expected.shape);
            tensors.push(Planned { expected, kind });
        }
        let mut header = Header::new(keys);
        if !divisors.is_empty() {
            header.tensor(ROPE_DIVISORS, &[divisors.len() as u64], TensorType::F32);
        }
        for Planned { expected, kind } in &tensors {
            header.tensor(&expected.stored, &expected.shape, *kind);
        }
        Ok(Self { header, tensors, divisors })
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.header.bytes()
    }

    /// Writes the file. `values` gives the weights; `progress` is
    /// called before every tensor and at the end.
    ///
    /// # Errors
    /// [`ExportError::Write`]; [`ExportError::NotFinite`] and [`ExportError::Overflow`] for a weight that the type cannot
    /// hold.
    pub fn write(
        &self,
        out: &mut impl Write,
        values: &mut Values<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), ExportError> {
        /// Elements that are read at once, if a row is not longer.
        const PIECE: u64 = 1 << 18;
        let mut written = self.header.write(out).map_err(ExportError::Write)?;
        if !self.divisors.is_empty() {
            let bytes: Vec<u8> = self.divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect();
            written = put(out, &bytes, written, true)?;
        }
        let of = self.tensors.len();
        let (mut read, mut ordered, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (done, Planned { expected, kind }) in self.tensors.iter().enumerate() {
            let Expected { name, shape, rows, .. } = expected;
            let width = shape.last().copied().unwrap_or(1);
            let parts = name.parts(shape);
            let count = shape.iter().product::<u64>() / width / parts;
            // A head's rows change places, so whole heads are read.
            let group = rows.group();
            let step = group * (PIECE / (width * group)).max(1);
            for part in 0..parts {
                let name = name.of_expert(part);
                progress(Progress { done, of, tensor: &name });
                for first in (0..count).step_by(step as usize) {
                    let last = (first + step).min(count);
                    read.clear();
                    values(&name, first * width..last * width, &mut read);
                    ordered.clear();
                    for row in 0..last - first {
                        let from = (rows.wanted(row) * width) as usize;
                        ordered.extend_from_slice(&read[from..from + width as usize]);
                    }
                    bytes.clear();
                    quantize(*kind, &ordered, &mut bytes)
                        .map_err(|place| not_held(&name, ordered[place], *kind))?;
                    written = put(out, &bytes, written, last == count && part + 1 == parts)?;
                }
            }
        }
        progress(Progress { done: of, of, tensor: "" });
        out.flush().map_err(ExportError::Write)
    }
}

/// Why a type does not hold a value.
fn not_held(tensor: &str, value: f32, kind: TensorType) -> ExportError {
    let tensor = tensor.to_owned();
    if value.is_finite() {
        ExportError::Overflow { tensor, value, kind: kind.name() }
    } else {
        ExportError::NotFinite { tensor, value }
    }
}

/// Writes bytes, and at a tensor's end what aligns the next one. Returns how many bytes the file has.
fn put(out: &mut impl Write, bytes: &[u8], written: u64, ends: bool) -> Result<u64, ExportError> {
    out.write_all(bytes).map_err(ExportError::Write)?;
    let mut written = written + bytes.len() as u64;
    if ends {
        let aligned = writer::aligned(written);
        out.write_all(&[0; writer::ALIGNMENT as usize][..(aligned - written) as usize])
            .map_err(ExportError::Write)?;
        written = aligned;
    }
    Ok(written)
}
