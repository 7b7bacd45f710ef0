//! Reading a model folder. Files are untrusted: whatever is wrong with them is a typed error that names the
//! file or the tensor.

use super::fused_experts;
use crate::lora;
use crate::parameters::ParameterMapper;
use crate::{Config, ConfigError, Decoder};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Why a model folder did not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(
        "{path}: {source}; a model folder has config.json and model.safetensors (or shards with an index)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A JSON file is not JSON.
    #[error("{path}: not valid JSON: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The architecture cannot be built.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Which key.
        source: ConfigError,
    },
    /// A weight file is not a valid safetensors file.
    #[error("{path}: not a valid safetensors file: {reason}")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files' tensors are not the model's.
    #[error(
        "{path}: tensors do not fit config.json: missing {missing:?}, unexpected {unexpected:?}, wrong {misshapen:?}"
    )]
    Tensors {
        /// The folder.
        path: PathBuf,
        /// Needed and absent; at most the first 32 of them.
        missing: Vec<String>,
        /// Present and unknown.
        unexpected: Vec<String>,
        /// Name, what was found, what was expected.
        misshapen: Vec<String>,
    },
    /// An adapter folder that cannot be computed, or not with this base.
    #[error("{path}: {problem}")]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
}

/// Loads a model folder; parameters become f32 whatever the file's dtype. Of an adapter folder, the base that it names
/// with the adapters on it.
///
/// # Errors
/// Any file is missing or malformed, or its tensors do not fit the configuration: all of them are named.
pub fn load(folder: &Path, device: &Device) -> Result<Decoder, LoadError> {
    let base = lora::base_folder(folder)?;
    let decoder = load_weights(&load_config(&base)?, &base, device)?;
    if base == folder { Ok(decoder) } else { lora::load_adapter(decoder, folder) }
}

/// Reads a folder's `config.json`; of an adapter folder, its base's.
///
/// # Errors
/// The file is missing or does not describe a model that we can build.
pub fn load_config(folder: &Path) -> Result<Config, LoadError> {
    let path = lora::base_folder(folder)?.join("config.json");
    let json = read_json(&path)?;
    Config::from_json(&json).map_err(|source| LoadError::Config { path, source })
}

/// Loads the weights of a folder into a decoder of the given architecture.
///
/// # Errors
/// As [`load`].
pub fn load_weights(config: &Config, folder: &Path, device: &Device) -> Result<Decoder, LoadError> {
    let files = weight_files(folder)?;
    let mut buffers = Vec::new();
    for path in files {
        let bytes = fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        buffers.push((path, bytes));
    }
    let mut tensors = BTreeMap::new();
    for (path, bytes) in &buffers {
        let broken = |reason: String| LoadError::Safetensors { path: path.clone(), reason };
        let file = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
        for (name, view) in file.tensors() {
            let dtype = burn_dtype(view.dtype())
                .ok_or_else(|| broken(format!("tensor {name}: dtype {:?} is not a float", view.dtype())))?;
            tensors.insert(name, Stored { dtype, shape: view.shape().to_vec(), bytes: view.data() });
        }
    }

    // Check everything before any weight is made: a configuration that is not of these files may ask for any size.
    let mut check =
        Check { tensors: &tensors, used: BTreeSet::new(), missing: Vec::new(), misshapen: Vec::new() };
    check.blocks(config);
    let misfit = |check: Check, unexpected| {
        let Check { missing, misshapen, .. } = check;
        Err(LoadError::Tensors { path: folder.to_owned(), missing, unexpected, misshapen })
    };
    if !check.missing.is_empty() {
        return misfit(check, Vec::new());
    }
    let blank = Decoder::blank(config, device);
    blank.visit_shapes(&mut |name, shape| check.parameter(name, shape));
    let unexpected: Vec<String> = tensors
        .keys()
        .filter(|name| !check.used.contains(*name) && !ignorable(name, config))
        .cloned()
        .collect();
    if !(check.missing.is_empty() && check.misshapen.is_empty() && unexpected.is_empty()) {
        return misfit(check, unexpected);
    }
    Ok(blank.map_parameters(&mut Fill { tensors: &tensors }))
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![folder.join("model.safetensors")]);
    }
    let json = read_json(&index)?;
    let names: BTreeSet<&str> = json
        .get("weight_map")
        .and_then(serde_json::Value::as_object)
        .map(|map| map.values().filter_map(serde_json::Value::as_str).collect())
        .unwrap_or_default();
    // A name with a separator would leave the folder.
    if names.is_empty() || names.iter().any(|name| name.contains(['/', '\\'])) {
        let reason = "weight_map must name files of this folder".to_owned();
        return Err(LoadError::Safetensors { path: index, reason });
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

pub(crate) fn read_json(path: &Path) -> Result<serde_json::Value, LoadError> {
    let text = fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| LoadError::Json { path: path.to_owned(), source })
}

