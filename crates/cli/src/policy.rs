//! Policies: loaded from a folder, or made from the keys of a recipe; saved as a folder that transformers loads.

use crate::exit::Refusal;
use crate::language::Language;
use crate::recipe::{Model, PromptStyle, load::nearest};
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use ruminate_data::Seed;
use ruminate_model::{self as model, Attention, Config, Decoder, lora};
use ruminate_run::FolderWriter;
use ruminate_text::Tokenizer;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

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

/// Whether what is to be trained can carry the recipe's adapters: asked before anything is computed.
///
/// # Errors
/// With exit code 2, for a name that is no module of the model.
pub(crate) fn check_adapters(lora: Option<&lora::Config>, config: &Config, device: &Device) -> Result<()> {
    Ok(lora.map_or(Ok(()), |lora| lora.check(config, device))?)
}

/// The policy to train: all weights of a folder, or fresh adapters on them.
///
/// # Errors
/// Those of loading; an adapter folder is refused (2), since what comes of it would have no base to be named.
pub(crate) fn trainable(
    folder: &Path,
    lora: Option<&lora::Config>,
    seed: Seed,
    device: &Device,
) -> Result<Decoder> {
    if lora::base_folder(folder)? != folder {
        let folder = folder.display();
        return Err(Refusal::usage(format!(
            "{folder} holds adapters, and training begins with whole weights; make them by `ruminate merge {folder} OUT`"
        )));
    }
    let decoder = model::load(folder, device)?;
    let Some(lora) = lora else { return Ok(decoder) };
    // Adapters are looked for from elsewhere, too.
    let base = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
    let whole = decoder.parameter_count();
    let decoder = decoder.with_adapters(lora, &base, &mut seed.child("lora").rng())?;
    let count = decoder.parameter_count() - whole;
    eprintln!("lora: {} of {} parameters are trained", millions(count), millions(whole + count));
    Ok(decoder)
}

/// What samples and scores: a model folder, an adapter folder, or one on the other; adapters are merged.
pub(crate) struct Source {
    /// The model folder, which has the tokenizer, too.
    pub(crate) base: PathBuf,
    adapter: Option<PathBuf>,
}

impl Source {
    /// # Errors
    /// With exit code 3 when the base that an adapter folder names is not there.
    pub(crate) fn new(model: &Path, adapter: Option<&Path>) -> Result<Self> {
        let base = lora::base_folder(model)?;
        let own = (base != model).then_some(model);
        if let (Some(own), Some(adapter)) = (own, adapter) {
            return Err(Refusal::usage(format!(
                "--model {} holds adapters itself; expected the base model of --adapter {}",
                own.display(),
                adapter.display()
            )));
        }
        Ok(Self { adapter: own.or(adapter).map(Path::to_owned), base })
    }

    /// # Errors
    /// Those of loading.
    pub(crate) fn load(&self, device: &Device) -> Result<Decoder> {
        let decoder = model::load(&self.base, device)?;
        match &self.adapter {
            Some(adapter) => Ok(lora::load_adapter(decoder, adapter)?.merged()),
            None => Ok(decoder),
        }
    }
}

/// The language that a model speaks.
pub(crate) fn language(model: &Model, style: PromptStyle) -> Result<Language> {
    match model {
        Model::Inline(_) => Language::embedded(style),
        Model::Folder(folder) => {
            Language::load(&lora::base_folder(folder)?, model::load_config(folder)?.vocab_size, style)
        }
    }
}

/// Writes a model folder that is complete or absent. Of a decoder with adapters it is the merged model, with the
/// adapters in its folder `adapter`.
pub(crate) fn save(target: &Path, decoder: &Decoder, language: Option<&Language>) -> Result<()> {
    let writer = FolderWriter::create(target)?;
    for (name, bytes) in language.into_iter().flat_map(|language| language.tokenizer.files()) {
        writer.write(name, bytes)?;
    }
    if decoder.adapters().is_some() {
        let adapter = writer.path("adapter/adapter_config.json")?;
        model::save(decoder, adapter.parent().unwrap_or(writer.folder()))?;
    }
    model::save(&decoder.valid().merged(), writer.folder())?;
    writer.commit(Value::Null)?;
    Ok(())
}

/// A number of parameters for people.
pub(crate) fn millions(parameters: usize) -> String {
    format!("{:.2}M", parameters as f64 / 1e6)
}

/// Parameters of all matrices, and of those that one token passes; norms' gains are left out.
pub(crate) fn parameters(config: &Config) -> (usize, usize) {
    let width = config.hidden_size;
    let attention = match config.attention {
        Attention::Mla(mla) => {
            let heads = mla.num_attention_heads;
            let query = heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim);
            let queries = mla.q_lora_rank.map_or(width * query, |rank| rank * (width + query));
            let latent = width * (mla.kv_lora_rank + mla.qk_rope_head_dim);
            let unfolded = mla.kv_lora_rank * heads * (mla.qk_nope_head_dim + mla.v_head_dim);
            queries + latent + unfolded + heads * mla.v_head_dim * width
        }
        Attention::Gqa(gqa) => 2 * width * gqa.head_dim * (gqa.num_attention_heads + gqa.num_key_value_heads),
    };
    let embeddings = config.vocab_size * width;
    let head = if config.tie_word_embeddings { 0 } else { embeddings };
    let (mut all, mut active) = (embeddings + head, embeddings + head);
    for layer in 0..config.num_hidden_layers {
        let (held, used) = match config.moe.filter(|_| config.is_moe(layer)) {
            None => (3 * width * config.intermediate_size, 3 * width * config.intermediate_size),
            Some(moe) => {
                let expert = 3 * width * moe.moe_intermediate_size;
                let router = width * moe.n_routed_experts;
                let count = |routed: usize| router + expert * (routed + moe.n_shared_experts);
                (count(moe.n_routed_experts), count(moe.num_experts_per_tok))
            }
        };
        all += attention + held;
        active += attention + used;
    }
    (all, active)
}

#[cfg(test)]
mod tests {
    use super::{inline_config, parameters};
    use serde_json::json;

    #[test]
    fn a_layer_counts_its_experts_whole_and_its_tokens_share() {
        let json = json!({
            "model_type": "qwen3_moe", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "head_dim": 4, "intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 1,
            "moe_intermediate_size": 6,
        });
        let config = inline_config("model", json.as_object().expect("an object")).expect("valid");
        let (attention, expert, router) = (4 * 8 * 8, 3 * 8 * 6, 8 * 4);
        let embeddings = 2 * config.vocab_size * 8;
        let (all, active) = parameters(&config);
        assert_eq!(all, embeddings + 2 * (attention + router + 4 * expert));
        assert_eq!(active, embeddings + 2 * (attention + router + expert));
    }
}
