//! Reading a model folder. Files are untrusted: whatever is wrong with them is a typed error that names the
//! file or the tensor. Everything is checked by the files' headers before any weight is made.

use super::error::LoadError;
use super::source_config::Origin;
use super::store::Store;
use super::{NAMED, Names, read_json};
use crate::parameters::may_be_bfloat16;
use crate::{Config, ConfigError, Decoder, lora};
use burn::tensor::{DType, Device};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Parameters in place.
    pub done: u64,
    /// Parameters in all.
    pub of: u64,
    /// What comes next; empty at the end.
    pub tensor: &'a str,
}

/// What parameters are held in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All in f32, as learning needs them.
    AsF32,
    /// A matrix that the file has in bfloat16 stays in it, but for routers: the same numbers in half the memory. Maps widen such weights at
    /// each use; it is for [`PreparedDecoder::consume`](crate::PreparedDecoder::consume), which reads them once.
    AsStored,
}

/// Loads a model folder; parameters become f32 whatever the file's dtype. Of an adapter folder, the base that it names
/// with the adapters on it.
///
/// # Errors
/// Any file is missing or malformed, or its tensors do not fit the configuration: all of them are named.
pub fn load(folder: &Path, device: &Device) -> Result<Decoder, LoadError> {
    load_with_progress(folder, Held::AsF32, device, &mut |_| {})
}

