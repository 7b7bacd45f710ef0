//! Tensors of the file to `model.safetensors`, a piece at a time: memory does not depend on sizes.

use crate::container::Gguf;
use crate::dequantize::dequantize;
use crate::dtype::Dtype;
use crate::error::Error;
use crate::names::{Mapped, Rows};
use crate::progress::Progress;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;

/// Writes `model.safetensors`. `progress` is called before every tensor and at the end.
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
            gguf.data(stored.part, at, &mut raw)?;
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
