//! Why a run folder could not be used, one variant per cause that callers treat differently.

use crate::owner::Found;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another run holds the folder.
    #[error(
        "{} is in use by another run{}; wait for it, or choose another folder",
        path.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// The process that wrote the lock, where it can be read.
        holder: Option<u32>,
    },
    /// The folder is not this run's to write into. Nothing in it was touched.
    #[error(
        "{} {found}; expected a new folder, an empty one, or one that an earlier {wanted} made: choose another with \
         --out{}",
        path.display(),
        found_advice(found)
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        found: Box<Found>,
        /// The command, with its stage, that wanted it.
        wanted: String,
    },
    /// The folder was moved or deleted, or another was put in its place, while the run was writing into it.
    #[error(
        "{} is gone: it was moved or deleted while the run was writing into it; the run ends, and nothing is written \
         to another folder of that name",
        path.display()
    )]
    Vanished {
        /// Where the folder was.
        path: PathBuf,
    },
    /// A log is not a file that can be read back, or a lock not one that can be held.
    #[error("{} is {kind}; expected a regular file or none: remove it, or choose another folder", path.display())]
    NotRegular {
        /// The log or the lock.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Disk {
        /// What was tried, as a verb: "write", "rename", ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder that should be complete is not.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl Error {
    /// Whether the cause is a full disk or an exhausted quota.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if is_full(source))
    }

    /// For `map_err`: an I/O failure while doing `action` to `path`.
    pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { action, path, source }
    }
}

/// A checkpoint or model folder that does not match its manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is broken: {fault}", folder.display())]
pub struct Corrupt {
    /// The folder.
    pub folder: PathBuf,
    /// The first thing found wrong with it.
    pub fault: Fault,
}

/// What is wrong with a folder. File names are relative to it, with `/` between components.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no `manifest.json`: the folder was never committed, or is not ours.
    #[error("it has no manifest.json, so nothing says that it is complete")]
    NoManifest,
    /// A file that says what is complete cannot be trusted.
    #[error("{file} {reason}")]
    Malformed {
        /// `manifest.json` or `complete.json`.
        file: String,
        /// What was expected and found.
        reason: String,
    },
    /// A file of the manifest is absent.
    #[error("{file} is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file is shorter than when it was written.
    #[error("{file} is truncated: expected {expected} bytes, found {found}")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// A file's content is not what was written.
    #[error("{file} has changed since it was written: its SHA-256 differs from manifest.json")]
    Changed {
        /// The file.
        file: String,
    },
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn advice(error: &io::Error) -> &'static str {
    if is_full(error) {
        "; free some space and resume"
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem
        || error.kind() == io::ErrorKind::PermissionDenied
    {
        "; choose a writable folder"
    } else {
        ""
    }
}

fn found_advice(found: &Found) -> &'static str {
    match found {
        Found::Unmarked { .. } => ", or remove the old run",
        Found::Foreign { .. } => ", or move these files away",
        _ => "",
    }
}
