//! The frame around a training run: its folder is entered once, continued from a checkpoint or begun anew, and left
//! complete. It refuses to know what is trained.

use crate::args::Resume;
use crate::commands::report;
use crate::exit::Refusal;
use crate::identity;
use crate::language::Language;
use crate::policy;
use crate::session::Session;
use anyhow::{Context, Result};
use burn::tensor::Device;
use ruminate_model::{Decoder, Format};
use ruminate_run::{
    Completed, Error, Leaves, RunFolder, Status, checkpoints, sha256_hex, truncate_after, write_file,
};
use ruminate_train::{self as train, State, checkpoint};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What an earlier run of another recipe in the same folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Somebody's result: refused.
    Kept,
    /// A means to an end, like the base policy: made anew.
    Replaced,
}

/// A run folder that was entered.
pub(crate) enum Entered {
    /// The same run was completed before; this is what it says.
    Complete(Value),
    /// It is to be run.
    Open(Box<Stage>),
}

/// A run folder to be filled.
pub(crate) struct Stage {
    pub(crate) folder: RunFolder,
    /// What makes the run this one.
    pub(crate) identity: Value,
    checkpoint: Option<PathBuf>,
    allow_changed: bool,
    /// `recipe.toml`
    recipe: String,
    /// `config.json`
    config: Value,
    /// Of `final/`.
    format: Format,
}

/// Enters a session's folder at `path` for the run of that identity.
///
/// # Errors
/// When another process holds it, or another run's results lie in it.
pub(crate) fn enter(session: &Session, path: &Path, identity: Value, earlier: Earlier) -> Result<Entered> {
    let folder = RunFolder::create(path)?;
    for leftover in folder.leftovers() {
        eprintln!("warning: removed {}, left by an interrupted save", leftover.display());
    }
    let status = match folder.status() {
        Err(Error::Broken(broken)) if earlier == Earlier::Replaced => {
            eprintln!("warning: {broken}; it is made anew");
            clear(&folder)?;
            Status::Fresh
        }
        status => status?,
    };
    let resume = match earlier {
        Earlier::Kept => session.args.resume.clone(),
        Earlier::Replaced => Some(Resume::Auto),
    };
    match status {
        Status::Complete(completed) if completed.recipe_sha256 == hash(&identity) => {
            return Ok(Entered::Complete(completed.summary));
        }
        Status::Complete(_) if earlier == Earlier::Replaced => {
            eprintln!("{}: made by another recipe, it is made anew", path.display());
            clear(&folder)?;
        }
        Status::Complete(_) => {
            return Err(Refusal::usage(format!(
                "{} holds a complete run of another recipe{}; choose another folder with --out",
                path.display(),
                identity::difference(path, &identity)
            )));
        }
        Status::Started if resume.is_none() && has_steps(&folder) => {
            return Err(Refusal::usage(format!(
                "{} holds a run that has not ended; go on with --resume auto, or choose another folder with --out",
                path.display()
            )));
        }
        Status::Started | Status::Fresh => {}
    }
    let mut checkpoint = resume.map(|resume| find(path, resume)).transpose()?.flatten();
    if earlier == Earlier::Replaced
        && let Some(path) = &checkpoint
        && saved_identity(path).as_ref() != Some(&identity)
    {
        clear(&folder)?;
        checkpoint = None;
    }
    let (recipe, config) = (session.recipe_toml().to_owned(), session.config_json()?);
    let allow_changed = session.args.allow_changed;
    let format = match earlier {
        Earlier::Kept => session.recipe.save,
        // What is trained on is not rounded.
        Earlier::Replaced => Format::default(),
    };
    Ok(Entered::Open(Box::new(Stage { folder, identity, checkpoint, allow_changed, recipe, config, format })))
}

