//! Tensors of the file to `model.safetensors`, a piece at a time: memory does not depend on sizes.

use crate::container::Gguf;
use crate::dequantize::dequantize;
use crate::dtype::Dtype;
use crate::error::Error;
use crate::names::{Mapped, Rows, Source};
use crate::progress::Progress;
use crate::tensor::TensorInfo;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::ops::Range;
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
        end += tensor.elements() * dtype.bytes();
        let entry = json!({
            "dtype": dtype.safetensors_name(),
            "shape": tensor.shape(),
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
    let (mut encoded, mut done) = (Vec::new(), 0);
    let mut pass = |stored: &TensorInfo, values: &[f32]| {
        encoded.clear();
        dtype.encode(values, &mut encoded).map_err(|place| Error::NonFinite {
            tensor: stored.name.clone(),
            index: done + place as u64,
            value: values[place],
        })?;
        done += values.len() as u64;
        emit(&encoded)
    };
    match &tensor.source {
        Source::Rows(stored, rows) => {
            // A run is what lies together: a row, or the whole where rows keep their order. Rows are whole blocks.
            let (runs, run_bytes) = match rows {
                Rows::AsStored => (1, stored.bytes),
                Rows::Interleaved { .. } => (stored.shape[0], stored.bytes / stored.shape[0]),
            };
            for run in 0..runs {
                let start = stored.at + rows.source(run) * run_bytes;
                read(gguf, stored, start..start + run_bytes, &mut |values| pass(stored, values))?;
            }
        }
        Source::LatentUp { key, value } => {
            let heads = key.shape[0];
            let [rank, nope] = [key.shape[1], key.shape[2]].map(|side| side as usize);
            let mut head_of_keys = Vec::new();
            for head in 0..heads {
                let of = |stored: &TensorInfo| {
                    let bytes = stored.bytes / heads;
                    stored.at + head * bytes..stored.at + (head + 1) * bytes
                };
                head_of_keys.clear();
                read(gguf, key, of(key), &mut |values| {
                    head_of_keys.extend_from_slice(values);
                    Ok(())
                })?;
                for column in 0..nope {
                    let row: Vec<f32> = (0..rank).map(|row| head_of_keys[row * nope + column]).collect();
                    pass(key, &row)?;
                }
                read(gguf, value, of(value), &mut |values| pass(value, values))?;
            }
        }
    }
    Ok(())
}

/// Elements of a stretch of a tensor, whole blocks, a piece at a time.
fn read<R: Read + Seek>(
    gguf: &mut Gguf<R>,
    stored: &TensorInfo,
    bytes: Range<u64>,
    pass: &mut dyn FnMut(&[f32]) -> Result<(), Error>,
) -> Result<(), Error> {
    /// A multiple of every block's length.
    const PIECE: u64 = 1 << 16;
    let (block, block_bytes) = (stored.kind.block_len() as u64, stored.kind.block_bytes() as u64);
    let (mut raw, mut values) = (Vec::new(), Vec::new());
    let mut at = bytes.start;
    while at < bytes.end {
        let count = (PIECE / block * block_bytes).min(bytes.end - at);
        raw.resize(count as usize, 0);
        gguf.data(stored.part, at, &mut raw)?;
        values.clear();
        dequantize(stored.kind, &raw, &mut values);
        pass(&values)?;
        at += count;
    }
    Ok(())
}
