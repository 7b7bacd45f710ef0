//! Waits for what an earlier pipeline has left at work in a run folder.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_run::{Error, Lock};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a stage may take to finish its step and to save, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until no process is at work in a run folder.
///
/// # Errors
/// A process that does not let go of it.
pub(super) fn wait(run: &Path) -> Result<()> {
    wait_for(run, PATIENCE)
}

fn wait_for(run: &Path, patience: Duration) -> Result<()> {
    let start = Instant::now();
    let mut told = false;
    // Without a lock no process has been there yet.
    while run.join(".lock").exists() {
        let holder = match Lock::of(run) {
            Ok(_) => break,
            Err(Error::Locked { holder, .. }) => {
                holder.map_or("a process".to_owned(), |process| format!("process {process}"))
            }
            Err(error) => return Err(error.into()),
        };
        if !told {
            notice!("{}: {holder} is still at work there; waiting for it to end", run.display());
            told = true;
        }
        if start.elapsed() > patience {
            return Err(Refusal::usage(format!(
                "{}: {holder} has not ended within {} s; wait for it or end it, then start again",
                run.display(),
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::wait_for;
    use ruminate_run::Lock;
    use std::time::Duration;

    #[test]
    fn a_folder_is_locked_once_and_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        wait_for(path, Duration::ZERO).expect("no process has been there");
        let lock = Lock::of(path).expect("free");
        assert!(Lock::of(path).is_err());
        let error = wait_for(path, Duration::ZERO).expect_err("held");
        assert!(error.to_string().contains("has not ended"), "{error}");
        std::thread::scope(|scope| {
            scope.spawn(|| wait_for(path, Duration::from_mins(1)).expect("let go"));
            drop(lock);
        });
        Lock::of(path).expect("free again");
    }
}
