//! The run folder: one run at a time, the names of what lies in it, and how it says that it is complete. It refuses
//! to know what the files hold.

use crate::atomic::{sweep, write_file};
use crate::checkpoints;
use crate::error::{Broken, Error, Fault};
use crate::manifest::verify;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";
const COMPLETE: &str = "complete.json";

/// A run folder that this process holds: the lock is released when it is dropped, or when the process dies.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    leftovers: Vec<PathBuf>,
    /// Held for its lock only.
    _lock: File,
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
    pub leaves: Leaves,
}

/// What a run leaves behind when it is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaves {
    /// A model folder, `final/`.
    #[default]
    Model,
    /// Files of the run folder itself: an evaluation, a set of traces.
    Files,
}

impl RunFolder {
    /// Makes the folder where it is missing, locks it, and removes what an interrupted save left in it.
    ///
    /// # Errors
    /// [`Error::Locked`] when another run holds it, [`Error::Disk`] when it cannot be made or written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::disk("create", path))?;
        let lock = lock(path)?;
        let leftovers = sweep_run(path)?;
        Ok(Self { path: path.to_owned(), leftovers, _lock: lock })
    }

    /// Like [`create`](Self::create), but the folder must be there: to resume a run that was named.
    ///
    /// # Errors
    /// [`Error::NoFolder`] and those of [`create`](Self::create).
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() { Self::create(path) } else { Err(Error::NoFolder { path: path.to_owned() }) }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Temporary files and folders of an interrupted save, found and removed on opening: worth a warning.
    pub fn leftovers(&self) -> &[PathBuf] {
        &self.leftovers
    }

    /// How far the run has come.
    ///
    /// # Errors
    /// [`Error::Broken`] when the run says that it is complete and its `final/` does not verify or `complete.json`
    /// does not parse, [`Error::Disk`] when reading fails.
    pub fn status(&self) -> Result<Status, Error> {
        let path = self.path.join(COMPLETE);
        match fs::read(&path) {
            Ok(bytes) => {
                let completed: Completed = serde_json::from_slice(&bytes).map_err(|e| self.bad_mark(&e))?;
                self.verify_model(completed.leaves)?;
                Ok(Status::Complete(completed))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.unfinished(),
            Err(e) => Err(Error::disk("read", &path)(e)),
        }
    }

    /// Marks the run as complete; to be called last, with what it leaves in place.
    ///
    /// # Errors
    /// [`Error::Broken`] when `final/` does not verify, [`Error::Disk`] when the mark cannot be written.
    pub fn complete(&self, completed: &Completed) -> Result<(), Error> {
        self.verify_model(completed.leaves)?;
        let path = self.path.join(COMPLETE);
        let bytes =
            serde_json::to_vec_pretty(completed).map_err(|e| Error::disk("encode", &path)(e.into()))?;
        write_file(&path, &bytes)
    }

    fn verify_model(&self, leaves: Leaves) -> Result<(), Error> {
        match leaves {
            Leaves::Model => verify(&self.final_path()).map(drop),
            Leaves::Files => Ok(()),
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

    /// `moe.jsonl`: tokens by layer and expert, one object a step.
    pub fn expert_load_path(&self) -> PathBuf {
        self.path.join("moe.jsonl")
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

    fn bad_mark(&self, error: &serde_json::Error) -> Broken {
        let fault =
            Fault::Malformed { file: COMPLETE.to_owned(), reason: format!("does not parse: {error}") };
        Broken { folder: self.path.clone(), fault }
    }

    fn unfinished(&self) -> Result<Status, Error> {
        for entry in fs::read_dir(&self.path).map_err(Error::disk("list", &self.path))? {
            if entry.map_err(Error::disk("list", &self.path))?.file_name() != LOCK {
                return Ok(Status::Started);
            }
        }
        Ok(Status::Fresh)
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false) // the holder's process id stays readable until the lock is ours
        .open(&path)
        .map_err(Error::disk("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
            return Err(Error::Locked { path: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(e)) => return Err(Error::disk("lock", &path)(e)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::disk("write", &path))?;
    Ok(file)
}

/// Sweeps the folder and the folders in it, save those that are run folders themselves and sweep on their own.
fn sweep_run(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut leftovers = sweep(path)?;
    for entry in fs::read_dir(path).map_err(Error::disk("list", path))? {
        let inner = entry.map_err(Error::disk("list", path))?.path();
        if inner.is_dir() && !inner.join(LOCK).exists() {
            leftovers.extend(sweep(&inner)?);
        }
    }
    leftovers.sort();
    Ok(leftovers)
}
