//! A folder's lock: who holds it is the one process that writes there.

use crate::error::Error;
use crate::owner::{LOCK, kind};
#[cfg(unix)]
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

/// The lock of a folder, held until it is dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
    is_new: bool,
}

impl Lock {
    /// The lock of a folder that exists. It is its owner's alone: who can open a file can lock it, and a reader of the
    /// folder must not be able to stop its runs. A link or a pipe in its place is refused, since the holder's process id
    /// is written into it.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process holds it, [`Error::NotRegular`] when it is a link or a pipe,
    /// [`Error::Disk`] when it cannot be opened or locked.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(LOCK);
        let is_new = match path.symlink_metadata() {
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::NotRegular { path, kind: kind(&metadata) });
            }
            found => found.is_err(),
        };
        let mut options = OpenOptions::new();
        // The holder's process id stays readable until the lock is ours.
        options.create(true).write(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // It may become a link or a pipe meanwhile.
            options.mode(0o600).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        }
        let file = options.open(&path).map_err(Error::disk("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, is_new }),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
                Err(Error::Locked { path: folder.to_owned(), holder })
            }
            Err(TryLockError::Error(e)) => Err(Error::disk("lock", &path)(e)),
        }
    }

    /// Whether its file was made for it.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes down which process holds it.
    pub(crate) fn sign(&mut self) -> io::Result<()> {
        // Version 0.1.0 made locks that every reader of the folder could take. Another user's lock stays as it is.
        #[cfg(unix)]
        let _ = self.file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        self.file.set_len(0).and_then(|()| writeln!(self.file, "{}", std::process::id()))
    }
}

impl Drop for Lock {
    /// Closing the file would leave the lock to a child that another thread has begun to start: until it runs its own
    /// program, it has the file open, too.
    fn drop(&mut self) {
        let _ = self.file.unlock(); // closing it, which comes next, is all that is left to try
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use crate::Error;

    #[test]
    fn a_lock_is_free_once_dropped_though_a_child_that_is_being_started_has_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::of(folder.path()).expect("free");
        assert!(matches!(Lock::of(folder.path()), Err(Error::Locked { holder: None, .. })));
        let of_the_child = lock.file.try_clone().expect("another handle of the same open file");
        drop(lock);
        Lock::of(folder.path()).expect("free again");
        drop(of_the_child);
    }
}
