//! Settings that fit a model folder and its data, for the keys that a recipe does not state. The embedded default is tuned
//! for its own tiny model: with another one its rates, lengths and verifier teach nothing, so none of them is taken over.
//! What the user states always goes before; each setting comes with its reason.

mod golds;
mod look;
mod memory;
pub(crate) mod rates;
mod reinforce;
mod supervise;

use crate::device::Device;
use crate::policy;
use crate::recipe::layers::{at, put, remove};
use crate::recipe::load::checked;
use crate::recipe::write::{recipe_text, value_text};
use crate::recipe::{Layers, Model, Recipe};
use anyhow::{Context, Result};
use look::Look;
use ruminate_data::jsonl::Columns;
use ruminate_model::{self as model, Config, lora};
use ruminate_text::Renderer;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A derived setting.
#[derive(Clone, Debug)]
struct Setting {
    path: &'static str,
    value: Value,
    why: String,
}

/// What was derived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    settings: Vec<Setting>,
    /// The model and the data, in words.
    about: String,
    /// The whole sparse recipe, derived settings included.
    table: Table,
    /// What the user states of it.
    stated: Table,
}

/// Ends of keys that print on one line: their values matter little or are what a reader expects.
const MINOR: [&str; 9] = [
    ".format",
    ".lr_scheduler_type",
    ".num_iterations",
    ".save_steps",
    ".warmup_steps",
    ".empty_thought",
    "eval.n",
    "eval.num_samples",
    "distill.num_samples",
];

/// What a command is started with.
pub(crate) struct Asked<'a> {
    pub(crate) command: &'static str,
    /// The run folder: an earlier run there decides again what free memory decided for it.
    pub(crate) out: &'a Path,
    pub(crate) device: Device,
}

/// The recipe with settings that fit, where its model is a folder with a tokenizer of its own; the same recipe otherwise.
///
/// # Errors
/// Those of the model folder, and data that no setting makes learnable (2). Rates are the doctor's to judge.
pub(crate) fn fit(asked: &Asked, recipe: Recipe, layers: &Layers) -> Result<(Recipe, Starts)> {
    let Some(folder) = speaker(asked.command, &recipe) else { return leave(recipe, layers) };
    if asked.command == "sft" && recipe.data.train.is_none() {
        return leave(recipe, layers); // refused by the command
    }
    let config = model::load_config(&lora::base_folder(&folder)?)?;
    let renderer = policy::renderer(&Model::Folder(folder.clone()), &recipe)?;
    if renderer.is_embedded() {
        return leave(recipe, layers);
    }
    let file = file(asked.command, &recipe);
    let look = file.map(|file| Look::at(file, &recipe.data.columns)).unwrap_or_default();
    let mut starts = Starts {
        about: about(&folder, &config, file, &look),
        table: base(asked.command, layers),
        ..Starts::default()
    };
    let fitting = Fitting { asked, layers, config: &config, renderer: &renderer, look: &look };
    let typed = |table: &Table| checked(table, &layers.origin);
    match asked.command {
        "sft" => supervise::settings(&fitting, &typed(&starts.table)?, &mut starts),
        command => {
            reinforce::settings(&fitting, &typed(&starts.table)?, &mut starts)?;
            if command == "distill" {
                supervise::student(&fitting, &typed(&starts.table)?, &mut starts)?;
            }
        }
    }
    memory::fit(&fitting, &mut starts)?;
    let mut fitted = checked(&starts.table, &layers.origin)?;
    // Names of the Hub have become folders.
    fitted.model = recipe.model.filter(|_| fitted.model.is_some());
    fitted.distill.teacher = recipe.distill.teacher;
    if fitted.distill.student.is_some() {
        fitted.distill.student = recipe.distill.student;
    }
    Ok((fitted, starts))
}

/// The recipe as it stands.
///
/// # Errors
/// With exit code 2, for a value out of range.
pub(crate) fn leave(recipe: Recipe, layers: &Layers) -> Result<(Recipe, Starts)> {
    recipe.validate().with_context(|| layers.origin.clone())?;
    let starts = Starts { table: layers.merged.clone(), stated: layers.stated.clone(), ..Starts::default() };
    Ok((recipe, starts))
}

/// Whether a file's rows are texts to be learned rather than problems with an answer.
pub(crate) fn is_conversations(path: &Path) -> bool {
    Look::at(path, &Columns::default()).is_conversations()
}

/// What settings are derived from.
struct Fitting<'a> {
    asked: &'a Asked<'a>,
    layers: &'a Layers,
    config: &'a Config,
    renderer: &'a Renderer,
    look: &'a Look,
}

impl Fitting<'_> {
    fn parameters(&self) -> usize {
        self.config.parameters().all
    }
}

impl Starts {
    /// Takes a setting, unless the user states its key.
    fn set(&mut self, layers: &Layers, path: &'static str, value: impl Into<Value>, why: impl Into<String>) {
        if layers.states(path) {
            return;
        }
        let (value, why) = (value.into(), why.into());
        put(&mut self.table, path, value.clone());
        self.settings.retain(|setting| setting.path != path);
        self.settings.push(Setting { path, value, why });
    }

