//! What every command that runs a recipe begins with: the recipe, the threads, the device, the run folder's name.

use crate::device;
use crate::frontend;
use crate::hub;
use crate::options::RunOptions;
use crate::progress::Progress;
use crate::recipe::{self, Layers, Model, Recipe};
use crate::run::identity;
use crate::run::trust;
use crate::settings::{self, Asked, Starts};
use anyhow::Result;
use burn::tensor::Device;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A command at work on a recipe.
pub(crate) struct Session {
    pub(crate) args: RunOptions,
    pub(crate) recipe: Recipe,
    /// What was derived from the model and its data.
    starts: Starts,
    /// The device without gradients; training takes [`Device::autodiff`] of it.
    pub(crate) device: Device,
    command: &'static str,
}

impl Session {
    /// Reads and checks the recipe, then opens the device.
    ///
    /// # Errors
    /// With exit code 2.
    pub(crate) fn new(command: &'static str, args: RunOptions) -> Result<Self> {
        Self::open(command, args, |_, recipe, layers| settings::leave(recipe, layers))
    }

    /// The same for a command that takes models: those that are named as the Hub names them become folders here, and what the
    /// recipe does not state is derived from them.
    ///
    /// # Errors
    /// With exit code 2, and 3 where a model or a file cannot be had.
    pub(crate) fn with_models(command: &'static str, args: RunOptions) -> Result<Self> {
        Self::open(command, args, |asked, mut recipe, layers| {
            let distill = &mut recipe.distill;
            for model in [&mut recipe.model, &mut distill.student] {
                if let Some(Model::Folder(folder)) = model {
                    *folder = hub::folder(folder)?;
                }
            }
            if let Some(teacher) = &mut distill.teacher {
                *teacher = hub::folder(teacher)?;
            }
            settings::fit(asked, recipe, layers)
        })
    }

    fn open(
        command: &'static str,
        args: RunOptions,
        fit: impl FnOnce(&Asked, Recipe, &Layers) -> Result<(Recipe, Starts)>,
    ) -> Result<Self> {
        let args = args.resolved(command)?;
        let if_read = recipe::keys::where_read(command, &args.set_if_read);
        let sets: Vec<String> = if_read.chain(&args.set).cloned().collect();
        let recipe::Loaded { mut recipe, layers } = recipe::read(args.recipe.as_deref(), &sets)?;
        recipe::keys::refuse_unread(command, &layers, &args.set)?;
        trust::check(command, &args, &recipe, &layers)?;
        for warning in recipe::idle::warnings(command, &recipe, &args.set) {
            notice!("warning: {warning}");
        }
        recipe.threads = device::threads(recipe.threads);
        device::set_threads(recipe.threads);
        let device = args.device.open()?;
        let out = args.out.clone().unwrap_or_else(|| default_out(command, recipe.seed));
        let asked = Asked { command, out: &out, device: args.device };
        let threads = recipe.threads;
        let fitting = Progress::saying("preparing", "the model's sizes and the rows of its data");
        let (mut recipe, starts) = fit(&asked, recipe, &layers)?;
        drop(fitting);
        recipe.threads = threads; // what is derived begins with the recipe as it was given
        let workers = if is_wide(recipe.model.as_ref()) { 1 } else { args.device.workers(recipe.threads) };
        for trainer in [&mut recipe.pretrain.train, &mut recipe.sft.train, &mut recipe.train] {
            if trainer.workers == 0 {
                trainer.workers = workers;
            }
        }
        frontend::catch_interrupts(match command {
            "eval" => "what is sampled is kept, and the same command goes on with it",
            _ => "finishing the step and saving",
        });
        Ok(Self { args, recipe, starts, device, command })
    }

    /// The command that the user ran.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// The run folder.
    pub(crate) fn out(&self) -> PathBuf {
        self.args.out.clone().unwrap_or_else(|| self.default_out(self.command))
    }

    /// The default run folder of a command, with this run's seed.
    pub(crate) fn default_out(&self, command: &str) -> PathBuf {
        default_out(command, self.recipe.seed)
    }

