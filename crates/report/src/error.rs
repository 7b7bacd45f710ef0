//! Why a folder makes no report.

use std::io;
use std::path::{Path, PathBuf};

/// Everything that can be wrong with what is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no run.
    #[error(
        "{}: expected a run folder, with metrics.jsonl or eval.jsonl, or a folder of run folders; found neither",
        path.display()
    )]
    NoRun {
        /// What was given.
        path: PathBuf,
    },
    /// A file that is one JSON object is something else.
    #[error("{}:{line}: expected one JSON object, found {found}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// 1-based number of the line.
        line: usize,
        /// What there is.
        found: String,
    },
    /// A line of a log is not what it must be.
    #[error(transparent)]
    Lines(#[from] ruminate_data::Error),
}

impl Error {
    /// For `map_err`: `path` could not be read.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}
