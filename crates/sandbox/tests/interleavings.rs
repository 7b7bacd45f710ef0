//! `permits.rs` under a scheduler that runs its threads in thousands of orders (shuttle). What holds here holds
//! whatever the system does.
#![allow(unreachable_pub, reason = "the crate's own file is a private module here")]

#[path = "../src/permits.rs"]
mod permits;

use permits::Permits;
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Orders to try.
const ORDERS: usize = 2000;

/// The crate's module of this name, as the scheduler has it.
mod concurrency {
    pub(crate) use shuttle::sync::{Condvar, Mutex};
}

/// Runs a model in many orders: drawn evenly, and with few changes between threads, which finds other faults.
fn in_many_orders(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), ORDERS);
    shuttle::check_pct(model, ORDERS, 3);
}

#[test]
fn so_many_have_permits_at_a_time_and_all_get_one() {
    in_many_orders(|| {
        let permits = Arc::new(Permits::new(2));
        let taken = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (permits, taken) = (permits.clone(), taken.clone());
                thread::spawn(move || {
                    let _permit = permits.take();
                    assert!(taken.fetch_add(1, Ordering::SeqCst) < 2, "more than two at a time");
                    thread::yield_now();
                    taken.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("its assertion holds");
        }
        // Both are free again, or this waits for ever, which the scheduler reports.
        let _both = [permits.take(), permits.take()];
    });
}
