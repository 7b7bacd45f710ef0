//! `workers.rs` on real threads by a real clock. In a file of its own, so that `tests/interleavings.rs` can compile
//! that one without it.

use super::workers::{Failure, Limits, Workers};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long enough for a panic to print where it comes from on a busy machine.
const DEADLINE: Duration = Duration::from_millis(800);

/// Sleeps so many milliseconds, or panics.
fn sleepers(threads: usize, lost: usize) -> Workers<Option<u64>, u64> {
    let work = |milliseconds: Option<u64>| {
        let milliseconds = milliseconds.expect("none panics");
        sleep(Duration::from_millis(milliseconds));
        milliseconds
    };
    Workers::new(work, Limits { threads, lost, deadline: DEADLINE })
}

#[test]
fn results_come_in_the_order_of_the_jobs() {
    let results = sleepers(4, 0).run([30, 0, 20, 10, 0, 5].map(Some));
    assert_eq!(results, [30, 0, 20, 10, 0, 5].map(Ok));
    assert_eq!(sleepers(4, 0).run([]), []);
}

#[test]
fn what_hangs_is_given_up_at_the_deadline_and_its_thread_replaced() {
    let workers = sleepers(1, 2);
    let started = Instant::now();
    let results = workers.run([Some(1), Some(60_000), Some(2), None, Some(3)]);
    let expected = [Ok(1), Err(Failure::Deadline), Ok(2), Err(Failure::Panic), Ok(3)];
    assert_eq!(results, expected);
    assert!((DEADLINE..DEADLINE * 20).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(workers.run([Some(4)]), [Ok(4)], "the next jobs find a thread");
}

#[test]
fn lost_threads_are_bounded_and_the_rest_has_no_thread() {
    let results = sleepers(1, 1).run([60_000, 60_000, 1, 2].map(Some));
    let (deadline, none) = (Err(Failure::Deadline), Err(Failure::NoThread));
    assert_eq!(results, [deadline, deadline, none, none]);
}

#[test]
fn a_lost_thread_that_ends_counts_no_longer() {
    let workers = sleepers(1, 0);
    assert_eq!(workers.run([Some(1_600), Some(1)]), [Err(Failure::Deadline), Err(Failure::NoThread)]);
    sleep(Duration::from_millis(1_600));
    assert_eq!(workers.run([Some(1)]), [Ok(1)]);
}
