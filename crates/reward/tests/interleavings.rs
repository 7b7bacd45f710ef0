//! `workers.rs` under a scheduler that runs its threads in thousands of orders (shuttle), by a clock that goes on
//! whenever the scheduler wants a deadline to pass. What holds here holds whatever the system does.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the crate's own files, of which a model needs a part, are private modules here"
)]

#[path = "../src/pool/workers.rs"]
mod workers;

use concurrency::Clock;
use shuttle::thread;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use workers::{Failure, Limits, Workers};

/// Orders to try for each model: all together take about a second.
const ORDERS: usize = 2000;

/// The crate's module of this name, as the scheduler has it.
mod concurrency {
    pub(crate) use shuttle::sync::{Condvar, Mutex, mpsc::Sender};
    use shuttle::thread::{self, JoinHandle};
    use shuttle::{rand::Rng, sync::mpsc};
    use std::cell::{Cell, RefCell};
    use std::ops::Add;
    use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
    use std::time::Duration;

    /// When deadlines pass.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Clock {
        /// At any time.
        Any,
        /// Once for each job that says that it hangs.
        Hanging,
    }

    // A model and all of its threads are one thread of the system.
    std::thread_local! {
        static CLOCK: Cell<Clock> = const { Cell::new(Clock::Any) };
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static DEADLINES: Cell<usize> = const { Cell::new(0) };
        static HANGING: Cell<usize> = const { Cell::new(0) };
        static THREADS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    }

    /// Begins a model.
    pub(crate) fn begin(clock: Clock) {
        CLOCK.set(clock);
        DEADLINES.set(0);
        HANGING.set(0);
        THREADS.take();
    }

    /// How many deadlines have passed since the last call.
    pub(crate) fn deadlines() -> usize {
        DEADLINES.replace(0)
    }

    /// A job hangs from now on.
    pub(crate) fn hangs() {
        HANGING.set(HANGING.get() + 1);
    }

    /// Waits for the end of the thread that was started first.
    pub(crate) fn join_first() {
        let first = THREADS.with_borrow_mut(|threads| threads.remove(0));
        first.join().expect("no worker panics");
    }

    pub(crate) struct Builder(thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn(self, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
            let thread = self.0.spawn(body)?;
            THREADS.with_borrow_mut(|threads| threads.push(thread));
            Ok(())
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Self {
            Self(NOW.get())
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, duration: Duration) -> Self {
            Self(self.0 + duration)
        }
    }

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        (sender, Receiver(receiver))
    }

    /// A receiver whose waiting ends when the clock says so.
    pub(crate) struct Receiver<T>(mpsc::Receiver<T>);

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            self.0.recv()
        }

        pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> {
            self.0.try_iter()
        }

        pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
            loop {
                match self.0.try_recv() {
                    Ok(value) => return Ok(value),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                    Err(TryRecvError::Empty) if passes() => {
                        NOW.set(NOW.get() + timeout);
                        DEADLINES.set(DEADLINES.get() + 1);
                        return Err(RecvTimeoutError::Timeout);
                    }
                    Err(TryRecvError::Empty) => thread::yield_now(),
                }
            }
        }
    }

    fn passes() -> bool {
        match CLOCK.get() {
            Clock::Any => shuttle::rand::thread_rng().gen_ratio(1, 16),
            Clock::Hanging => {
                let hanging = HANGING.get();
                HANGING.set(hanging.saturating_sub(1));
                hanging > 0
            }
        }
    }
}

/// Runs a model in many orders: drawn evenly, and with few changes between threads, which finds other faults.
fn in_many_orders(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), ORDERS);
    shuttle::check_pct(model, ORDERS, 3);
}

/// What the work of a model has been given, and how much of it is being done.
#[derive(Default)]
struct Seen {
    jobs: Mutex<HashSet<usize>>,
    at_once: AtomicUsize,
}

