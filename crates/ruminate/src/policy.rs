//! Policies: loaded from a folder, or made from the keys of a recipe; saved as a folder that transformers loads.

use crate::error::Refusal;
use crate::progress::Progress;
use crate::recipe::text::load_renderer;
use crate::recipe::{Model, Recipe};
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use ruminate_data::{Seed, nearest};
use ruminate_model::{self as model, Config, Decoder, Held, lora};
use ruminate_run::{FolderWriter, make_parents};
use ruminate_text::Renderer;
use ruminate_text::Tokenizer;
use ruminate_train::{Config as TrainerConfig, Dtype, Trained};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The architecture of an inline table named `name` in the recipe.
///
/// # Errors
/// With exit code 2: a key that no model reads, or a value that cannot be.
pub(crate) fn inline_config(name: &str, keys: &Map<String, Value>) -> Result<Config> {
    let tokenizer = Tokenizer::embedded();
    inline_config_for(name, keys, &tokenizer, tokenizer.vocab_size())
}

/// The same for another tokenizer, with embeddings for so many ids unless the table says otherwise.
///
/// # Errors
/// As [`inline_config`].
pub(crate) fn inline_config_for(
    name: &str,
    keys: &Map<String, Value>,
    tokenizer: &Tokenizer,
    vocab_size: usize,
) -> Result<Config> {
    let mut json = keys.clone();
    json.entry("vocab_size").or_insert_with(|| json!(vocab_size));
    json.entry("eos_token_id").or_insert_with(|| json!(tokenizer.eos_id()));
    // TOML has no null, which is what says that queries are projected directly.
    json.entry("q_lora_rank").or_insert(Value::Null);
    let config = Config::from_json(&Value::Object(json)).with_context(|| format!("[{name}]"))?;
    let written = config.to_json();
    let known = || written.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    if let Some(key) = keys.keys().find(|key| !known().any(|known| known == *key)) {
        let hint = nearest(key, known()).map(|near| format!("; did you mean `{name}.{near}`?"));
        return Err(Refusal::usage(format!("unknown key `{name}.{key}`{}", hint.unwrap_or_default())));
    }
    tokenizer.check_vocab_size(config.vocab_size).with_context(|| format!("[{name}]"))?;
    if let Some(id) = config.eos_token_ids.iter().find(|id| **id as usize >= config.vocab_size) {
        return Err(Refusal::usage(format!(
            "`{name}.eos_token_id`: expected token ids below `{name}.vocab_size` = {}, found {id}",
            config.vocab_size
        )));
    }
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

/// What learns of a model of that architecture.
///
/// # Errors
/// As [`check_adapters`].
pub(crate) fn trained(lora: Option<&lora::Config>, config: &Config, device: &Device) -> Result<Trained> {
    Ok(match lora {
        None => Trained::Weights,
        Some(lora) => Trained::Adapters(lora.parameters(config, device)?),
    })
}

/// The policy to train: all weights of a folder, or fresh adapters on them. Below adapters, matrices that the folder has in
/// bfloat16 stay in it where the trainer is to hold them so: widened, they would take three times that while they are read.
///
/// # Errors
/// Those of loading; an adapter folder is refused (2), since what comes of it would have no base to be named.
pub(crate) fn trainable(
    folder: &Path,
    lora: Option<&lora::Config>,
    train: &TrainerConfig,
    seed: Seed,
    device: &Device,
) -> Result<Decoder> {
    if lora::base_folder(folder)? != folder {
        let folder = folder.display();
        return Err(Refusal::usage(format!(
            "{folder} holds adapters, and training begins with whole weights; make them by `ruminate merge {folder} OUT`"
        )));
    }
    let Some(lora) = lora else { return load(folder, device) };
    let held = match train.frozen_dtype {
        Dtype::Bfloat16 => Held::AsStored,
        Dtype::Float32 => Held::AsF32,
    };
    let decoder = load_held(folder, held, device)?;
    // Adapters are looked for from elsewhere, too.
    let base = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
    let whole = decoder.parameter_count();
    let decoder = decoder.with_adapters(lora, &base, &mut seed.child("lora").rng())?;
    let count = decoder.parameter_count() - whole;
    notice!("lora: {} of {} parameters are trained", millions(count), millions(whole + count));
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
        if let Some(own) = own {
            notice!("adapters of {}, on the base model {}", own.display(), base.display());
        }
        if let (Some(own), Some(adapter)) = (own, adapter) {
            return Err(Refusal::usage(format!(
                "--model {} holds adapters itself; expected the base model of --adapter {}",
                own.display(),
                adapter.display()
            )));
        }
        Ok(Self { adapter: own.or(adapter).map(Path::to_owned), base })
    }

    /// The adapters on the model folder, where there are some.
    pub(crate) fn adapter(&self) -> Option<&Path> {
        self.adapter.as_deref()
    }

    /// # Errors
    /// Those of loading.
    pub(crate) fn load(&self, device: &Device) -> Result<Decoder> {
        self.with_adapter(load(&self.base, device)?)
    }

    /// The same for sampling alone, in half the memory where the folder is in bfloat16.
    pub(crate) fn load_for_sampling(&self, device: &Device) -> Result<Decoder> {
        self.with_adapter(load_held(&self.base, Held::AsStored, device)?)
    }

    fn with_adapter(&self, decoder: Decoder) -> Result<Decoder> {
        match &self.adapter {
            Some(adapter) => Ok(lora::load_adapter(decoder, adapter)?.merged()),
            None => Ok(decoder),
        }
    }
}

