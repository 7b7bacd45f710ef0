//! Tensors of the file to `model.safetensors`, a piece at a time: memory does not depend on sizes. It refuses to know
//! names' meanings.

use crate::container::Gguf;
use crate::dequantize::dequantize;
use crate::error::Error;
use crate::import::Progress;
use crate::names::{Mapped, Rows};
use half::bf16;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;

/// How the imported weights are stored, all of them alike.
///
/// A file whose matrices are quantised or bf16 becomes bf16: that is how checkpoints are published, the rounding
/// (2^-9 of a weight) is below the steps of quantisation, and the folder has half the size. A file whose matrices are
/// all F32 or F16 becomes f32, since bf16 would drop bits that somebody kept on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// bfloat16, rounded to nearest, ties to even.
    Bf16,
    /// Single precision: every stored number exactly.
    F32,
}

impl Dtype {
    /// What suits these tensors.
    pub(crate) fn of(mapped: &[Mapped]) -> Self {
        let mut matrices = mapped.iter().filter(|tensor| tensor.stored.shape.len() > 1);
        if matrices.all(|matrix| matrix.stored.kind.is_precise()) { Self::F32 } else { Self::Bf16 }
    }

    /// Its name in `config.json`.
    pub(crate) fn config_name(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        }
    }

    fn safetensors_name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Appends numbers; the place of the first that is not finite comes back as an error.
    fn encode(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
        for (place, &value) in values.iter().enumerate() {
            // Of what is written: a number next to the largest f32 becomes infinite in bf16.
            let finite = match self {
                Self::Bf16 => {
                    let rounded = bf16::from_f32(value);
                    out.extend(rounded.to_le_bytes());
                    rounded.is_finite()
                }
                Self::F32 => {
                    out.extend(value.to_le_bytes());
                    value.is_finite()
                }
            };
            if !finite {
                return Err(place);
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.config_name())
    }
}

/// Writes `model.safetensors`. `progress` is told of every tensor.
pub(crate) fn write<R: Read + Seek>(
    gguf: &mut Gguf<R>,
    mapped: &[Mapped],
    dtype: Dtype,
    path: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    out.write_all(&header(mapped, dtype)).map_err(failed)?;
    for (done, tensor) in mapped.iter().enumerate() {
        progress(Progress { done, of: mapped.len(), tensor: &tensor.name });
        convert(gguf, tensor, dtype, &mut |bytes| out.write_all(bytes).map_err(failed))?;
    }
    progress(Progress { done: mapped.len(), of: mapped.len(), tensor: "" });
    out.flush().map_err(failed)
}

/// Length and JSON of a safetensors file whose data follow in the order given.
fn header(mapped: &[Mapped], dtype: Dtype) -> Vec<u8> {
    let mut entries = Map::new();
    // transformers refuses files without this key.
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut end = 0;
    for tensor in mapped {
        let begin = end;
        end += tensor.stored.elements() * dtype.bytes();
        let entry = json!({
            "dtype": dtype.safetensors_name(),
            "shape": tensor.stored.shape,
            "data_offsets": [begin, end],
        });
        entries.insert(tensor.name.clone(), entry);
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' '); // so that data are aligned
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    bytes
}

/// Passes a tensor on in pieces of at most [`PIECE`] elements.
fn convert<R: Read + Seek>(
    gguf: &mut Gguf<R>,
    tensor: &Mapped,
    dtype: Dtype,
    emit: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    /// A multiple of every block's length.
    const PIECE: u64 = 1 << 16;
    let stored = &tensor.stored;
    let (block, block_bytes) = (stored.kind.block_len() as u64, stored.kind.block_bytes() as u64);
    // A run is what lies together: a row, or the whole where rows keep their order. Rows are whole blocks.
    let (runs, run_bytes) = match tensor.rows {
        Rows::AsStored => (1, stored.bytes),
        Rows::Interleaved { .. } => (stored.shape[0], stored.bytes / stored.shape[0]),
    };
    let (mut raw, mut values, mut encoded) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    for run in 0..runs {
        let start = stored.at + tensor.rows.source(run) * run_bytes;
        let mut at = start;
        while at < start + run_bytes {
            let bytes = (PIECE / block * block_bytes).min(start + run_bytes - at);
            raw.resize(bytes as usize, 0);
            gguf.data(at, &mut raw)?;
            values.clear();
            dequantize(stored.kind, &raw, &mut values);
            encoded.clear();
            dtype.encode(&values, &mut encoded).map_err(|place| Error::NonFinite {
                tensor: stored.name.clone(),
                index: done + place as u64,
                value: values[place],
            })?;
            emit(&encoded)?;
            at += bytes;
            done += values.len() as u64;
        }
    }
    Ok(())
}