impl Stage {
    /// The state to train on from: the checkpoint's, or a fresh policy's. Logs are rewound to it, and from here on
    /// the folder's recipe is this one. `steps` is the last step of the run.
    ///
    /// # Errors
    /// A checkpoint that is broken or of another run.
    pub(crate) fn state(
        &self,
        steps: usize,
        config: &train::Config,
        device: &Device,
        fresh: impl FnOnce() -> Result<Decoder>,
    ) -> Result<State> {
        let state = match &self.checkpoint {
            None => State::fresh(fresh()?, config),
            Some(path) => {
                identity::check(path, &self.identity, steps, self.allow_changed)?;
                let loaded = checkpoint::load(path, config, device)?;
                eprintln!("resumed from {} (step {})", path.display(), loaded.state.step);
                loaded.state
            }
        };
        for log in [self.folder.metrics_path(), self.folder.eval_path(), self.folder.expert_load_path()] {
            let step = state.step as u64;
            // A run that begins anew has an evaluation of step 0 to come.
            let kept = |row: &Value| step > 0 && row["step"].as_u64().is_some_and(|of| of <= step);
            truncate_after(&log, kept)?;
        }
        self.record()?;
        Ok(state)
    }

    /// Writes down what the run is: `recipe.toml` and `config.json`.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn record(&self) -> Result<()> {
        write_file(&self.folder.recipe_path(), self.recipe.as_bytes())?;
        let mut config = self.config.clone();
        if let Some(inputs) = identity::inputs(&self.identity) {
            config[identity::INPUTS] = inputs.clone();
        }
        Ok(write_file(&self.folder.config_path(), &serde_json::to_vec_pretty(&config)?)?)
    }

    /// Says that a run which leaves no model is complete.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn finish_files(&self, summary: Value) -> Result<()> {
        let recipe_sha256 = hash(&self.identity);
        Ok(self.folder.complete(&Completed { recipe_sha256, summary, leaves: Leaves::Files })?)
    }

    /// Writes the model folder, says that the run is complete, and leaves its report.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn finish(&self, policy: &Decoder, language: &Language, summary: Value) -> Result<()> {
        policy::save(&self.folder.final_path(), policy, Some(language), self.format)?;
        let recipe_sha256 = hash(&self.identity);
        self.folder.complete(&Completed { recipe_sha256, summary, leaves: Leaves::Model })?;
        report::leave(&self.folder);
        Ok(())
    }
}

/// The checkpoint to go on from; none where the run has saved none.
fn find(run: &Path, resume: Resume) -> Result<Option<PathBuf>> {
    let run = match resume {
        Resume::Auto => run.to_owned(),
        // A run folder stands for its newest checkpoint.
        Resume::Checkpoint(path) if path.join("checkpoints").is_dir() => path,
        Resume::Checkpoint(path) => return Ok(Some(path)),
    };
    let newest = checkpoints::newest(&run)?;
    for broken in &newest.skipped {
        eprintln!("warning: {broken}; taking the checkpoint before it");
    }
    if newest.found.is_none() && !newest.skipped.is_empty() {
        let message = format!("{}: none of its checkpoints verifies", run.display());
        return Err(Error::Broken(newest.skipped[0].clone())).context(message);
    }
    Ok(newest.found.map(|(checkpoint, _)| checkpoint.path))
}

fn saved_identity(checkpoint: &Path) -> Option<Value> {
    let text = fs::read_to_string(checkpoint.join("trainer_state.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get("identity").cloned()
}

fn has_steps(folder: &RunFolder) -> bool {
    fs::metadata(folder.metrics_path()).is_ok_and(|file| file.len() > 0)
}

/// Removes what a run has written: results first said to be complete go last said.
fn clear(folder: &RunFolder) -> Result<()> {
    let removed = |path: &Path, result: std::io::Result<()>| match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Refusal::Write { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    };
    for name in ["complete.json", "metrics.jsonl", "eval.jsonl", "moe.jsonl", "samples.jsonl", "report.html"]
    {
        let path = folder.path().join(name);
        removed(&path, fs::remove_file(&path))?;
    }
    for name in ["checkpoints", "completions", "final", "samples", "tensorboard", "tokens"] {
        let path = folder.path().join(name);
        removed(&path, fs::remove_dir_all(&path))?;
    }
    Ok(())
}

fn hash(identity: &Value) -> String {
    sha256_hex(identity.to_string().as_bytes())
}
