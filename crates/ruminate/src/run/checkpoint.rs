//! A run's checkpoint as a model folder: the one with the best validation measure, or the last. It does not know what is done
//! with it.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_run::{Best, Found, checkpoints, inspect, verify};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which checkpoint of a run folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The one with the best validation measure, which `best.json` names.
    Best,
    /// The newest one.
    Last,
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "best" => Ok(Self::Best),
            "last" => Ok(Self::Last),
            _ => Err("expected best or last".to_owned()),
        }
    }
}

/// The model folder of a run's checkpoint.
///
/// # Errors
/// With exit code 3 where the folder is no run, or has no such checkpoint; with 4 where it is damaged.
pub(crate) fn folder(run: &Path, which: Checkpoint) -> Result<PathBuf> {
    let shown = run.display();
    let found = inspect(run)?;
    if !matches!(found, Found::Run(_) | Found::Unmarked { .. }) {
        return Err(Refusal::input(format!(
            "{shown} {found}; --checkpoint expects --model to be the folder of a run, such as runs/train-rl-seed0"
        )));
    }
    let path = match which {
        Checkpoint::Best => {
            let best = Best::read(run)?.ok_or_else(|| {
                Refusal::input(format!(
                    "{shown} has kept no best checkpoint: its recipe did without small validations (`eval.validation_steps`), \
                     or none of them was better than the one before training; its last model is --checkpoint last, or the \
                     folder {}",
                    run.join("final").display()
                ))
            })?;
            notice!(
                "the best checkpoint of {shown}: step {}, {} {:.3} on its validation problems",
                best.step,
                best.metric,
                best.value
            );
            let path = best.checkpoint(run);
            if !path.is_dir() {
                return Err(Refusal::input(format!(
                    "{} is gone, which best.json of {shown} names; its last model is --checkpoint last",
                    path.display()
                )));
            }
            verify(&path)?;
            path
        }
        Checkpoint::Last => {
            let newest = checkpoints::newest(run)?;
            let (checkpoint, _) = newest
                .found
                .ok_or_else(|| Refusal::input(format!("{shown} has no checkpoint that is whole")))?;
            checkpoint.path
        }
    };
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, folder};
    use ruminate_run::{Best, Made, RunFolder, checkpoints};
    use serde_json::json;
    use std::fs;

    #[test]
    fn the_best_and_the_last_are_found_and_what_is_missing_is_said() {
        let place = tempfile::tempdir().expect("a folder");
        let run = place.path().join("run");
        let message = |which| format!("{:#}", folder(&run, which).expect_err("refused"));
        assert!(message(Checkpoint::Best).contains("folder of a run"), "{}", message(Checkpoint::Best));
        let text = |text: &str| text.to_owned();
        let made = Made {
            command: text("t"),
            stage: text("t"),
            id: text("0"),
            version: text("1"),
            files: Vec::new(),
        };
        let mut entered = RunFolder::enter(&run, &made).expect("new");
        entered.claim(&made).expect("claimed");
        fs::write(run.join("config.json"), "{}").expect("written");
        for which in [Checkpoint::Best, Checkpoint::Last] {
            assert!(message(which).contains("checkpoint"), "{}", message(which));
        }
        for step in [1, 2] {
            let writer = checkpoints::create(&run, step).expect("made");
            writer.write("config.json", b"{}").expect("written");
            writer.commit(json!({})).expect("committed");
        }
        Best { step: 1, metric: text("pass@1"), value: 0.5 }.write(&entered).expect("written");
        assert_eq!(folder(&run, Checkpoint::Best).expect("there"), checkpoints::path(&run, 1));
        assert_eq!(folder(&run, Checkpoint::Last).expect("there"), checkpoints::path(&run, 2));
        fs::remove_dir_all(checkpoints::path(&run, 1)).expect("removed");
        assert!(message(Checkpoint::Best).contains("is gone"), "{}", message(Checkpoint::Best));
        assert!("newest".parse::<Checkpoint>().is_err());
    }
}
