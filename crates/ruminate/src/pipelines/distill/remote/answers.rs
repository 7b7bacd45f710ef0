//! The answers so far, for several workers: in memory, and in the log of what has been sampled.

use super::super::sampled::Sampled;
use super::chat::Choice;
use crate::progress::Progress;
use anyhow::Result;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The answers to all problems, for several workers.
pub(super) struct Answers {
    state: Mutex<State>,
}

struct State {
    by_problem: Vec<Vec<Choice>>,
    log: Sampled,
    progress: Progress,
    count: usize,
    failed: bool,
}

impl Answers {
    /// With those of the log at `path` that are answers to what is asked now, by the hashes of [`Sampled::open`].
    pub(super) fn open(path: &Path, requests: Vec<String>, samples: usize) -> Result<Self> {
        let total = (requests.len() * samples) as u64;
        let (log, known) = Sampled::open::<Choice>(path, requests, samples)?;
        // A problem's samples come in their order: what lies behind a gap is asked again.
        let by_problem: Vec<Vec<Choice>> =
            known.into_iter().map(|group| group.into_iter().map_while(|choice| choice).collect()).collect();
        let count: usize = by_problem.iter().map(Vec::len).sum();
        let progress = Progress::new("traces", total, count as u64);
        Ok(Self { state: Mutex::new(State { by_problem, log, progress, count, failed: false }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another worker will be raised when the scope ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, index: usize) -> Vec<Choice> {
        self.lock().by_problem[index].clone()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().count
    }

    /// Whether a worker has given up.
    pub(super) fn failed(&self) -> bool {
        self.lock().failed
    }

    pub(super) fn fail(&self) {
        self.lock().failed = true;
    }

    pub(super) fn add(&self, index: usize, made: impl Iterator<Item = Choice>) {
        let mut guard = self.lock();
        let State { by_problem, log, progress, count, .. } = &mut *guard;
        for choice in made {
            log.add(index, by_problem[index].len(), &choice, progress);
            by_problem[index].push(choice);
            *count += 1;
        }
        progress.at(*count as u64, "");
    }
}