/// The same with parameters as they are to be `held`, and `progress` is told of every tensor.
///
/// # Errors
/// As [`load`].
pub fn load_with_progress(
    folder: &Path,
    held: Held,
    device: &Device,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Decoder, LoadError> {
    let base = lora::base_folder(folder)?;
    let decoder = load_whole(&base, held, device, progress)?;
    if base == folder { Ok(decoder) } else { lora::load_adapter(decoder, folder) }
}

fn load_whole(
    folder: &Path,
    held: Held,
    device: &Device,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Decoder, LoadError> {
    let (json, mut config) = read_config(folder)?;
    let block = Config::weight_block_size(&json)
        .map_err(|source| LoadError::Config { path: folder.join(CONFIG), source })?;
    let mut store = Store::open(folder, block)?;
    tie_as_stored(&mut config, &mut store)?;
    // transformers keeps the key when it saves a model, and leaves the module out.
    if !store.has_prefix(&format!("model.layers.{}.", config.num_hidden_layers)) {
        config.num_nextn_predict_layers = 0;
    }
    let generation = match folder.join("generation_config.json") {
        path if path.exists() => Some(read_json(&path)?),
        _ => None,
    };
    let mut decoder = fill(&config, folder, &mut store, (held, device), progress)?;
    decoder.origin = Origin::new(json, generation);
    Ok(decoder)
}

/// Reads a folder's `config.json`; of an adapter folder, its base's.
///
/// # Errors
/// The file is missing or does not describe a model that we can build.
pub fn load_config(folder: &Path) -> Result<Config, LoadError> {
    read_config(&lora::base_folder(folder)?).map(|(_, config)| config)
}

/// The file as it is, and what it describes.
fn read_config(folder: &Path) -> Result<(Value, Config), LoadError> {
    let path = folder.join(CONFIG);
    let run = || model_within(folder).map(|model| LoadError::RunFolder { path: folder.to_owned(), model });
    let json = match read_json(&path) {
        Err(LoadError::Read { .. }) if let Some(run) = run() => return Err(run),
        read => read?,
    };
    match Config::from_json(&json) {
        Ok(config) => Ok((json, config)),
        // A run's `config.json` is its recipe.
        Err(ConfigError::Family { .. })
            if json.get("model_type").is_none()
                && let Some(run) = run() =>
        {
            Err(run)
        }
        Err(source) => Err(LoadError::Config { path, source }),
    }
}

/// The model that a training run left in its folder: the trained one, or its newest checkpoint.
fn model_within(folder: &Path) -> Option<PathBuf> {
    let is_model =
        |folder: &PathBuf| [CONFIG, "adapter_config.json"].iter().any(|name| folder.join(name).is_file());
    let checkpoints = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    let newest = || checkpoints.map(|entry| entry.path()).filter(is_model).max();
    Some(folder.join("final")).filter(is_model).or_else(newest)
}

/// Where a file has more than a tied model's configuration says, or its one matrix under the other name: a head with
/// values of its own is the model's, as in transformers.
fn tie_as_stored(config: &mut Config, store: &mut Store) -> Result<(), LoadError> {
    if config.tie_word_embeddings && store.has(HEAD) {
        if store.has(EMBEDDING) {
            config.tie_word_embeddings = store.same(EMBEDDING, HEAD)?;
        } else {
            store.rename(HEAD, EMBEDDING);
        }
    }
    Ok(())
}

/// A decoder of that architecture with the files' weights.
fn fill(
    config: &Config,
    folder: &Path,
    store: &mut Store,
    (held, device): (Held, &Device),
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Decoder, LoadError> {
    let names = Names::of(config);
    let mut check = Check { store, names, used: BTreeSet::new(), missing: Vec::new(), misshapen: Vec::new() };
    // A configuration that is not of these files may ask for any number of blocks.
    check.blocks(config);
    check.refuse(folder, config, &[])?;
    let blank = Decoder::uninitialised(config, device);
    let mut of = 0;
    blank.visit_shapes(&mut |name, shape| {
        check.parameter(name, shape);
        of = shape.iter().fold(1, |size, &side| u64::saturating_mul(size, side as u64)).saturating_add(of);
    });
    let all: Vec<&String> = check.store.names().collect();
    check.refuse(folder, config, &all)?;

    let mut done = 0;
    let decoder = blank.with_values(&mut |name, shape| {
        progress(Progress { done, of, tensor: name });
        let mut values = vec![0.0; shape.iter().product()];
        let mut rest = values.as_mut_slice();
        let mut stays = held == Held::AsStored && may_be_bfloat16(name, shape.len());
        for (source, part) in sources(names, name, shape, |name| store.has(name)) {
            stays &= store.is_bfloat16(&source);
            let part = rest.split_off_mut(..part.iter().product()).expect("the parts are the whole");
            store.read(&source, part)?;
        }
        done += values.len() as u64;
        Ok((values, if stays { DType::BF16 } else { DType::F32 }))
    })?;
    progress(Progress { done, of, tensor: "" });
    Ok(decoder)
}

/// The stored tensors that make up one of ours, with their shapes: itself under either name, or the experts' parts.
fn sources(
    names: Names,
    name: &str,
    shape: &[usize],
    present: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<usize>)> {
    if present(name) {
        return vec![(name.to_owned(), shape.to_vec())];
    }
    let one = || vec![(names.stored(name), shape.to_vec())];
    names.of_experts(name, shape).unwrap_or_else(one)
}

/// What of the files the model needs, and whether they have it.
struct Check<'a> {
    store: &'a Store,
    names: Names,
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl Check<'_> {
    /// Whether the files have as many blocks as the configuration; names the first that they lack.
    fn blocks(&mut self, config: &Config) {
        let first = |layer: usize| format!("model.layers.{layer}.post_attention_layernorm.weight");
        let lacking = (0..config.num_hidden_layers).map(first).find(|name| !self.store.has(name));
        self.missing.extend(lacking);
    }

    fn parameter(&mut self, name: &str, shape: &[usize]) {
        if self.missing.len() >= NAMED {
            return;
        }
        for (name, expected) in sources(self.names, name, shape, |name| self.store.has(name)) {
            if !self.store.has(&name) {
                self.missing.push(name);
                if self.missing.len() >= NAMED {
                    return;
                }
                continue;
            }
            if let Err(misfit) = self.store.check(&name, &expected)
                && self.misshapen.len() < NAMED
            {
                self.misshapen.push(misfit);
            }
            self.used.insert(name);
        }
    }

    /// Tells what does not fit, if anything: `names` are all that the files have.
    fn refuse(&mut self, folder: &Path, config: &Config, names: &[&String]) -> Result<(), LoadError> {
        let foreign = |name: &&&String| {
            !(self.used.contains(**name) || self.store.is_scale(name) || ignorable(name, config))
        };
        let unexpected: Vec<String> =
            names.iter().filter(foreign).take(NAMED).map(ToString::to_string).collect();
        if self.missing.is_empty() && self.misshapen.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        let (missing, misshapen) = (std::mem::take(&mut self.missing), std::mem::take(&mut self.misshapen));
        let prefix = if missing.is_empty() { None } else { self.store.other_prefix() };
        Err(LoadError::Tensors { path: folder.to_owned(), missing, unexpected, misshapen, prefix })
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
    (config.tie_word_embeddings && name == HEAD)
        || (config.num_nextn_predict_layers > 0 && copied(name))
        || name.ends_with("rotary_emb.inv_freq")
}
