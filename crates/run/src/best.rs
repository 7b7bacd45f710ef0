//! `best.json` of a run folder: which checkpoint has the best validation measure. It does not know how that was measured.

use crate::atomic::remove;
use crate::checkpoints;
use crate::error::{Corrupt, Error, Fault};
use crate::folder::RunFolder;
use crate::owner::read_small;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const BEST: &str = "best.json";

/// The checkpoint with the best validation measure. [`checkpoints::retain`] never deletes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The step after which it was saved.
    pub step: u64,
    /// What was measured: `pass@1`, ...
    pub metric: String,
    /// The measure.
    pub value: f64,
}

impl Best {
    /// Reads `best.json`; none where the run has kept no best checkpoint.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it does not parse, [`Error::Disk`] when it cannot be read.
    pub fn read(run: &Path) -> Result<Option<Self>, Error> {
        let path = run.join(BEST);
        let malformed = |reason: String| {
            let fault = Fault::Malformed { file: BEST.to_owned(), reason };
            Error::from(Corrupt { folder: run.to_owned(), fault })
        };
        match read_small(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| malformed(format!("does not parse: {error}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Other => Err(malformed(error.to_string())),
            Err(error) => Err(Error::disk("read", &path)(error)),
        }
    }

    /// Writes `best.json`, once the checkpoint is there.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn write(&self, run: &RunFolder) -> Result<(), Error> {
        let path = run.path().join(BEST);
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::disk("encode", &path)(e.into()))?;
        run.write(&path, &bytes)
    }

    /// Removes `best.json`; the checkpoint is like any other from here on.
    ///
    /// # Errors
    /// [`Error::Vanished`] and [`Error::Disk`].
    pub fn forget(run: &RunFolder) -> Result<(), Error> {
        run.check()?;
        remove(&run.path().join(BEST))
    }

    /// Where the checkpoint lies in its run folder.
    pub fn checkpoint(&self, run: &Path) -> PathBuf {
        checkpoints::path(run, self.step)
    }
}