    /// Checks that the data files which the command reads are there.
    ///
    /// # Errors
    /// With exit code 3, the key, and the folders that were looked in.
    pub(crate) fn check_files(&self) -> Result<()> {
        let Recipe { data, distill, .. } = &self.recipe;
        recipe::paths::check(self.command, data, distill, self.args.recipe.as_deref())
    }

    /// Prints the settings that were derived, with their reasons.
    pub(crate) fn tell_settings(&self) {
        self.starts.tell();
    }

    /// The same session with another recipe: a stage of a longer command.
    pub(crate) fn stage(&self, command: &'static str, out: PathBuf) -> Self {
        let args =
            RunOptions { out: Some(out), resume: Some(crate::options::Resume::Auto), ..self.args.clone() };
        Self {
            args,
            recipe: self.recipe.clone(),
            starts: self.starts.clone(),
            device: self.device.clone(),
            command,
        }
    }

    /// The same session with so many steps of `train-rl`, where `num_train_epochs` was counted out.
    pub(crate) fn lasting(&self, max_steps: usize) -> Self {
        let recipe = Recipe { max_steps, ..self.recipe.clone() };
        let Self { args, starts, device, command, .. } = self;
        Self { args: args.clone(), recipe, starts: starts.clone(), device: device.clone(), command }
    }

    /// `recipe.toml`: a recipe for the same run, with `--set` and derived settings in it.
    pub(crate) fn recipe_toml(&self) -> String {
        let command = self.command;
        self.starts.recipe(&format!(
            "What `ruminate {command}` ran: the recipe with what it extends, --set, and what was derived. `ruminate {command} \
             recipe.toml` is the same run."
        ))
    }

    /// A recipe to begin with, for a file of that name.
    pub(crate) fn initial_recipe(&self, file: &Path) -> String {
        let command = self.command;
        self.starts.initial_recipe(&format!(
            "Start it by `ruminate {command} {}` from the folder in which it was written: relative paths are relative to that.\n\
             Every value may be changed; `--set KEY.PATH=VALUE` goes before what stands here.",
            file.display()
        ))
    }

    /// `config.json`: the recipe with every default, and what it ran with.
    ///
    /// # Errors
    /// None for recipes that were read.
    pub(crate) fn config_json(&self) -> Result<Value> {
        let mut config = serde_json::to_value(&self.recipe)?;
        config["command"] = json!(self.command);
        config["device"] = json!(self.args.device.to_string());
        config["versions"] = json!({ "ruminate": env!("CARGO_PKG_VERSION"), "burn": env!("RUMINATE_BURN") });
        config["git_commit"] = json!(Some(env!("RUMINATE_COMMIT")).filter(|commit| !commit.is_empty()));
        let origins = self.origins();
        if !origins.is_empty() {
            config[identity::INPUTS] = json!({ (identity::ORIGINS): origins });
        }
        Ok(config)
    }

    /// What the models were downloaded as, by the keys that name them: `org/model@commit`.
    fn origins(&self) -> Map<String, Value> {
        let Recipe { model, distill, .. } = &self.recipe;
        let folder = |model: &Option<Model>| match model {
            Some(Model::Folder(folder)) => hub::origin(folder),
            _ => None,
        };
        let named = [
            ("model", folder(model)),
            ("distill.student", folder(&distill.student)),
            ("distill.teacher", distill.teacher.as_deref().and_then(hub::origin)),
        ];
        named.into_iter().filter_map(|(key, origin)| Some((key.to_owned(), json!(origin?)))).collect()
    }

    /// What makes a run of this command the one that it is. `covered` are keys that something else stands for.
    ///
    /// # Errors
    /// With exit code 3 where an input cannot be read.
    pub(crate) fn identity(&self, covered: &[&str]) -> Result<Value> {
        identity::of(self.command, &self.recipe, covered)
    }
}

fn default_out(command: &str, seed: u64) -> PathBuf {
    Path::new("runs").join(format!("{command}-seed{seed}"))
}

/// Whether a checkpoint's products are large enough to be split themselves: another microbatch beside would only take the
/// memory of its graph and its gradients.
fn is_wide(model: Option<&Model>) -> bool {
    let Some(Model::Folder(folder)) = model else { return false };
    ruminate_model::load_config(folder).is_ok_and(|config| config.hidden_size >= 512)
}
