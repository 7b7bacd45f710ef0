//! Settings of glibc's allocator that keep the memory that a training step frees for the next one.
#![allow(
    unsafe_code,
    reason = "the allocator's settings are those of the C library, and no crate wraps them"
)]

/// Lets the C library's allocator keep the memory that tensors free, where that is glibc's; elsewhere it does nothing.
///
/// By default glibc gives every block above 32 MiB, and the end of its heap, back to the kernel, and the next step
/// faults the same pages in again, zeroed: a fifth of the processor time of training a small model. With this a
/// process holds the most that it ever needed until its end. It would hold that once a thread, each with a heap of its
/// own, so all threads share one: tensors are large, and a lock taken for each is nothing beside filling it.
///
/// For a program to call at its start, before there are threads; a library has no say in it.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (setting, value) in [
        (libc::M_MMAP_MAX, 0),        // all blocks come from the heap,
        (libc::M_TRIM_THRESHOLD, -1), // which keeps its free end however long that is,
        (libc::M_TOP_PAD, 64 << 20),  // grows by so many bytes at a time,
        (libc::M_ARENA_MAX, 1),       // and is the only one
    ] {
        // SAFETY: mallopt takes two integers, and may be called at any time from any thread (it takes the
        // allocator's lock). A setting that it refuses leaves the default.
        unsafe { libc::mallopt(setting, value) };
    }
}
