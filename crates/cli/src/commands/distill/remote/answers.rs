//! What has been answered, in memory and in `remote.jsonl`, from which a run that goes on takes it instead of asking again. It
//! refuses to know who answers.

use super::chat::Choice;
use crate::progress::Progress;
use anyhow::Result;
use ruminate_run::{Appended, JsonlAppender};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An answer: a row of `remote.jsonl`.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// Hash of what was asked.
    request: String,
    /// Index of the training problem.
    index: usize,
    /// Which of the problem's samples.
    sample: usize,
    #[serde(flatten)]
    choice: Choice,
}

/// The answers to all problems, for several workers.
pub(super) struct Answers {
    state: Mutex<State>,
}

struct State {
    by_problem: Vec<Vec<Choice>>,
    log: JsonlAppender,
    progress: Progress,
    count: usize,
    failed: bool,
}

impl Answers {
    /// With those of the log that are answers to what is asked now.
    pub(super) fn open(
        path: &Path,
        problems: usize,
        samples: usize,
        hash: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let log = JsonlAppender::open(path)?;
        let mut by_problem: Vec<Vec<Choice>> = vec![Vec::new(); problems];
        let hashes: Vec<String> = (0..problems).map(hash).collect();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rows = text.lines().filter_map(|line| serde_json::from_str::<Answer>(line).ok());
        for Answer { request, index, sample, choice } in rows {
            let fits = hashes.get(index).is_some_and(|hash| *hash == request);
            if let Some(known) = by_problem.get_mut(index).filter(|known| fits && known.len() == sample) {
                known.push(choice);
            }
        }
        for answers in &mut by_problem {
            answers.truncate(samples);
        }
        let count: usize = by_problem.iter().map(Vec::len).sum();
        if count > 0 {
            eprintln!("{count} of {} traces were sampled before", problems * samples);
        }
        let progress = Progress::new("traces", (problems * samples) as u64, count as u64);
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

    pub(super) fn add(&self, index: usize, made: impl Iterator<Item = Choice>, request: &str) {
        let mut state = self.lock();
        for choice in made {
            let sample = state.by_problem[index].len();
            let row = Answer { request: request.to_owned(), index, sample, choice };
            if let Appended::Failed(error) = state.log.append(&row) {
                state.progress.say(&format!("warning: {error}; what is lost would be asked again"));
            }
            state.by_problem[index].push(row.choice);
            state.count += 1;
        }
        let count = state.count as u64;
        state.progress.at(count, "");
    }
}
