//! Work that recurses as deep as its input says, on a thread whose stack has room for it and whose time is limited. It does
//! not know what is computed.

use crate::guard::guarded;
use std::cell::Cell;
use std::sync::mpsc::{self, RecvTimeoutError, SendError, SyncSender};
use std::thread;
use std::time::Duration;

/// Bytes of its stack, of which only those that were used are memory. The bounds of templates keep the engine's recursion
/// within a tenth of it.
const STACK_BYTES: usize = 128 << 20;

/// Calls after which a thread is replaced, so that what its deepest one used of the stack is given back.
const CALLS: usize = 1_000;

/// How long a thread waits for the next call, so that its stack takes no address space where there are no more.
const IDLE: Duration = Duration::from_millis(100);

type Work = Box<dyn FnOnce() + Send>;

/// The thread that works for one that asks. It ends with it, or when it has nothing to do.
struct Worker {
    work: SyncSender<Work>,
    calls: usize,
}

thread_local! {
    /// None before the first call, during one, and after one that took too long.
    static WORKER: Cell<Option<Worker>> = const { Cell::new(None) };
}

impl Worker {
    fn start() -> Result<Self, String> {
        // Without a buffer: what is sent to a thread that is about to end comes back.
        let (work, works) = mpsc::sync_channel::<Work>(0);
        let serve = move || {
            while let Ok(work) = works.recv_timeout(IDLE) {
                work();
            }
        };
        let thread = thread::Builder::new().name("chat template".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(serve).map_err(|error| format!("there is no thread for it: {error}"))?;
        Ok(Self { work, calls: 0 })
    }
}

/// What `work` gives. Work that takes longer than `limit` is left to itself with its thread, and holds what it has until
/// it ends: nothing ends it from outside.
///
/// # Errors
/// The time is over, the work panicked, or there is no thread.
pub(crate) fn on_own_stack<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (answer, answers) = mpsc::sync_channel(1);
    let work = move || {
        // Without a receiver the time is over.
        let _ = answer.send(guarded(|| Ok::<T, String>(work())).map_err(|failure| failure.reason));
    };
    let known = WORKER.take().filter(|worker| worker.calls < CALLS);
    let mut worker = known.map_or_else(Worker::start, Ok)?;
    if let Err(SendError(work)) = worker.work.send(Box::new(work)) {
        worker = Worker::start()?;
        worker.work.send(work).map_err(|_| "its thread has ended".to_owned())?;
    }
    worker.calls += 1;
    match answers.recv_timeout(limit) {
        Ok(answer) => {
            WORKER.set(Some(worker));
            answer
        }
        Err(RecvTimeoutError::Timeout) => Err(format!("expected to end within {} seconds", limit.as_secs())),
        Err(RecvTimeoutError::Disconnected) => Err("the engine panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLS, IDLE, on_own_stack};
    use std::collections::HashSet;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(10);

    fn worker() -> ThreadId {
        on_own_stack(LIMIT, || thread::current().id()).expect("it answers")
    }

    #[test]
    fn a_thread_serves_many_calls_of_one_and_of_no_other() {
        let workers: HashSet<ThreadId> = (0..=2 * CALLS).map(|_| worker()).collect();
        // More than these three where this thread had to wait.
        assert!((3..CALLS / 10).contains(&workers.len()), "{} threads", workers.len());
        let other = thread::spawn(worker).join().expect("it ends");
        assert_ne!(other, worker());
    }

    #[test]
    fn a_thread_with_nothing_to_do_ends_and_another_one_serves() {
        let before = worker();
        thread::sleep(4 * IDLE);
        assert_ne!(worker(), before);
        // Calls that come just when a thread ends are served, too.
        for _ in 0..4 {
            thread::sleep(IDLE);
            assert_eq!(on_own_stack(LIMIT, || 1), Ok(1));
        }
    }

    #[test]
    fn what_panics_or_takes_too_long_harms_no_later_call() {
        let panicked = on_own_stack(LIMIT, || panic!("no piece 7")).map(|(): ()| ());
        assert_eq!(panicked, Err("what makes the library panic: no piece 7".to_owned()));
        let before = worker();
        let late = on_own_stack(Duration::from_millis(20), || thread::sleep(Duration::from_millis(200)));
        assert!(late.is_err_and(|reason| reason.contains("expected to end within")));
        assert_ne!(worker(), before, "its thread is left to it");
        assert_eq!(on_own_stack(LIMIT, || 1), Ok(1));
    }
}
