//! Who is at work in a folder: the pipeline's own lock, and those of its stages' run folders.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// The file that is locked, in a run folder as well as in a pipeline's.
const LOCK: &str = ".lock";

/// How long a stage may take to finish its step and to save, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Held until it is dropped or the process dies.
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing the file would leave the lock to a child that another thread has begun to start: until it runs its own
    /// program, it has the file open, too.
    fn drop(&mut self) {
        let _ = self.file.unlock(); // closing it, which comes next, is all that is left to try
    }
}

impl Lock {
    /// The lock of a folder, which is made where it is missing; `None` where another process holds it.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(crate) fn of(folder: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false);
        // Who can read a lock can hold it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(locked(&file, &path)?.then(|| Self { file }))
    }
}

/// Waits until no process is at work in a run folder.
///
/// # Errors
/// A process that does not let go of it.
pub(crate) fn wait(run: &Path) -> Result<()> {
    wait_for(run, PATIENCE)
}

fn wait_for(run: &Path, patience: Duration) -> Result<()> {
    let path = run.join(LOCK);
    let Ok(file) = File::open(&path) else { return Ok(()) }; // no process has been there yet
    let start = Instant::now();
    let mut told = false;
    while !locked(&file, &path)? {
        let holder = fs::read_to_string(&path).unwrap_or_default();
        let holder = holder.trim();
        if !told {
            eprintln!("{}: process {holder} is still at work there; waiting for it to end", run.display());
            told = true;
        }
        if start.elapsed() > patience {
            bail!(
                "{}: process {holder} has not ended within {} s; wait for it or end it, then start again",
                run.display(),
                patience.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(Lock { file });
    Ok(())
}

/// Whether a lock could be had; it goes with the file.
fn locked(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lock, wait_for};
    use std::time::Duration;

    #[test]
    fn a_lock_is_free_once_dropped_though_a_child_that_is_being_started_has_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::of(folder.path()).expect("no error").expect("free");
        let of_the_child = lock.file.try_clone().expect("another handle of the same open file");
        drop(lock);
        assert!(Lock::of(folder.path()).expect("no error").is_some());
        drop(of_the_child);
    }

    #[test]
    fn a_folder_is_locked_once_and_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        wait_for(path, Duration::ZERO).expect("no process has been there");
        let lock = Lock::of(path).expect("a disk").expect("free");
        assert!(Lock::of(path).expect("a disk").is_none());
        let error = wait_for(path, Duration::ZERO).expect_err("held");
        assert!(error.to_string().contains("has not ended"), "{error}");
        std::thread::scope(|scope| {
            scope.spawn(|| wait_for(path, Duration::from_mins(1)).expect("let go"));
            drop(lock);
        });
        assert!(Lock::of(path).expect("a disk").is_some());
    }
}
