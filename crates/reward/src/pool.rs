//! A rubric on threads of its own: groups are judged in parallel, and no verifier can hold up the caller for longer
//! than a deadline. The threads, and those that hang, are the business of `workers.rs`.

mod concurrency;
mod workers;
#[cfg(test)]
mod workers_on_threads;

use crate::rubric::Rubric;
use crate::verifier::{Response, Tokens};
use ruminate_data::{FinishReason, Task, Verdict};
use std::sync::Arc;
use workers::{Failure, Workers};

pub use workers::Limits;

/// The responses to one task, owned: a thread that is given up may hold them longer than the caller would.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseGroup {
    /// The task.
    pub task: Task,
    /// The prompt as the policy saw it, rendered.
    pub prompt: String,
    /// The responses.
    pub attempts: Vec<Attempt>,
}

/// One response of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its text, tags included, without the token that ended it.
    pub text: String,
    /// Whether the policy ended it.
    pub finish_reason: FinishReason,
    /// Its token ids, the ending one included.
    pub ids: Vec<u32>,
}

impl ResponseGroup {
    fn response(&self, at: usize) -> Response<'_> {
        let Attempt { text, finish_reason, ids } = &self.attempts[at];
        Response { prompt: &self.prompt, text, finish_reason: *finish_reason, tokens: Tokens::Ids(ids) }
    }
}

/// A rubric that judges off the caller's thread, with a deadline for each verifier and completion.
///
/// A verifier that takes longer, or panics, leaves its part of that completion unscored, and so the completion unless
/// the verifier's weight is 0. Its thread cannot be killed: it is forgotten and replaced, up to `Limits::lost` times at
/// once; after that, completions stay unscored without having been looked at. What aborts the process (a stack that
/// overflows, memory that runs out) is beyond a thread: such verifiers belong into a process of their own.
///
/// Verdicts come in the order of the completions and do not depend on the number of threads. Group rewards are
/// computed on the caller's thread.
pub struct Pool {
    rubric: Arc<Rubric>,
    workers: Workers<Job, Verdict>,
    limits: Limits,
}

struct Job {
    group: Arc<ResponseGroup>,
    attempt: usize,
    part: usize,
}

impl Pool {
    /// A pool; its threads start with the first group.
    pub fn new(rubric: Rubric, limits: Limits) -> Self {
        let rubric = Arc::new(rubric);
        let judge = rubric.clone();
        let work =
            move |Job { group, attempt, part }: Job| judge.part(part, &group.task, &group.response(attempt));
        Self { rubric, workers: Workers::new(work, limits), limits }
    }

    /// The rubric.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// Returns one verdict per completion, group by group.
    pub fn verify(&self, groups: Vec<ResponseGroup>) -> Vec<Vec<Verdict>> {
        let groups: Vec<Arc<ResponseGroup>> = groups.into_iter().map(Arc::new).collect();
        let count = self.rubric.parts();
        let jobs = groups.iter().flat_map(|group| {
            let attempts = 0..group.attempts.len();
            attempts.flat_map(move |attempt| {
                (0..count).map(move |part| Job { group: group.clone(), attempt, part })
            })
        });
        let mut verdicts = self.workers.run(jobs).into_iter().map(|result| self.or_unscored(result));
        let mut judged = |group: Arc<ResponseGroup>| {
            let parts = group.attempts.iter().map(|_| verdicts.by_ref().take(count).collect()).collect();
            let responses: Vec<Response<'_>> =
                (0..group.attempts.len()).map(|at| group.response(at)).collect();
            self.rubric.combine(&group.task, &responses, parts)
        };
        groups.into_iter().map(&mut judged).collect()
    }

    fn or_unscored(&self, result: Result<Verdict, Failure>) -> Verdict {
        result.unwrap_or_else(|failure| match failure {
            Failure::Deadline => Verdict::unscored(format!("took longer than {:?}", self.limits.deadline)),
            Failure::Panic => Verdict::unscored("panicked"),
            Failure::NoThread => Verdict::unscored("not judged: every thread hangs in a verifier"),
        })
    }
}
