//! Threads that work under a deadline. Work that hangs costs its thread, which is replaced, and nothing else. It does
//! not know what the work is.

use super::concurrency::{Builder, Instant, Mutex, Receiver, Sender, channel};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

/// How many threads there are, and how long they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that work.
    pub threads: usize,
    /// Threads that may be lost to work that hangs and be replaced. A thread cannot be killed; it is forgotten, and
    /// comes back into the count when its work ends after all. Beyond this many there are no replacements.
    pub lost: usize,
    /// How long one piece of work may take.
    pub deadline: Duration,
}

impl Default for Limits {
    /// One thread per core, 64 replacements, a minute.
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { threads, lost: 64, deadline: Duration::from_mins(1) }
    }
}

/// Why a piece of work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It took longer than it may.
    Deadline,
    /// It panicked.
    Panic,
    /// Every thread is lost.
    NoThread,
}

type Work<J, R> = dyn Fn(J) -> R + Send + Sync;

/// Threads that turn jobs into results, one after the other each.
pub(crate) struct Workers<J, R> {
    work: Arc<Work<J, R>>,
    limits: Limits,
    crew: Mutex<Crew<J, R>>,
}

struct Crew<J, R> {
    workers: Vec<Worker<J>>,
    next_id: u64,
    /// Threads that were given up and have not come back.
    lost: usize,
    report: Sender<(u64, Option<R>)>,
    reports: Receiver<(u64, Option<R>)>,
}

struct Worker<J> {
    id: u64,
    /// Dropping it ends the thread once it waits for work.
    jobs: Sender<J>,
    /// The job's index and when it has to be done.
    current: Option<(usize, Instant)>,
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// Threads start with the first jobs.
    pub(crate) fn new(work: impl Fn(J) -> R + Send + Sync + 'static, limits: Limits) -> Self {
        let (report, reports) = channel();
        let crew = Crew { workers: Vec::new(), next_id: 0, lost: 0, report, reports };
        Self { work: Arc::new(work), limits, crew: Mutex::new(crew) }
    }

    /// The results of all jobs, in their order. It takes at most `deadline` for each job that a thread has to do.
    pub(crate) fn run(&self, jobs: impl IntoIterator<Item = J>) -> Vec<Result<R, Failure>> {
        let mut waiting: VecDeque<(usize, J)> = jobs.into_iter().enumerate().collect();
        let mut results: Vec<Result<R, Failure>> = waiting.iter().map(|_| Err(Failure::NoThread)).collect();
        let mut crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        // Between two calls only lost threads work.
        crew.lost -= crew.reports.try_iter().count();
        loop {
            self.recruit(&mut crew, waiting.len());
            self.hand_out(&mut crew, &mut waiting);
            let Some(next) =
                crew.workers.iter().filter_map(|worker| worker.current).map(|(_, due)| due).min()
            else {
                return results; // no thread works: all is done, or none is left
            };
            match crew.reports.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok((id, result)) => match crew.workers.iter_mut().find(|worker| worker.id == id) {
                    Some(worker) => {
                        if let Some((job, _)) = worker.current.take() {
                            results[job] = result.ok_or(Failure::Panic);
                        }
                    }
                    None => crew.lost -= 1, // too late, but it has come back and ends
                },
                Err(RecvTimeoutError::Timeout) => give_up(&mut crew, &mut results),
                Err(RecvTimeoutError::Disconnected) => return results, // not while we hold `report`
            }
        }
    }

    /// Starts threads for waiting jobs, up to the limits; fewer where the system gives no more.
    fn recruit(&self, crew: &mut Crew<J, R>, waiting: usize) {
        let idle = crew.workers.iter().filter(|worker| worker.current.is_none()).count();
        let most = self.limits.threads.max(1);
        for _ in idle..waiting {
            let alive = crew.workers.len() + crew.lost;
            if crew.workers.len() >= most || alive >= most + self.limits.lost {
                return;
            }
            let (jobs, inbox) = channel();
            let (id, work, report) = (crew.next_id, self.work.clone(), crew.report.clone());
            let body = move || {
                while let Ok(job) = inbox.recv() {
                    let result = catch_unwind(AssertUnwindSafe(|| work(job))).ok();
                    if report.send((id, result)).is_err() {
                        return;
                    }
                }
            };
            if Builder::new().name(format!("verifier-{id}")).spawn(body).is_err() {
                return;
            }
            crew.next_id += 1;
            crew.workers.push(Worker { id, jobs, current: None });
        }
    }

    fn hand_out(&self, crew: &mut Crew<J, R>, waiting: &mut VecDeque<(usize, J)>) {
        for worker in crew.workers.iter_mut().filter(|worker| worker.current.is_none()) {
            let Some((index, job)) = waiting.pop_front() else { return };
            // Its thread waits for work as long as we hold the sender, so the job arrives.
            if worker.jobs.send(job).is_ok() {
                worker.current = Some((index, Instant::now() + self.limits.deadline));
            }
        }
    }
}

/// Forgets the threads whose time is up.
fn give_up<J, R>(crew: &mut Crew<J, R>, results: &mut [Result<R, Failure>]) {
    let now = Instant::now();
    let before = crew.workers.len();
    crew.workers.retain(|worker| match worker.current {
        Some((job, due)) if due <= now => {
            results[job] = Err(Failure::Deadline);
            false
        }
        _ => true,
    });
    crew.lost += before - crew.workers.len();
}
