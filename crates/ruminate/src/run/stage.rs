//! The frame around a training run: its folder is entered once, continued from a checkpoint or begun again, and left
//! complete.

use crate::commands::report;
use crate::error::Refusal;
use crate::observer::logs::{self, Logged};
use crate::options::Resume;
use crate::policy;
use crate::run::folders;
use crate::run::identity;
use crate::run::session::Session;
use anyhow::{Context, Result};
use burn::tensor::Device;
use ruminate_model::{Decoder, Format};
use ruminate_run::{
    Artifact, Completed, Error, Found, Made, RunFolder, Status, checkpoints, clear, sha256_hex,
};
use ruminate_text::Renderer;
use ruminate_train::{self as train, State, checkpoint};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What an earlier run of another recipe in the same folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnExisting {
    /// A result: another run is refused.
    Kept,
    /// A means to an end, like the base policy: rebuilt.
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
    /// `run.json`
    made: Made,
    checkpoint: Option<PathBuf>,
    /// Whether `--allow-changed` has made another run of what the checkpoint is of.
    changed: bool,
    /// `recipe.toml`
    recipe: String,
    /// `config.json`
    config: Value,
    /// Of `final/`.
    format: Format,
}

/// Enters a session's folder at `path` for the run of that identity. Until it is clear that the run goes on, nothing in
/// the folder changes.
///
/// # Errors
/// When another process holds it, or anything but an earlier run of the same command lies in it.
pub(crate) fn enter(session: &Session, path: &Path, identity: Value, earlier: OnExisting) -> Result<Entered> {
    let stage = match earlier {
        OnExisting::Kept => session.command().into(),
        // It is named by its folder.
        OnExisting::Replaced => path.file_name().unwrap_or_default().to_string_lossy(),
    };
    let made = folders::made(session, &stage, &hash(&identity));
    folders::separate(session, path)?;
    let mut folder = RunFolder::enter(path, &made)?;
    let mut replaced = false;
    let status = match folder.status() {
        Err(Error::Corrupt(broken)) if earlier == OnExisting::Replaced => {
            notice!("warning: {broken}; it is made again");
            replaced = true;
            Status::Started
        }
        status => status?,
    };
    let resume = match earlier {
        OnExisting::Kept => session.args.resume.clone(),
        OnExisting::Replaced => Some(Resume::Auto),
    };
    match status {
        Status::Complete(completed) if completed.recipe_sha256 == hash(&identity) => {
            let again = if earlier == OnExisting::Kept { "; here is what it said" } else { "" };
            notice!("{} is complete{again}", path.display());
            return Ok(Entered::Complete(completed.summary));
        }
        Status::Complete(_) if earlier == OnExisting::Replaced => replaced = true,
        Status::Complete(_) => extend(&folder, &identity, resume.as_ref())?,
        Status::Started if resume.is_none() && folders::has_steps(path) => {
            return Err(folders::unfinished(path));
        }
        Status::Started | Status::Fresh => {}
    }
    if earlier == OnExisting::Replaced && matches!(folder.found(), Found::Unmarked { .. }) {
        return Err(Refusal::usage(format!(
            "{} {}: it is of another recipe, and nothing says that it may be removed; move it away, or choose another \
             folder with --out",
            path.display(),
            folder.found()
        )));
    }
    let (mut checkpoint, mut changed) = (None, false);
    if !replaced {
        checkpoint = resume.map(|resume| find(path, resume)).transpose()?.flatten();
        let other = |path: &PathBuf| saved_identity(path).as_ref() != Some(&identity);
        match (earlier, &checkpoint) {
            (OnExisting::Kept, Some(saved)) => {
                changed = identity::check(saved, &identity, session.args.allow_changed)?;
            }
            (OnExisting::Replaced, Some(saved)) if other(saved) => (checkpoint, replaced) = (None, true),
            _ => {}
        }
    }
    for leftover in folder.claim(&made)? {
        notice!("warning: removed {}, left by an interrupted save", leftover.display());
    }
    if replaced {
        notice!("{}: made by another recipe, it is made again", path.display());
        clear(path, &made.files)?;
    }
    let (recipe, config) = (session.recipe_toml(), session.config_json()?);
    let format = match earlier {
        OnExisting::Kept => session.recipe.save,
        // What is trained on is not rounded.
        OnExisting::Replaced => Format::default(),
    };
    Ok(Entered::Open(Box::new(Stage { folder, identity, made, checkpoint, changed, recipe, config, format })))
}