/// Workers whose result is the job; job 2 panics.
fn workers(limits: Limits, seen: &Arc<Seen>) -> Workers<usize, usize> {
    let seen = seen.clone();
    let work = move |job| {
        assert!(seen.jobs.lock().expect("no panic in between").insert(job), "job {job} is done twice");
        let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(at_once <= limits.threads + limits.lost, "{at_once} jobs at once");
        thread::yield_now();
        thread::yield_now();
        seen.at_once.fetch_sub(1, Ordering::SeqCst);
        if job == 2 {
            // A panic without its message, thousands of times.
            std::panic::resume_unwind(Box::new("job 2"));
        }
        job
    };
    Workers::new(work, limits)
}

fn limits(threads: usize, lost: usize) -> Limits {
    Limits { threads, lost, deadline: Duration::from_secs(1) }
}

#[test]
fn every_job_has_its_own_result_or_a_reason_for_none() {
    in_many_orders(|| {
        concurrency::begin(Clock::Any);
        let seen = Arc::new(Seen::default());
        let workers = workers(limits(2, 1), &seen);
        // Threads that the first call has lost may be missing in the second one.
        let mut in_time = true;
        for jobs in [0..4, 4..6] {
            let results = workers.run(jobs.clone());
            let passed = concurrency::deadlines();
            in_time &= passed == 0;
            assert_eq!(results.len(), jobs.len());
            let given_up = results.iter().filter(|result| **result == Err(Failure::Deadline)).count();
            assert!(given_up >= passed, "{passed} deadlines passed: {results:?}");
            for (job, result) in jobs.clone().zip(results) {
                let own = if job == 2 { Err(Failure::Panic) } else { Ok(job) };
                let excused = [Err(Failure::Deadline), Err(Failure::NoThread)].contains(&result) && !in_time;
                assert!(result == own || excused, "job {job}: {result:?}, in time: {in_time}");
            }
        }
    });
}

#[test]
fn lost_threads_that_come_back_are_replaced_as_often_as_that_happens() {
    const HANG: usize = 0;
    for lost in [0, 1] {
        in_many_orders(move || {
            concurrency::begin(Clock::Hanging);
            let gate = Arc::new((concurrency::Mutex::new(false), concurrency::Condvar::new()));
            let open = |(is_open, opened): &(concurrency::Mutex<bool>, concurrency::Condvar), value: bool| {
                *is_open.lock().expect("no panic in between") = value;
                opened.notify_all();
            };
            let work = {
                let gate = gate.clone();
                move |job| {
                    if job == HANG {
                        concurrency::hangs();
                        let closed = gate.0.lock().expect("no panic in between");
                        drop(gate.1.wait_while(closed, |open| !*open).expect("no panic in between"));
                    } else {
                        open(&gate, true);
                    }
                    job
                }
            };
            let workers = Workers::new(work, limits(1, lost));
            for round in 1..4 {
                open(&gate, false);
                // With a replacement the lost thread comes back while that works or later, else between two calls.
                let other = if lost == 0 { Err(Failure::NoThread) } else { Ok(round) };
                assert_eq!(workers.run([HANG, round]), [Err(Failure::Deadline), other], "round {round}");
                open(&gate, true);
                concurrency::join_first();
            }
        });
    }
}

#[test]
fn two_callers_get_the_results_of_their_own_jobs() {
    in_many_orders(|| {
        concurrency::begin(Clock::Any);
        let seen = Arc::new(Seen::default());
        let workers = Arc::new(workers(limits(2, 2), &seen));
        let callers = [[10, 11], [20, 21]].map(|jobs| {
            let workers = workers.clone();
            thread::spawn(move || {
                for (job, result) in jobs.into_iter().zip(workers.run(jobs)) {
                    assert!(!matches!(result, Ok(other) if other != job), "job {job}: {result:?}");
                    assert_ne!(result, Err(Failure::Panic));
                }
            })
        });
        for caller in callers {
            caller.join().expect("its assertions hold");
        }
    });
}
