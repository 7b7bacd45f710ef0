//! A problem as a policy sees it, and why a source of problems may fail.

use crate::Task;

/// A problem as a policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The task, for who judges.
    pub task: Task,
    /// Its prompt in token ids.
    pub prompt_ids: Vec<u32>,
}

/// Why a source has no problem or no sample at an index: an error of its own, which trainers hand on.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;
