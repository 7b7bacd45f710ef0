//! Opens the files of a model folder, which come from anywhere: regular files only, within the folder or the cache
//! that it belongs to, and no larger than expected. This crate does not interpret what the files hold.
//!
//! - [`read`] and [`read_optional`]: a text file of a folder, whole; [`open`] where it is read in pieces.
//! - [`open_regular`]: a file of any size, such as weights.
//!
//! A pipe is never waited for, a device never read, and a link that leads elsewhere is an error that names its
//! target: the content of such a file would end up in the folder of a trained model.
//!
//! # Example
//!
//! ```
//! use ruminate_files::{Error, MAX_CONFIG_BYTES, read, read_optional};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("config.json"), "{}")?;
//!
//! assert_eq!(read(folder.path(), "config.json", MAX_CONFIG_BYTES)?, b"{}");
//! assert!(read_optional(folder.path(), "generation_config.json", MAX_CONFIG_BYTES)?.is_none());
//! assert!(matches!(read(folder.path(), "config.json", 1), Err(Error::Size { bytes: 2, limit: 1, .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a text file of a tokenizer at most: vocabularies of a million tokens have a third of it.
pub const MAX_TEXT_BYTES: u64 = 256 << 20;

/// Bytes of a file that describes a model at most.
pub const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system did not open or read it.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a folder, a pipe, a device or a socket, or a link to one.
    #[error("{}: expected a file, found {found}", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It is a link that leads out of its folder, and not into the cache that the folder belongs to.
    #[error(
        "{}: expected a file of this folder, found a link to {}; put a copy of the file in its place", path.display(),
        target.display()
    )]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It is larger than any file of its kind.
    #[error("{}: {bytes} bytes; expected at most {limit}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its bytes; of a file that grows, as many as were seen.
        bytes: u64,
        /// What is read at most.
        limit: u64,
    },
}

/// The content of `name` in a model folder, at most `limit` bytes of it. Links are followed within the folder, and
/// from a snapshot of a Hugging Face cache into the `blobs` beside it.
///
/// # Errors
/// Any of [`Error`].
pub fn read(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let (file, path) = (open(folder, name, limit)?, folder.join(name));
    let mut content = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(|source| Error::Read { path: path.clone(), source })?;
    if content.len() as u64 > limit {
        return Err(Error::Size { path, bytes: content.len() as u64, limit });
    }
    Ok(content)
}

/// The open file, to be read in pieces: no more than `limit` bytes of it, since it may grow.
///
/// # Errors
/// Any of [`Error`].
pub fn open(folder: &Path, name: &str, limit: u64) -> Result<File, Error> {
    let path = folder.join(name);
    let file = open_regular(&path)?;
    within(folder, &path)?;
    let bytes = file.metadata().map_err(|source| Error::Read { path: path.clone(), source })?.len();
    if bytes > limit { Err(Error::Size { path, bytes, limit }) } else { Ok(file) }
}

/// The same, and none where there is no such file. A link to nothing is an error.
///
/// # Errors
/// As [`read`].
pub fn read_optional(folder: &Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let is_absent =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match fs::symlink_metadata(folder.join(name)) {
        Err(error) if is_absent(&error) => Ok(None),
        _ => read(folder, name, limit).map(Some),
    }
}

/// An open file, wherever links lead, that is a regular one. Opening a pipe does not wait for its other end.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotRegular`].
pub fn open_regular(path: &Path) -> Result<File, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let regular = |metadata: &fs::Metadata| match kind(metadata) {
        None => Ok(()),
        Some(found) => Err(Error::NotRegular { path: path.to_owned(), found }),
    };
    // Opening some devices does something; what lies there at that moment is looked at again below.
    regular(&fs::metadata(path).map_err(unreadable)?)?;
    let file = options().open(path).map_err(unreadable)?;
    regular(&file.metadata().map_err(unreadable)?)?;
    Ok(file)
}

#[cfg(unix)]
fn options() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

#[cfg(not(unix))]
fn options() -> fs::OpenOptions {
    let mut options = File::options();
    options.read(true);
    options
}

/// What a file is that is no regular one.
fn kind(metadata: &fs::Metadata) -> Option<&'static str> {
    if metadata.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return Some("a pipe");
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    Some(if metadata.is_dir() { "a folder" } else { "something else" })
}

/// Whether a file lies, behind all links, in its folder or in the cache that the folder is a snapshot of.
fn within(folder: &Path, path: &Path) -> Result<(), Error> {
    let real =
        |path: &Path| fs::canonicalize(path).map_err(|source| Error::Read { path: path.to_owned(), source });
    let (root, target) = (real(folder)?, real(path)?);
    if target.starts_with(&root) || blobs(&root).is_some_and(|blobs| target.starts_with(blobs)) {
        return Ok(());
    }
    Err(Error::Outside { path: path.to_owned(), target })
}

/// The folder of contents beside the snapshot that a folder is, or lies in: `MODEL/blobs` of `MODEL/snapshots/COMMIT`.
fn blobs(root: &Path) -> Option<PathBuf> {
    let snapshots =
        root.ancestors().skip(1).find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))?;
    // Into the cache's own blobs alone.
    let blobs = snapshots.parent()?.join("blobs");
    fs::symlink_metadata(&blobs).is_ok_and(|metadata| metadata.is_dir()).then_some(blobs)
}

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
