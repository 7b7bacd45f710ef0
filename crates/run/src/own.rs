//! The names of what runs write into their folder. Clearing and sweeping touch nothing else. This module knows names;
//! it does not know which command writes which of them.

use crate::atomic::{leftover, remove, remove_committed, sweep};
use crate::checkpoints;
use crate::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How the files of an entry are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The entry is a file.
    File,
    /// A folder of `step-NNNNNN.jsonl`.
    Steps,
    /// A folder with one event file of TensorBoard.
    Events,
    /// A folder of `KEY-HASH.safetensors`, both hexadecimal.
    Hashed,
    /// A committed folder, which lists its files.
    Committed,
    /// A folder of committed folders `step-NNNNNN`.
    Checkpoints,
}

/// Everything that a run may write; what says that it is complete comes first.
const ENTRIES: [(&str, Kind); 22] = [
    ("complete.json", Kind::File),
    ("metrics.jsonl", Kind::File),
    ("eval.jsonl", Kind::File),
    ("validation.jsonl", Kind::File),
    ("best.json", Kind::File),
    ("moe.jsonl", Kind::File),
    ("fleet.jsonl", Kind::File),
    ("samples.jsonl", Kind::File),
    ("traces.jsonl", Kind::File),
    ("sampled.jsonl", Kind::File),
    ("remote.jsonl", Kind::File),
    ("report.html", Kind::File),
    ("recipe.toml", Kind::File),
    ("config.json", Kind::File),
    ("checkpoints", Kind::Checkpoints),
    ("final", Kind::Committed),
    ("completions", Kind::Steps),
    ("samples", Kind::Steps),
    ("tokens", Kind::Steps),
    ("tensorboard", Kind::Events),
    ("logits", Kind::Hashed),
    ("run.json", Kind::File),
];

/// Whether a run writes the file at `relative`, a path below a run folder.
pub fn is_run_file(relative: &Path) -> bool {
    let mut parts = relative.iter().map(|part| part.to_str().unwrap_or_default());
    let Some((_, kind)) = parts.next().and_then(entry) else { return false };
    match (kind, parts.next(), parts.next()) {
        (Kind::File, None, _) | (Kind::Committed, Some(_), _) => true,
        (Kind::Steps | Kind::Events | Kind::Hashed, Some(name), None) => is_member(kind, name),
        (Kind::Checkpoints, Some(step), Some(_)) => checkpoints::step_of(step).is_some(),
        _ => false,
    }
}

/// Removes what a run has written under `entries`, and nothing else: files of other names, in the folder or below it,
/// stay. `complete.json` goes first, so that an interruption never leaves half a run that says it is complete.
///
/// # Errors
/// [`Error::Disk`].
pub fn clear(folder: &Path, entries: &[impl AsRef<str>]) -> Result<(), Error> {
    let named = |name: &str| entries.iter().any(|entry| entry.as_ref() == name);
    for (name, kind) in ENTRIES.into_iter().filter(|(name, _)| named(name)) {
        let path = folder.join(name);
        match kind {
            Kind::File => remove(&path)?,
            Kind::Committed => drop(remove_committed(&path)?),
            Kind::Checkpoints => {
                for checkpoint in checkpoints::list(folder)? {
                    remove_committed(&checkpoint.path)?;
                }
                remove_if_empty(&path);
            }
            Kind::Steps | Kind::Events | Kind::Hashed => {
                for inner in names(&path)?.iter().filter(|inner| is_member(kind, inner)) {
                    remove(&path.join(inner))?;
                }
                remove_if_empty(&path);
            }
        }
    }
    Ok(())
}

/// Removes what interrupted writes left in a run folder; see [`sweep`].
pub(crate) fn sweep_run(run: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut leftovers =
        sweep(run, |name| entry(name).is_some_and(|(_, kind)| matches!(kind, Kind::File | Kind::Committed)))?;
    for (name, kind) in ENTRIES {
        let folder = run.join(name);
        let is_folder = folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let ours = |inner: &str| match kind {
            Kind::Checkpoints => checkpoints::step_of(inner).is_some(),
            kind => is_member(kind, inner),
        };
        if is_folder && matches!(kind, Kind::Steps | Kind::Hashed | Kind::Checkpoints) {
            leftovers.extend(sweep(&folder, ours)?);
        }
    }
    leftovers.sort();
    Ok(leftovers)
}

/// Whether a name is that of a `run.json` which was being written when its process died.
pub(crate) fn is_half_made(name: &str) -> bool {
    leftover(name) == Some(("run.json", "tmp"))
}

fn entry(name: &str) -> Option<(&'static str, Kind)> {
    ENTRIES.into_iter().find(|(entry, _)| *entry == name)
}

fn is_member(kind: Kind, name: &str) -> bool {
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match kind {
        Kind::Steps => name.strip_suffix(".jsonl").is_some_and(|stem| checkpoints::step_of(stem).is_some()),
        Kind::Events => name == "events.out.tfevents.ruminate",
        Kind::Hashed => name
            .strip_suffix(".safetensors")
            .and_then(|stem| stem.split_once('-'))
            .is_some_and(|(key, hash)| is_hex(key) && is_hex(hash)),
        _ => false,
    }
}

/// Names in a folder that are UTF-8, as all of ours are; none where it is not there or is a link.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    if folder.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(Vec::new());
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(Error::disk("list", folder)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::disk("list", folder))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    Ok(names)
}

/// A folder that still holds something stays, which is no failure.
fn remove_if_empty(folder: &Path) {
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_runs_write_are_theirs() {
        for name in [
            "metrics.jsonl",
            "run.json",
            "final/config.json",
            "final/adapter/adapter_config.json",
            "checkpoints/step-000010/manifest.json",
            "completions/step-000001.jsonl",
            "tensorboard/events.out.tfevents.ruminate",
        ] {
            assert!(is_run_file(Path::new(name)), "{name}");
        }
        for name in [
            "notes.txt",
            "final",
            "checkpoints/keep.txt",
            "checkpoints/best/x",
            "completions/mine.jsonl",
            "completions/step-000001.jsonl/x",
            "tensorboard/other",
            "logits/mine.safetensors",
            "base/metrics.jsonl",
            "metrics.jsonl/x",
        ] {
            assert!(!is_run_file(Path::new(name)), "{name}");
        }
    }
}
