//! What can be wrong with a model folder that is read, or that cannot be written.

use crate::ConfigError;
use std::path::PathBuf;

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
    /// A file is none that is read: a pipe, a device, or a link out of the folder.
    #[error(transparent)]
    File(ruminate_files::Error),
    /// A JSON file is not JSON.
    #[error("{path}: not valid JSON: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A JSON file is far larger than any model's.
    #[error("{path}: {bytes} bytes; expected at most {limit}: this is not a model's configuration")]
    Size {
        /// The file.
        path: PathBuf,
        /// How large it is.
        bytes: u64,
        /// What is read at most.
        limit: u64,
    },
    /// A JSON file has far more values than any model's.
    #[error("{path}: more than {limit} values: this is not a model's configuration")]
    Values {
        /// The file.
        path: PathBuf,
        /// What is read at most.
        limit: usize,
    },
    /// A file is recognised as one of another kind.
    #[error("{path}: this is {found}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        found: &'static str,
    },
    /// The folder is one that a training run made, and the model lies within.
    #[error("{path}: this is a run folder; the model is in {model}")]
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// Where the model is.
        model: PathBuf,
    },
    /// The folder has weights under other names only.
    #[error(
        "{path}: expected model.safetensors, or shards with model.safetensors.index.json; found {}: {remedy}",
        found.join(", ")
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// The weights that are there; at most 32.
        found: Vec<String>,
        /// What to do with them.
        remedy: &'static str,
    },
    /// A weight is not a finite number.
    #[error(
        "{path}: tensor {tensor} holds {value} at element {index}; expected finite numbers: the file is damaged, or \
         the training that wrote it diverged"
    )]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The element, in row-major order.
        index: usize,
        /// The value, in f32.
        value: f32,
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
    /// The index of the shards is not one.
    #[error("{path}: not an index of shards: {reason}")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The shards are not those of the index: a download that is not complete, or files of two models.
    #[error("{path}: the shards are not those that it lists: {}; download the folder again", faults.join("; "))]
    Shards {
        /// The index.
        path: PathBuf,
        /// Shards that are absent, tensors in two shards or in another than the index says; at most 32.
        faults: Vec<String>,
    },
    /// The files' tensors are not the model's.
    #[error(
        "{path}: tensors do not fit config.json: missing {missing:?}, unexpected {unexpected:?}, wrong {misshapen:?}{}",
        prefix.as_ref().map(|found| format!("; the names begin with `{found}`, expected `model.`")).unwrap_or_default()
    )]
    Tensors {
        /// The folder.
        path: PathBuf,
        /// Needed and absent; at most the first 32 of them.
        missing: Vec<String>,
        /// Present and unknown; at most the first 32 of them.
        unexpected: Vec<String>,
        /// Name, what was found, what was expected.
        misshapen: Vec<String>,
        /// What stands before the names of the blocks, where it is another prefix than ours.
        prefix: Option<String>,
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

/// Why a model folder was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system says; `StorageFull` when the disk is.
    pub source: std::io::Error,
}
