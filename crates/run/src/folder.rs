//! The run folder: one run at a time, the names of what lies in it, and how it says that it is complete. It refuses
//! to know what the files hold.

use crate::atomic::{make_inner, parent, remove, write_file};
use crate::checkpoints;
use crate::error::{Corrupt, Error, Fault};
use crate::jsonl::{JsonlAppender, check_regular};
use crate::lock::Lock;
use crate::manifest::verify;
use crate::own::sweep_run;
use crate::owner::{Found, LOCK, Made, RUN, inspect, read_small};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const COMPLETE: &str = "complete.json";

/// A run folder that this process holds: the lock is released when it is dropped, or when the process dies. Until it
/// is [claimed](Self::claim) nothing in it has changed, and dropping it leaves it as it was.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    found: Found,
    state: State,
    lock: Lock,
    /// Held open so that no other folder can get its number.
    identity: Identity,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Locked; with what was made for it, which goes again.
    Entered {
        made_lock: bool,
        made_folder: bool,
    },
    Claimed,
}

/// How far a run has come, as its folder tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Nothing has been written.
    Fresh,
    /// A run was begun and has not ended.
    Started,
    /// The run has ended, and its model folder, where it leaves one, verifies.
    Complete(Completed),
}

/// What `complete.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completed {
    /// SHA-256 of the resolved recipe: a folder completed with another recipe is another run's.
    pub recipe_sha256: String,
    /// What the run prints at its end, so that it can be printed again.
    pub summary: serde_json::Value,
    /// What the run is for.
    #[serde(default)]
    pub leaves: Artifact,
}

/// What a run leaves behind when it is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Artifact {
    /// A model folder, `final/`.
    #[default]
    Model,
    /// Files of the run folder itself: an evaluation, a set of traces.
    Files,
}

impl RunFolder {
    /// Locks the folder for a run, making it where it is missing.
    ///
    /// # Errors
    /// [`Error::NotOurs`] when anything but a run of the same command and stage lies there, [`Error::Locked`] when
    /// another process holds it, [`Error::NotRegular`] when its lock is a link or a pipe, [`Error::Disk`] when it
    /// cannot be made or locked. It is then as it was.
    pub fn enter(path: &Path, run: &Made) -> Result<Self, Error> {
        let ours = || {
            let found = inspect(path)?;
            if found.is_open_to(run) {
                return Ok(found);
            }
            let wanted = if run.stage == run.command {
                format!("`{}`", run.command)
            } else {
                format!("stage {} of `{}`", run.stage, run.command)
            };
            Err(Error::NotOurs { path: path.to_owned(), found: Box::new(found), wanted })
        };
        ours()?;
        let made_folder = !path.exists();
        fs::create_dir_all(path).map_err(Error::disk("create", path))?;
        let lock = Lock::of(path)?;
        // Another process may have claimed it meanwhile.
        let found = ours()?;
        let state = State::Entered { made_lock: lock.is_new(), made_folder };
        Ok(Self { path: path.to_owned(), found, state, lock, identity: Identity::of(path)? })
    }

