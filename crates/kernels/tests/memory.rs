//! What tensors free is taken again, by whichever thread. In a process of its own, as every file of tests is: the
//! setting is for the whole of it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use ruminate_kernels::keep_freed_memory;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

/// Above what glibc keeps by itself, and within what a heap of a thread's own may grow to.
const BYTES: usize = 48 << 20;
const PAGES: u64 = BYTES as u64 / 4096;

/// Pages that this thread has had to ask the kernel for while it ran `work`.
fn faults(work: impl FnOnce()) -> u64 {
    let so_far = || -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        // Field 10, faults without reading from a disk: the eighth after the name.
        fields.split_whitespace().nth(7).expect("the field").parse().expect("a number")
    };
    let before = so_far();
    work();
    so_far() - before
}

fn take_and_free() {
    drop(black_box(vec![1_u8; BYTES]));
}

#[test]
fn a_large_block_is_taken_again_without_the_kernel() {
    keep_freed_memory();
    let asked = faults(|| (0..16).for_each(|_| take_and_free()));
    assert!(asked < 3 * PAGES, "{asked} pages for {PAGES}");
}

#[test]
fn threads_take_what_other_threads_have_freed() {
    const THREADS: usize = 8;
    keep_freed_memory();
    let barrier = Barrier::new(THREADS);
    // One after the other, with all the others alive.
    let in_turn = &|own: usize| {
        let take = |turn| if turn == own { faults(take_and_free) } else { 0 };
        let wait = |turn| {
            let asked = take(turn);
            barrier.wait();
            asked
        };
        (0..THREADS).map(wait).sum::<u64>()
    };
    let asked: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|own| scope.spawn(move || in_turn(own))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    // The threads that the tests run on had heaps before the setting.
    assert!(asked < 5 * PAGES, "{asked} pages for {PAGES}");
}