impl Stage {
    /// The state to train on from: the checkpoint's, or a fresh policy's. Logs are rewound to it, and from here on
    /// the folder's recipe is this one. `steps` is the last step of the run, `eval_steps` is how often the run evaluates, where it does.
    ///
    /// # Errors
    /// A checkpoint that is broken or of another run.
    pub(crate) fn state(
        &self,
        steps: usize,
        config: &train::Config,
        eval_steps: Option<usize>,
        device: &Device,
        fresh: impl FnOnce() -> Result<Decoder>,
    ) -> Result<State> {
        let state = match &self.checkpoint {
            None => State::fresh(fresh()?, config),
            Some(path) => {
                identity::check_steps(path, &self.identity, steps)?;
                let loaded = checkpoint::load(path, config, device)?;
                notice!("resumed from {} (step {})", path.display(), loaded.state.step);
                let mut state = loaded.state;
                if self.changed && !state.ahead.is_empty() {
                    let groups = state.ahead.len();
                    notice!(
                        "warning: {groups} groups that were sampled ahead are left out: they are of the run as it was"
                    );
                    state.ahead.clear();
                }
                state
            }
        };
        // A complete run that is extended is unfinished from here on.
        self.folder.reopen()?;
        let experts = state.policy.config().moe_layers() > 0;
        logs::rewind(&self.folder, state.step, Logged { eval_steps, experts })?;
        self.record()?;
        Ok(state)
    }

    /// Writes down what the run is: `run.json`, `recipe.toml` and `config.json`.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn record(&self) -> Result<()> {
        self.folder.mark(&self.made)?;
        self.folder.write(&self.folder.recipe_path(), self.recipe.as_bytes())?;
        let mut config = self.config.clone();
        if let Some(inputs) = identity::inputs(&self.identity).and_then(Value::as_object) {
            for (key, hash) in inputs {
                config[identity::INPUTS][key] = hash.clone();
            }
        }
        Ok(self.folder.write(&self.folder.config_path(), &serde_json::to_vec_pretty(&config)?)?)
    }

    /// Says that a run which leaves no model is complete.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn finish_files(&self, summary: Value) -> Result<()> {
        let recipe_sha256 = hash(&self.identity);
        Ok(self.folder.complete(&Completed { recipe_sha256, summary, leaves: Artifact::Files })?)
    }

    /// Writes the model folder, says that the run is complete, and leaves its report.
    ///
    /// # Errors
    /// With exit code 7 when something cannot be written.
    pub(crate) fn finish(&self, policy: &Decoder, renderer: &Renderer, summary: Value) -> Result<()> {
        self.folder.check()?;
        let saved = policy::save(&self.folder.final_path(), policy, Some(renderer), self.format);
        self.folder.or_vanished(saved)?;
        let recipe_sha256 = hash(&self.identity);
        self.folder.complete(&Completed { recipe_sha256, summary, leaves: Artifact::Model })?;
        report::leave(&self.folder);
        Ok(())
    }
}

/// Lets a complete run be extended, where the session resumes and its run is the same one with more steps.
///
/// # Errors
/// With exit code 2 where it is another run, and where it could be extended and is not asked to.
fn extend(folder: &RunFolder, identity: &Value, resume: Option<&Resume>) -> Result<()> {
    let path = folder.path();
    let last = find(path, Resume::Auto)?.filter(|last| identity::extends(last, identity));
    let advice = match (last, resume) {
        (Some(_), Some(_)) => return Ok(()),
        (Some(_), None) => "extend it with --resume auto, or choose another folder with --out",
        (None, _) => "choose another folder with --out",
    };
    Err(Refusal::usage(format!(
        "{} {}: it is complete, and of another recipe{}; {advice}",
        path.display(),
        folder.found(),
        identity::difference(path, identity)
    )))
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
        notice!("warning: {broken}; taking the checkpoint before it");
    }
    if newest.found.is_none() && !newest.skipped.is_empty() {
        let message = format!("{}: none of its checkpoints verifies", run.display());
        return Err(Error::Corrupt(newest.skipped[0].clone())).context(message);
    }
    Ok(newest.found.map(|(checkpoint, _)| checkpoint.path))
}

fn saved_identity(checkpoint: &Path) -> Option<Value> {
    let text = fs::read_to_string(checkpoint.join("trainer_state.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get("identity").cloned()
}

/// What names a run: the hash of everything that makes it this one.
pub(crate) fn hash(identity: &Value) -> String {
    sha256_hex(identity.to_string().as_bytes())
}