    /// Makes the folder this run's: writes `run.json`, where there is none, and who holds the lock, and removes what an
    /// interrupted save of an earlier process left. Returns the removed temporary files and folders, which are worth a
    /// warning.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn claim(&mut self, run: &Made) -> Result<Vec<PathBuf>, Error> {
        self.state = State::Claimed;
        let path = self.path.join(LOCK);
        self.lock.sign().map_err(Error::disk("write", &path))?;
        let leftovers = sweep_run(&self.path)?;
        if !matches!(self.found, Found::Run(_)) {
            self.mark(run)?;
        }
        Ok(leftovers)
    }

    /// Writes `run.json`: from here on the folder is this very run's.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn mark(&self, run: &Made) -> Result<(), Error> {
        let path = self.path.join(RUN);
        let bytes = serde_json::to_vec_pretty(run).map_err(|e| Error::disk("encode", &path)(e.into()))?;
        self.write(&path, &bytes)
    }

    /// What lay there when it was entered.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Checks that the folder is still the one that was entered: to be called before something is written into it,
    /// since another may have its name.
    ///
    /// # Errors
    /// [`Error::Vanished`].
    pub fn check(&self) -> Result<(), Error> {
        match Identity::of(&self.path) {
            Ok(now) if now.is(&self.identity) => Ok(()),
            _ => Err(Error::Vanished { path: self.path.clone() }),
        }
    }

    /// Writes one of its files, or of those of a folder in it, complete or not at all.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.check()?;
        let inner = if parent(path) == self.path { Ok(()) } else { make_inner(parent(path)) };
        self.or_vanished(inner.and_then(|()| write_file(path, bytes)))
    }

    /// A folder in it by its name, made where it is missing.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn inner(&self, name: &str) -> Result<PathBuf, Error> {
        self.check()?;
        let path = self.path.join(name);
        self.or_vanished(make_inner(&path))?;
        Ok(path)
    }

    /// What came of a write, or, where it failed and the folder is gone, that it is gone.
    ///
    /// # Errors
    /// [`Error::Vanished`] in the place of that of `written`.
    pub fn or_vanished<T, E: From<Error>>(&self, written: Result<T, E>) -> Result<T, E> {
        written.map_err(|error| self.check().map_or_else(E::from, |()| error))
    }

    /// Opens one of its logs for appending.
    ///
    /// # Errors
    /// [`Error::NotRegular`] and [`Error::Disk`].
    pub fn log(&self, path: &Path) -> Result<JsonlAppender, Error> {
        check_regular(path)?;
        JsonlAppender::open(path)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far the run has come.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the run says that it is complete and its `final/` does not verify or `complete.json`
    /// does not parse, [`Error::Disk`] when reading fails.
    pub fn status(&self) -> Result<Status, Error> {
        let path = self.path.join(COMPLETE);
        match read_small(&path) {
            Ok(bytes) => {
                let completed: Completed = serde_json::from_slice(&bytes).map_err(|e| self.bad_mark(&e))?;
                self.verify_model(completed.leaves)?;
                Ok(Status::Complete(completed))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.unfinished(),
            Err(e) if e.kind() == io::ErrorKind::Other => Err(self.bad_mark(&e).into()),
            Err(e) => Err(Error::disk("read", &path)(e)),
        }
    }

    /// Marks the run as complete; to be called last, with what it leaves in place.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when `final/` does not verify, [`Error::Disk`] when the mark cannot be written.
    pub fn complete(&self, completed: &Completed) -> Result<(), Error> {
        self.verify_model(completed.leaves)?;
        let path = self.path.join(COMPLETE);
        let bytes =
            serde_json::to_vec_pretty(completed).map_err(|e| Error::disk("encode", &path)(e.into()))?;
        self.write(&path, &bytes)
    }

    /// Takes the mark away again, for a run that is extended: until it is complete again it is one that was begun.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn reopen(&self) -> Result<(), Error> {
        self.check()?;
        remove(&self.path.join(COMPLETE))
    }

    fn verify_model(&self, leaves: Artifact) -> Result<(), Error> {
        match leaves {
            Artifact::Model => verify(&self.final_path()).map(drop),
            Artifact::Files => Ok(()),
        }
    }

    /// `samples.jsonl`: every completion of an evaluation.
    pub fn all_samples_path(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// `traces.jsonl`: what a teacher wrote, to be learned.
    pub fn traces_path(&self) -> PathBuf {
        self.path.join("traces.jsonl")
    }

    /// `recipe.toml`: the recipe as given.
    pub fn recipe_path(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// `config.json`: the resolved recipe with versions, device and commit.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// `metrics.jsonl`: one object a step.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `eval.jsonl`: one object an evaluation.
    pub fn eval_path(&self) -> PathBuf {
        self.path.join("eval.jsonl")
    }

    /// `validation.jsonl`: one object a small validation during training.
    pub fn validation_path(&self) -> PathBuf {
        self.path.join("validation.jsonl")
    }

    /// `moe.jsonl`: tokens by layer and expert, one object a step.
    pub fn expert_load_path(&self) -> PathBuf {
        self.path.join("moe.jsonl")
    }

    /// `fleet.jsonl`: pushes of weights to servers, what they sampled, and their failures.
    pub fn fleet_path(&self) -> PathBuf {
        self.path.join("fleet.jsonl")
    }

    /// `completions/step-000010.jsonl`: the samples of a step.
    pub fn completions_path(&self, step: u64) -> PathBuf {
        self.of_step("completions", step)
    }

    /// `tokens/step-000010.jsonl`: some of these, token by token.
    pub fn tokens_path(&self, step: u64) -> PathBuf {
        self.of_step("tokens", step)
    }

    /// `samples/step-000010.jsonl`: some samples of an evaluation.
    pub fn samples_path(&self, step: u64) -> PathBuf {
        self.of_step("samples", step)
    }

    /// `tensorboard`: the folder of event files.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// `report.html`: the run as one page.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `checkpoints/step-000010`: see [`checkpoints`].
    pub fn checkpoint_path(&self, step: u64) -> PathBuf {
        checkpoints::path(&self.path, step)
    }

    /// `final`: the trained model's folder.
    pub fn final_path(&self) -> PathBuf {
        self.path.join("final")
    }

    fn of_step(&self, folder: &str, step: u64) -> PathBuf {
        self.path.join(folder).join(format!("step-{step:06}.jsonl"))
    }

    fn bad_mark(&self, error: &dyn std::error::Error) -> Corrupt {
        let fault =
            Fault::Malformed { file: COMPLETE.to_owned(), reason: format!("does not parse: {error}") };
        Corrupt { folder: self.path.clone(), fault }
    }

    fn unfinished(&self) -> Result<Status, Error> {
        for entry in fs::read_dir(&self.path).map_err(Error::disk("list", &self.path))? {
            let name = entry.map_err(Error::disk("list", &self.path))?.file_name();
            if ![LOCK, RUN].iter().any(|own| name == *own) {
                return Ok(Status::Started);
            }
        }
        Ok(Status::Fresh)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let State::Entered { made_lock, made_folder } = self.state else { return };
        // Nothing depends on either: an empty folder with a lock is free for the next run.
        if made_lock {
            let _ = fs::remove_file(self.path.join(LOCK));
        }
        if made_folder {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Which folder it is, whatever its name.
#[derive(Debug)]
struct Identity(#[cfg(unix)] File);

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Result<Self, Error> {
        File::open(path).map(Self).map_err(Error::disk("open", path))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Result<Self, Error> {
        fs::read_dir(path).map(|_| Self()).map_err(Error::disk("open", path))
    }

    #[cfg(unix)]
    fn is(&self, other: &Self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let number = |folder: &Self| folder.0.metadata().map(|found| (found.dev(), found.ino())).ok();
        number(self).is_some() && number(self) == number(other)
    }

    #[cfg(not(unix))]
    fn is(&self, _: &Self) -> bool {
        true
    }
}
