//! `checkpoints/step-NNNNNN` of a run folder: which there are, which to resume from, which to retire. It refuses to
//! know what a checkpoint holds.

use crate::atomic::{FolderWriter, make_inner, remove_committed};
use crate::best::Best;
use crate::error::{Corrupt, Error};
use crate::manifest::{Manifest, verify};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// A folder that is named like a checkpoint; only [`verify`] says whether it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The step after which it was saved.
    pub step: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// The answer of [`newest`].
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint that verifies, with its manifest.
    pub found: Option<(Checkpoint, Manifest)>,
    /// Newer ones that do not, newest first: worth a warning each.
    pub skipped: Vec<Corrupt>,
}

/// Where the checkpoint of a step lies in a run folder.
pub fn path(run: &Path, step: u64) -> PathBuf {
    folder(run).join(format!("step-{step:06}"))
}

/// Begins the checkpoint of a step. The run folder is there already, and is not made again.
///
/// # Errors
/// [`Error::Disk`].
pub fn create(run: &Path, step: u64) -> Result<FolderWriter, Error> {
    make_inner(&folder(run))?;
    FolderWriter::create(&path(run, step))
}

/// Every checkpoint of a run folder, oldest first; none when the run has saved none.
///
/// # Errors
/// [`Error::Disk`] when the folder cannot be listed.
pub fn list(run: &Path) -> Result<Vec<Checkpoint>, Error> {
    let folder = folder(run);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::disk("list", &folder)(e)),
    };
    let mut checkpoints = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::disk("list", &folder))?.path();
        if let Some(step) = path.file_name().and_then(|n| n.to_str()).and_then(step_of) {
            checkpoints.push(Checkpoint { step, path });
        }
    }
    checkpoints.sort_by_key(|c| c.step);
    Ok(checkpoints)
}

/// The newest checkpoint that verifies; broken ones are skipped and told.
///
/// # Errors
/// [`Error::Disk`] when reading fails. Broken checkpoints are no error here: none may be left to resume from, and
/// then the caller starts over.
pub fn newest(run: &Path) -> Result<Newest, Error> {
    let mut skipped = Vec::new();
    for checkpoint in list(run)?.into_iter().rev() {
        match verify(&checkpoint.path) {
            Ok(manifest) => return Ok(Newest { found: Some((checkpoint, manifest)), skipped }),
            Err(Error::Corrupt(broken)) => skipped.push(broken),
            Err(e) => return Err(e),
        }
    }
    Ok(Newest { found: None, skipped })
}

/// Deletes checkpoints that are older than the `keep_last` newest that verify, and returns the deleted. The one that
/// [`Best`] names stays, and so does what manifests do not list, and a folder without a manifest.
///
/// Only what verifies counts as kept, so that a broken save never costs a good checkpoint: with fewer than
/// `keep_last` good ones nothing is deleted. Hashes what it keeps.
///
/// # Errors
/// [`Error::Disk`] when reading or deleting fails.
pub fn retain(run: &Path, keep_last: NonZeroUsize) -> Result<Vec<Checkpoint>, Error> {
    let mut good = 0;
    let mut newest_first = list(run)?.into_iter().rev();
    while good < keep_last.get() {
        let Some(checkpoint) = newest_first.next() else { return Ok(Vec::new()) };
        match verify(&checkpoint.path) {
            Ok(_) => good += 1,
            Err(Error::Corrupt(_)) => {}
            Err(e) => return Err(e),
        }
    }
    // One that cannot be read names nothing, which is no reason to end a run.
    let best = Best::read(run).ok().flatten().map(|best| best.step);
    let mut deleted = Vec::new();
    for old in newest_first.filter(|old| Some(old.step) != best) {
        if remove_committed(&old.path)? {
            deleted.push(old);
        }
    }
    Ok(deleted)
}

fn folder(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// `step-000100` is step 100. Six digits are a minimum, so that names sort; longer runs have longer ones.
pub(crate) fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    (digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_steps_are_inverse() {
        for step in [0, 7, 999_999, 1_000_000] {
            let path = path(Path::new("run"), step);
            let name = path.file_name().and_then(|n| n.to_str()).expect("ASCII");
            assert_eq!(step_of(name), Some(step));
        }
        for name in ["step-7", "step-00000x", "step-000010.tmp-42", "step-+00010", "best"] {
            assert_eq!(step_of(name), None, "{name}");
        }
    }
}