/// The renderer that a model speaks, with what the recipe wants before its prompts and gives to its chat template.
///
/// # Errors
/// Those of loading; with exit code 2 for a variable that the template does not read.
pub(crate) fn renderer(model: &Model, recipe: &Recipe) -> Result<Renderer> {
    Ok(spoken(model, recipe)?.with_kwargs(&recipe.data.template, "[data.template]")?)
}

/// The same of a model beside another one, such as a student: the recipe's variables may be the other's.
pub(crate) fn renderer_beside(model: &Model, recipe: &Recipe) -> Result<Renderer> {
    let renderer = spoken(model, recipe)?;
    let mut read = recipe.data.template.clone();
    read.retain(|name, _| renderer.template.reads(name));
    Ok(renderer.with_kwargs(&read, "[data.template]")?)
}

fn spoken(model: &Model, recipe: &Recipe) -> Result<Renderer> {
    let style = recipe.data.prompt;
    let mut renderer = match model {
        Model::Inline(_) => Renderer::embedded(style)?,
        Model::Folder(folder) => {
            load_renderer(&lora::base_folder(folder)?, &model::load_config(folder)?, style)?
        }
    };
    renderer.template.preamble = recipe.preamble()?;
    Ok(renderer)
}

/// A folder's policy, with a bar for one that takes a while.
///
/// # Errors
/// With exit code 3: a file is missing or malformed, or does not fit the others.
pub(crate) fn load(folder: &Path, device: &Device) -> Result<Decoder> {
    load_held(folder, Held::AsF32, device)
}

fn load_held(folder: &Path, held: Held, device: &Device) -> Result<Decoder> {
    /// Parameters that are read within a second or two.
    const QUICK: u64 = 200_000_000;
    const MILLION: u64 = 1_000_000;
    let mut bar = None;
    let loaded = model::load_with_progress(folder, held, device, &mut |at| {
        if at.of > QUICK {
            let bar = bar.get_or_insert_with(|| Progress::new("loading", at.of / MILLION, 0));
            bar.at(at.done / MILLION, "million parameters");
        }
    });
    Ok(loaded?)
}

/// Writes a model folder that is complete or absent, into a folder that is there. Of a decoder with adapters it is the merged model, with the
/// adapters in its folder `adapter`.
pub(crate) fn save(
    target: &Path,
    decoder: &Decoder,
    renderer: Option<&Renderer>,
    format: model::Format,
) -> Result<()> {
    let writer = FolderWriter::create(target)?;
    write(&writer, decoder, renderer, format)?;
    writer.commit(Value::Null)?;
    Ok(())
}

/// The same in the place of nothing: what appears under the name while the weights are written stays, too. The folders
/// above it are made.
///
/// # Errors
/// As [`refuse_existing`], and those of writing.
pub(crate) fn save_new(
    target: &Path,
    decoder: &Decoder,
    renderer: Option<&Renderer>,
    format: model::Format,
) -> Result<()> {
    make_parents(target)?;
    let writer = FolderWriter::create(target)?;
    write(&writer, decoder, renderer, format)?;
    refuse_existing(target)?;
    writer.commit(Value::Null)?;
    Ok(())
}

/// Refuses a name under which a folder is to be made and something is already.
///
/// # Errors
/// With exit code 2.
pub(crate) fn refuse_existing(out: &Path) -> Result<()> {
    // A link that leads nowhere is in the way, too.
    if out.symlink_metadata().is_ok() {
        let out = out.display();
        return Err(Refusal::usage(format!("{out} exists already; remove it or choose another folder")));
    }
    Ok(())
}

fn write(
    writer: &FolderWriter,
    decoder: &Decoder,
    renderer: Option<&Renderer>,
    format: model::Format,
) -> Result<()> {
    for (name, bytes) in renderer.into_iter().flat_map(|renderer| renderer.tokenizer.files()) {
        writer.write(name, bytes)?;
    }
    if decoder.adapters().is_some() {
        let adapter = writer.path("adapter/adapter_config.json")?;
        model::save(decoder, adapter.parent().unwrap_or(writer.folder()))?;
    }
    model::save_as(&decoder.valid().merged(), writer.folder(), format)?;
    Ok(())
}

/// What a run took, in a summary: tokens that its policy saw, and the parameters that each of them passed.
pub(crate) fn compute(num_tokens: u64, config: &Config) -> Value {
    json!({ "num_tokens": num_tokens, "active_parameters": config.parameters().active })
}

/// A number of parameters for people.
pub(crate) fn millions(parameters: usize) -> String {
    format!("{:.2}M", parameters as f64 / 1e6)
}