    /// Prints the settings with their reasons; nothing where none was derived.
    pub(crate) fn tell(&self) {
        if self.settings.is_empty() {
            return;
        }
        notice!("settings for {}; what a recipe or --set states goes before:", self.about);
        let (minor, major): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|setting| MINOR.iter().any(|minor| setting.path.ends_with(minor)));
        for Setting { path, value, why } in major {
            notice!("  {path} = {}, because {why}", value_text(value));
        }
        let minor: Vec<String> = minor
            .iter()
            .map(|setting| format!("{} = {}", setting.path, value_text(&setting.value)))
            .collect();
        if !minor.is_empty() {
            notice!("  and {}; recipe.toml has their reasons", minor.join(", "));
        }
    }

    /// The recipe as a file that runs as it is: sparse, with the reason of each derived key.
    pub(crate) fn recipe(&self, head: &str) -> String {
        let head: Vec<String> = head.lines().map(|line| format!("# {line}\n")).collect();
        let reason = |path: &str| {
            self.settings.iter().find(|setting| setting.path == path).map(|setting| setting.why.clone())
        };
        head.concat() + "\n" + &recipe_text(&self.table, &reason)
    }

    /// The recipe to begin with: as [`recipe`](Self::recipe), or departures from the embedded default where nothing was
    /// derived.
    pub(crate) fn initial_recipe(&self, head: &str) -> String {
        if !self.settings.is_empty() {
            return self.recipe(&format!("For {}.\n{head}", self.about));
        }
        let mut table = Table::new();
        table.insert("extends".to_owned(), "default".into());
        table.extend(self.stated.clone());
        let plain = Self { table, ..Self::default() };
        plain.recipe(&format!(
            "The embedded default, a tiny model that is pretrained on the spot, with departures.\n{head}"
        ))
    }
}

/// The model whose tokenizer and size decide: under `distill` the teacher.
fn speaker(command: &str, recipe: &Recipe) -> Option<PathBuf> {
    let teacher = recipe.distill.teacher.as_ref().filter(|_| command == "distill");
    match (teacher, &recipe.model) {
        (Some(_), _) if recipe.distill.remote_url().is_some() => None,
        (Some(teacher), _) => Some(teacher.clone()),
        (None, Some(Model::Folder(folder))) => Some(folder.clone()),
        _ => None,
    }
}

/// The file whose rows decide.
fn file<'a>(command: &str, recipe: &'a Recipe) -> Option<&'a Path> {
    let (train, eval) = (recipe.data.train.as_deref(), recipe.data.eval.as_deref());
    if command == "eval" { eval.or(train) } else { train.or(eval) }
}

fn about(folder: &Path, config: &Config, file: Option<&Path>, look: &Look) -> String {
    let name = folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
    let size = policy::millions(config.parameters().all);
    match file {
        Some(file) => format!("{name} ({size} parameters) and {} ({} rows)", file.display(), look.rows),
        None => format!("{name} ({size} parameters)"),
    }
}

/// The recipe without what only the embedded default states and its own tiny model needs.
fn base(command: &str, layers: &Layers) -> Table {
    let mut table = layers.merged.clone();
    let mut own = vec!["max_steps", "pretrain", "sft", "train", "rollout", "grpo", "eval"];
    if layers.states("data.train") || layers.states("data.eval") {
        own.extend(["data.task", "data.params", "data.mix"]);
    } else if layers.states("data.task") || layers.states("data.tasks") {
        own.extend(["data.params", "data.mix"]);
    }
    if !layers.states("distill.student") {
        own.extend(["distill.student", "distill.pretrain_steps"]);
    }
    if !layers.states("distill") || command == "distill" {
        own.extend(["distill.prompts", "distill.num_samples"]);
    }
    if command == "distill" && !layers.states("model") {
        own.push("model");
    }
    for path in own {
        let stated = at(&layers.stated, path).cloned();
        match stated {
            Some(value) => put(&mut table, path, value),
            None => {
                remove(&mut table, path);
            }
        }
    }
    if table.get("data").and_then(Value::as_table).is_some_and(Table::is_empty) {
        table.remove("data");
    }
    if table.get("distill").and_then(Value::as_table).is_some_and(Table::is_empty) {
        table.remove("distill");
    }
    table
}

/// Up to which size all weights are trained by default; above it adapters, which need a third of the memory.
const ALL_WEIGHTS: usize = 200_000_000;

/// Adapters, unless the user decided: by `[lora]`, or by stating the rate, which is one for all weights or for adapters.
fn adapters(fitting: &Fitting, recipe: &Recipe, parameters: usize, rate: &str, starts: &mut Starts) -> bool {
    if fitting.layers.states("lora") || fitting.layers.states(rate) {
        return recipe.lora.is_some();
    }
    let large = parameters > ALL_WEIGHTS;
    if large {
        let why = format!(
            "{} parameters with gradients and moments would take four times the memory of the weights; `--set lora=` trains \
             all weights",
            policy::millions(parameters)
        );
        starts.set(fitting.layers, "lora.r", 16, why);
    }
    large
}

/// Whole numbers for TOML.
fn whole(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
