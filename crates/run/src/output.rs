//! A result file that the user names: whole or not there, and never in the place of what is no regular file. It
//! does not know what is written.

use crate::atomic::{make_parents, parent, sync_folder, temporary, usual_of_file};
use crate::error::Error;
use crate::owner::kind;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A result file. Over a regular file, or where nothing is, it is written under a temporary name and appears on
/// [`commit`](Self::commit); dropped before that, it leaves what was there. A device, a pipe or a link is opened and
/// written through, line by line.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    /// None where the file is written through.
    temp: Option<PathBuf>,
    /// Those of the file that is replaced; none where there was none.
    permissions: Option<Permissions>,
}

impl OutputFile {
    /// Opens the file; parents are made.
    ///
    /// # Errors
    /// [`Error::Disk`] when it cannot be opened or is a folder.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => Some(metadata),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::disk("write", path)(e)),
        };
        if let Some(metadata) = &metadata
            && !metadata.is_file()
        {
            if metadata.is_dir() {
                return Err(Error::disk("write", path)(io::Error::other(format!(
                    "it is {}",
                    kind(metadata)
                ))));
            }
            let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
            let file = opened.map_err(Error::disk("write", path))?;
            return Ok(Self { path: path.to_owned(), file, temp: None, permissions: None });
        }
        make_parents(path)?;
        let (temp, file) = temporary(path)?;
        let permissions = metadata.map(|metadata| metadata.permissions());
        Ok(Self { path: path.to_owned(), file, temp: Some(temp), permissions })
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// [`Error::Disk`]; what was there is then as it was, unless it is written through.
    pub fn commit(mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::disk("write", &self.path))?;
        let Some(temp) = &self.temp else { return Ok(()) };
        let permissions = match self.permissions.take() {
            Some(permissions) => permissions,
            None => usual_of_file(&self.path)?,
        };
        self.file.set_permissions(permissions).map_err(Error::disk("write", &self.path))?;
        self.file.sync_all().map_err(Error::disk("fsync", temp))?;
        fs::rename(temp, &self.path).map_err(Error::disk("rename into place", &self.path))?;
        self.temp = None;
        sync_folder(parent(&self.path))
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            // The failure that led here is the one to report.
            let _ = fs::remove_file(temp);
        }
    }
}
