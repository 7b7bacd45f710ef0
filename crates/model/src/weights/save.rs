//! Writing a model folder that transformers loads unchanged. The caller makes it atomic: it passes a folder
//! that is renamed when everything is in it.

use super::{Fused, fused_experts};
use crate::Decoder;
use crate::lora;
use crate::parameters::ParameterVisitor;
use burn::tensor::Tensor;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Why a model folder was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system says; `StorageFull` when the disk is.
    pub source: std::io::Error,
}

/// Writes `config.json`, `generation_config.json` and `model.safetensors` (f32, hub layout) into an existing
/// folder and returns the paths. Of a decoder with adapters, the adapters alone, in PEFT's layout.
///
/// # Errors
/// A file cannot be written.
pub fn save(decoder: &Decoder, folder: &Path) -> Result<Vec<PathBuf>, SaveError> {
    if let Some(adapters) = decoder.adapters() {
        return lora::save(decoder, adapters, folder);
    }
    let mut collect = Collect::default();
    decoder.visit_parameters(&mut collect);
    let views = collect.tensors.iter().map(|(name, shape, bytes)| {
        let view =
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("bytes were made from this shape");
        (name.clone(), view)
    });
    // transformers refuses files without this key.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let weights = safetensors::serialize(views, Some(metadata)).expect("names are unique, sizes agree");

    let config = decoder.config();
    let mut generation = json!({ "do_sample": true });
    match config.eos_token_ids.as_slice() {
        [] => {}
        [one] => generation["eos_token_id"] = json!(one),
        many => generation["eos_token_id"] = json!(many),
    }
    let files = [
        ("config.json", pretty(&config.to_json())),
        ("generation_config.json", pretty(&generation)),
        ("model.safetensors", weights),
    ];
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| SaveError { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

pub(crate) fn pretty(value: &serde_json::Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("a JSON value serialises");
    text.push(b'\n');
    text
}

/// Collects every parameter in the hub layout.
#[derive(Default)]
struct Collect {
    tensors: Vec<(String, Vec<usize>, Vec<u8>)>,
}

impl Collect {
    fn push(&mut self, name: String, shape: Vec<usize>, values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push((name, shape, bytes));
    }
}

impl ParameterVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        let shape = tensor.dims();
        let values = tensor.clone().detach().try_into_vec_as::<f32>().expect("parameters are floats");
        let Some((prefix, fused)) = fused_experts(name) else {
            return self.push(name.to_owned(), shape.to_vec(), &values);
        };
        let parts = Fused::parts(fused);
        let part = [shape[1] / parts.len(), shape[2]];
        let mut pieces = values.chunks_exact(part[0] * part[1]);
        for expert in 0..shape[0] {
            for name in parts {
                let piece = pieces.next().expect("a piece for each part of each expert");
                self.push(format!("{prefix}.{expert}.{name}.weight"), part.to_vec(), piece);
            }
        }
    }
}
