//! The table `[log]`: loggers beside the run folder.

use crate::error::Refusal;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A program that gets the rows of a run's logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// The program and its arguments, such as `["python3", "integrations/loggers/to_wandb.py"]`: each row as one line of
    /// JSON on its standard input. Its death never ends a run. Empty is none.
    pub(crate) command: Vec<String>,
    /// The time that the program may take to end after its input, in milliseconds.
    pub(crate) timeout_ms: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { command: Vec::new(), timeout_ms: 60_000 }
    }
}

impl Log {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.command.first().is_some_and(String::is_empty) {
            return Err(Refusal::usage(
                "`command` begins with an empty text; expected a list of the program and its arguments",
            ));
        }
        Ok(())
    }
}
