//! What every command that runs a recipe begins with: the recipe, the threads, the device, the run folder's name.

use crate::args::RunArgs;
use crate::device;
use crate::hub;
use crate::identity;
use crate::interrupt;
use crate::recipe::{self, Model, Recipe};
use anyhow::Result;
use burn::tensor::Device;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of Burn that the workspace pins.
const BURN: &str = "0.22.1";

/// A command at work on a recipe.
pub(crate) struct Session {
    pub(crate) args: RunArgs,
    pub(crate) recipe: Recipe,
    /// The recipe's text as given.
    given: String,
    /// The device without gradients; training takes [`Device::autodiff`] of it.
    pub(crate) device: Device,
    command: &'static str,
}

impl Session {
    /// Reads and checks the recipe, then opens the device.
    ///
    /// # Errors
    /// With exit code 2.
    pub(crate) fn new(command: &'static str, args: RunArgs) -> Result<Self> {
        let if_read = recipe::keys::where_read(command, &args.set_if_read);
        let sets: Vec<String> = if_read.chain(&args.set).cloned().collect();
        let recipe::Loaded { mut recipe, given, stated } = recipe::load(args.recipe.as_deref(), &sets)?;
        recipe::keys::refuse_unread(command, &stated, &args.set)?;
        for warning in recipe::idle::warnings(command, &recipe, &args.set) {
            eprintln!("warning: {warning}");
        }
        device::set_threads(recipe.threads);
        let workers =
            if is_wide(recipe.model.as_ref()) { 1 } else { args.device.device.workers(recipe.threads) };
        for trainer in [&mut recipe.pretrain.train, &mut recipe.sft.train, &mut recipe.train] {
            // 1 is the default; with `threads = 1` it is what is meant.
            if trainer.workers == 1 {
                trainer.workers = workers;
            }
        }
        let device = args.device.device.open()?;
        interrupt::catch(match command {
            "eval" => "nothing is kept of an evaluation that has not ended",
            _ => "finishing the step and saving",
        });
        if args.stop_at_eof {
            interrupt::catch_end_of_input();
        }
        Ok(Self { args, recipe, given, device, command })
    }

    /// The same for a command that takes models: those that are named as the Hub names them become folders here.
    ///
    /// # Errors
    /// With exit code 2, and 3 where a model cannot be had.
    pub(crate) fn with_models(command: &'static str, args: RunArgs) -> Result<Self> {
        let mut session = Self::new(command, args)?;
        let distill = &mut session.recipe.distill;
        for model in [&mut session.recipe.model, &mut distill.student] {
            if let Some(Model::Folder(folder)) = model {
                *folder = hub::folder(folder)?;
            }
        }
        if let Some(teacher) = &mut distill.teacher {
            *teacher = hub::folder(teacher)?;
        }
        Ok(session)
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
        Path::new("runs").join(format!("{command}-seed{}", self.recipe.seed))
    }

    /// The same session with another recipe: a stage of a longer command.
    pub(crate) fn stage(&self, command: &'static str, out: PathBuf) -> Self {
        let args = RunArgs { out: Some(out), resume: Some(crate::args::Resume::Auto), ..self.args.clone() };
        Self {
            args,
            recipe: self.recipe.clone(),
            given: self.given.clone(),
            device: self.device.clone(),
            command,
        }
    }

    /// `recipe.toml`.
    pub(crate) fn recipe_toml(&self) -> &str {
        &self.given
    }

    /// `config.json`: the recipe with every default, and what it ran with.
    ///
    /// # Errors
    /// None for recipes that were read.
    pub(crate) fn config_json(&self) -> Result<Value> {
        let mut config = serde_json::to_value(&self.recipe)?;
        config["command"] = json!(self.command);
        config["device"] = json!(self.args.device.device.to_string());
        config["versions"] = json!({ "ruminate": env!("CARGO_PKG_VERSION"), "burn": BURN });
        config["git_commit"] = json!(git_commit());
        Ok(config)
    }

    /// What makes a run of this command the one that it is. `covered` are keys that something else stands for.
    ///
    /// # Errors
    /// With exit code 3 where an input cannot be read.
    pub(crate) fn identity(&self, covered: &[&str]) -> Result<Value> {
        identity::of(self.command, &self.recipe, covered)
    }
}

/// Whether a checkpoint's products are large enough to be split themselves: another microbatch beside would only take the
/// memory of its graph and its gradients.
fn is_wide(model: Option<&Model>) -> bool {
    let Some(Model::Folder(folder)) = model else { return false };
    ruminate_model::load_config(folder).is_ok_and(|config| config.hidden_size >= 512)
}

/// The commit of the sources that this binary was built from, where they are still there and git is.
fn git_commit() -> Option<String> {
    let output =
        Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

#[cfg(test)]
mod tests {
    use super::BURN;

    #[test]
    fn the_recorded_version_of_burn_is_the_pinned_one() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN}\"")));
    }
}
