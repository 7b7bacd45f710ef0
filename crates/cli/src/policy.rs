//! Policies: loaded from a folder, or made from the keys of a recipe; saved as a folder that transformers loads.

use crate::exit::Refusal;
use crate::language::Language;
use crate::recipe::{Model, PromptStyle, load::nearest};
use anyhow::{Context, Result};
use burn::tensor::Device;
use ruminate_data::Seed;
use ruminate_model::{self as model, Config, Decoder};
use ruminate_run::FolderWriter;
use ruminate_text::Tokenizer;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The architecture of an inline table named `name` in the recipe.
///
/// # Errors
/// With exit code 2: a key that no model reads, or a value that cannot be.
pub(crate) fn inline_config(name: &str, keys: &Map<String, Value>) -> Result<Config> {
    let tokenizer = Tokenizer::embedded();
    let mut json = keys.clone();
    json.entry("vocab_size").or_insert_with(|| json!(tokenizer.vocab_size()));
    json.entry("eos_token_id").or_insert_with(|| json!(tokenizer.eos_id()));
    let config = Config::from_json(&Value::Object(json)).with_context(|| format!("[{name}]"))?;
    let written = config.to_json();
    let known = || written.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    if let Some(key) = keys.keys().find(|key| !known().any(|known| known == *key)) {
        let hint = nearest(key, known()).map(|near| format!("; did you mean `{name}.{near}`?"));
        return Err(Refusal::usage(format!("unknown key `{name}.{key}`{}", hint.unwrap_or_default())));
    }
    tokenizer.check_vocab_size(config.vocab_size).with_context(|| format!("[{name}]"))?;
    Ok(config)
}

/// Fresh weights.
pub(crate) fn fresh(config: &Config, seed: Seed, device: &Device) -> Decoder {
    Decoder::init(config, &mut seed.child("init").rng(), device)
}

/// The language that a model speaks.
pub(crate) fn language(model: &Model, style: PromptStyle) -> Result<Language> {
    match model {
        Model::Inline(_) => Language::embedded(style),
        Model::Folder(folder) => Language::load(folder, model::load_config(folder)?.vocab_size, style),
    }
}

/// Writes a model folder that is complete or absent.
pub(crate) fn save(target: &Path, decoder: &Decoder, language: &Language) -> Result<()> {
    let writer = FolderWriter::create(target)?;
    for (name, bytes) in language.tokenizer.files() {
        writer.write(name, bytes)?;
    }
    model::save(decoder, writer.folder())?;
    writer.commit(Value::Null)?;
    Ok(())
}

/// A number of parameters for people.
pub(crate) fn millions(parameters: usize) -> String {
    format!("{:.2}M", parameters as f64 / 1e6)
}