fn burn_dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::F64 => Some(DType::F64),
        _ => None,
    }
}

/// Tensors that files carry and nobody needs: a copy of a tied head, the copies of embedding and head in a
/// multi-token prediction module, and stored rotary frequencies.
fn ignorable(name: &str, config: &Config) -> bool {
    let copied = |name: &str| {
        let module = name.strip_prefix("model.layers.").and_then(|name| name.split_once('.'));
        module.is_some_and(|(layer, rest)| {
            layer.parse() == Ok(config.num_hidden_layers)
                && matches!(rest, "embed_tokens.weight" | "shared_head.head.weight")
        })
    };
    (config.tie_word_embeddings && name == "lm_head.weight")
        || (config.num_nextn_predict_layers > 0 && copied(name))
        || name.ends_with("rotary_emb.inv_freq")
}

struct Stored<'a> {
    dtype: DType,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Stored<'_> {
    fn floats(&self) -> Vec<f32> {
        let data =
            TensorData::from_bytes_vec(self.bytes.to_vec(), Shape::from(self.shape.clone()), self.dtype);
        data.convert::<f32>().try_into_vec::<f32>().expect("converted to f32 one line above")
    }
}

/// The stored tensors that make up one of ours: itself, or the experts' parts with their shape.
fn sources(name: &str, shape: &[usize], present: impl Fn(&str) -> bool) -> Vec<(String, Vec<usize>)> {
    match fused_experts(name) {
        Some((prefix, fused)) if !present(name) => {
            let parts = fused.parts();
            let part = vec![shape[1] / parts.len(), shape[2]];
            (0..shape[0])
                .flat_map(|expert| parts.iter().map(move |p| format!("{prefix}.{expert}.{p}.weight")))
                .map(|name| (name, part.clone()))
                .collect()
        }
        _ => vec![(name.to_owned(), shape.to_vec())],
    }
}

struct Check<'a> {
    tensors: &'a BTreeMap<String, Stored<'a>>,
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl Check<'_> {
    /// Missing tensors that an error names before it stops counting.
    const NAMED: usize = 32;

    /// Whether the files have as many blocks as the configuration; names the first that they lack.
    fn blocks(&mut self, config: &Config) {
        let first = |layer: usize| format!("model.layers.{layer}.input_layernorm.weight");
        let lacking = (0..config.num_hidden_layers).map(first).find(|name| !self.tensors.contains_key(name));
        self.missing.extend(lacking);
    }

    fn parameter(&mut self, name: &str, shape: &[usize]) {
        if self.missing.len() >= Self::NAMED {
            return;
        }
        for (name, expected) in sources(name, shape, |name| self.tensors.contains_key(name)) {
            match self.tensors.get(&name) {
                None if self.missing.len() >= Self::NAMED => return,
                None => self.missing.push(name),
                Some(stored) => {
                    if stored.shape != expected {
                        self.misshapen.push(format!("{name}: {:?} instead of {expected:?}", stored.shape));
                    }
                    self.used.insert(name);
                }
            }
        }
    }
}

struct Fill<'a> {
    tensors: &'a BTreeMap<String, Stored<'a>>,
}

impl ParameterMapper for Fill<'_> {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let shape = tensor.dims();
        let values: Vec<f32> = sources(name, &shape, |name| self.tensors.contains_key(name))
            .iter()
            .flat_map(|(name, _)| self.tensors[name].floats())
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &tensor.device())
    }
}
