//! Model folders for tests: copies of fixtures to spoil, and what lies in a folder, read with the reference
//! implementation of the format.
#![allow(dead_code, reason = "each test file uses its part")]

use burn::tensor::Tensor;
use ruminate_model::{Decoder, ParameterVisitor};
use ruminate_testkit as testkit;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Every committed checkpoint.
pub(crate) const CASES: [&str; 28] = [
    "deepseek_v3_plain",
    "deepseek_v3_fused",
    "deepseek_v3_full",
    "deepseek_v3_mtp",
    "deepseek_v3_fp8",
    "llama_tied",
    "llama_untied",
    "llama_rope3",
    "llama_biases",
    "mistral",
    "seed_oss",
    "smollm3",
    "granite",
    "qwen2",
    "qwen2_yarn",
    "qwen3",
    "qwen3_moe",
    "qwen3_moe_sharded",
    "phi3",
    "phi3_longrope",
    "glm4_moe",
    "glm4_moe_plain",
    "dots1",
    "mixtral",
    "qwen2_moe",
    "qwen2_moe_normed",
    "olmo2",
    "internlm3",
];

/// A copy of a case to spoil.
pub(crate) fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(testkit::fixture_path(&format!("model/{name}"))).expect("a case") {
        let entry = entry.expect("a file");
        if entry.file_name() != "expected.safetensors" && entry.file_name() != "hub_config.json" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
    }
    folder
}

pub(crate) fn read_json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).expect("readable")).expect("JSON")
}

/// Replaces keys of a JSON file; null removes what a key says.
pub(crate) fn set(folder: &Path, name: &str, changes: &Value) {
    let mut json = read_json(folder, name);
    for (key, value) in changes.as_object().expect("changes are an object") {
        json[key] = value.clone();
    }
    fs::write(folder.join(name), json.to_string()).expect("written");
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) file: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Its place in the file.
    pub(crate) begin: u64,
    pub(crate) bytes: u64,
    pub(crate) data: Vec<u8>,
}

/// All tensors of a folder's files, by file and name.
pub(crate) fn tensors(folder: &Path) -> Vec<(String, Stored)> {
    let mut tensors = Vec::new();
    for (file, bytes) in weight_files(folder) {
        let (length, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        assert_eq!(metadata.metadata().as_ref().expect("metadata")["format"], "pt");
        for (name, info) in metadata.tensors() {
            let (first, last) = info.data_offsets;
            let begin = 8 + length + first;
            let stored = Stored {
                file: file.clone(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                begin: begin as u64,
                bytes: (last - first) as u64,
                data: bytes[begin..begin + last - first].to_vec(),
            };
            tensors.push((name, stored));
        }
    }
    tensors.sort_by(|a, b| (&a.1.file, &a.0).cmp(&(&b.1.file, &b.0)));
    tensors
}

fn weight_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name());
    let names = names.map(|name| name.into_string().expect("a text"));
    let weights = names.filter(|name| name.starts_with("model") && name.ends_with(".safetensors"));
    weights.map(|name| (name.clone(), fs::read(folder.join(name)).expect("readable"))).collect()
}

/// Writes tensors as one file.
pub(crate) fn write(path: &Path, tensors: &[(String, Stored)]) {
    let views = tensors.iter().map(|(name, stored)| {
        let view = safetensors::tensor::TensorView::new(stored.dtype, stored.shape.clone(), &stored.data);
        (name.as_str(), view.expect("as read"))
    });
    let format = [("format".to_owned(), "pt".to_owned())].into();
    fs::write(path, safetensors::serialize(views, Some(format)).expect("distinct names")).expect("written");
}

/// Every parameter's bits by name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Bits(pub(crate) Vec<(String, Vec<usize>, Vec<u32>)>);

impl ParameterVisitor for Bits {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        let bits = testkit::floats(tensor.clone()).into_iter().map(f32::to_bits).collect();
        self.0.push((name.to_owned(), tensor.dims().to_vec(), bits));
    }
}

/// Of a model.
pub(crate) fn bits(decoder: &Decoder) -> Bits {
    let mut bits = Bits::default();
    decoder.visit_parameters(&mut bits);
    bits
}
