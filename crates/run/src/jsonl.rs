//! JSONL logs: one object a line, appended whole. A log is worth a warning, never a run, so failures are told once
//! and survived. It refuses to know the keys, save that a caller may rewind by them.

use crate::atomic::write_file;
use crate::error::Error;
use crate::owner::kind;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An append-only log.
#[derive(Debug)]
pub struct JsonlAppender {
    path: PathBuf,
    file: File,
    /// Length up to the last complete line, in bytes.
    len: u64,
    lost: u64,
}

/// What became of a row.
#[derive(Debug)]
#[must_use = "the first failure should be shown to the user"]
pub enum Appended {
    /// It is in the file.
    Written,
    /// It is lost, and it is the first: warn with this.
    Failed(Error),
    /// It is lost like others before it, of which the caller has been told.
    Lost,
}

/// How a log was rewound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncation {
    /// Lines that stay, byte by byte.
    pub kept: usize,
    /// Lines that the caller did not want.
    pub dropped: usize,
    /// Lines that are not JSON: gone as well.
    pub unreadable: usize,
    /// A last line without its end, as a run leaves it that was killed while writing: gone as well.
    pub unfinished: usize,
}

impl JsonlAppender {
    /// Opens a log for appending, making it, in a folder that is there, where it is missing. A partial last line, left by a
    /// kill in the middle of a write, is cut off. A link is not followed.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NOFOLLOW.bits());
        let file = options.open(path).map_err(Error::disk("open", path))?;
        let mut len = 0;
        if file.metadata().map_err(Error::disk("read", path))?.is_file() {
            let bytes = fs::read(path).map_err(Error::disk("read", path))?;
            len = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1) as u64;
            file.set_len(len).map_err(Error::disk("truncate", path))?;
        }
        Ok(Self { path: path.to_owned(), file, len, lost: 0 })
    }

    /// Appends a row as one line, in one write. Numbers that are not finite become `null`, as in all of JSON.
    ///
    /// After a failure the file is cut back to its last complete line and later rows are tried again: a disk that
    /// was full may have room once more.
    pub fn append(&mut self, row: &impl Serialize) -> Appended {
        match self.try_append(row) {
            Ok(()) => Appended::Written,
            Err(e) => {
                // A device (/dev/full) cannot be cut; then no partial line can be in it either.
                let _ = self.file.set_len(self.len);
                self.lost += 1;
                if self.lost == 1 {
                    Appended::Failed(Error::disk("append to", &self.path)(e))
                } else {
                    Appended::Lost
                }
            }
        }
    }

    /// Makes the rows so far durable. To be called before a checkpoint is committed: else a power cut could leave a
    /// checkpoint whose log ends before it.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn sync(&self) -> Result<(), Error> {
        match self.file.sync_data() {
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => Err(Error::disk("fsync", &self.path)(e)),
            _ => Ok(()), // a device has nothing to sync and says that it is invalid to ask
        }
    }

    /// Rows that are not in the file.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn try_append(&mut self, row: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.flush()?;
        self.len += line.len() as u64;
        Ok(())
    }
}

/// Refuses a log that is a link, a device or a pipe: it could not be rewound, and reading it may never end.
///
/// # Errors
/// [`Error::NotRegular`].
pub fn check_regular(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::NotRegular { path: path.to_owned(), kind: kind(&metadata) })
        }
        _ => Ok(()),
    }
}

/// Rewinds a log: keeps the lines that `keep` wants and drops the others, atomically. On resume the caller keeps
/// those whose `step` is not beyond the checkpoint's. A log that is not there is empty.
///
/// # Errors
/// [`Error::NotRegular`] and [`Error::Disk`]; the log is then as it was.
pub fn truncate_after(
    path: &Path,
    mut keep: impl FnMut(&serde_json::Value) -> bool,
) -> Result<Truncation, Error> {
    check_regular(path)?;
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Truncation::default()),
        Err(e) => return Err(Error::disk("read", path)(e)),
    };
    let mut truncation = Truncation::default();
    let mut kept = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        // Without its newline even a line that parses may be half a number: {"step": 1, ..}\n is the unit.
        if !line.ends_with(b"\n") {
            truncation.unfinished += 1;
            continue;
        }
        match serde_json::from_slice(line).ok() {
            None => truncation.unreadable += 1,
            Some(row) if keep(&row) => {
                truncation.kept += 1;
                kept.extend_from_slice(line);
            }
            Some(_) => truncation.dropped += 1,
        }
    }
    if kept.len() < bytes.len() {
        write_file(path, &kept)?;
    }
    Ok(truncation)
}
