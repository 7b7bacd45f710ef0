//! The allocator under all tensors, told what a training step is like: what it frees, the next one takes again.
#![allow(
    unsafe_code,
    reason = "the allocator's settings are those of the C library, and no crate wraps them"
)]

/// Lets the C library's allocator keep the memory that tensors free, where that is glibc's; elsewhere it does nothing.
///
/// By default glibc gives every block above 32 MiB, and the end of its heap, back to the kernel, and the next step
/// faults the same pages in again, zeroed: a fifth of the processor time of training a small model. With this a
/// process holds the most that it ever needed until its end. For a program to call at its start; a library has no
/// say in it.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (setting, bytes) in [
        (libc::M_MMAP_THRESHOLD, libc::c_int::MAX), // blocks up to here come from the heap
        (libc::M_TRIM_THRESHOLD, libc::c_int::MAX), // which keeps a free end up to here
        (libc::M_TOP_PAD, 64 << 20),                // and grows in steps of this
    ] {
        // SAFETY: mallopt takes two integers, and may be called at any time from any thread (it takes the
        // allocator's lock). A setting that it refuses leaves the default.
        unsafe { libc::mallopt(setting, bytes) };
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::keep_freed_memory;
    use std::hint::black_box;

    /// Page faults of this process so far that needed no disk: field 10 of `/proc/self/stat`, the eighth after the name.
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        fields.split_whitespace().nth(7).expect("the field").parse().expect("a number")
    }

    #[test]
    fn a_large_block_is_taken_again_without_the_kernel() {
        const BYTES: usize = 48 << 20; // above what glibc keeps by itself, within the heap of a test's thread
        let pages = BYTES as u64 / 4096;
        keep_freed_memory();
        let before = faults();
        for _ in 0..16 {
            drop(black_box(vec![1_u8; BYTES]));
        }
        // Other tests may run beside this one; 16 times as many would come without the setting.
        assert!(faults() - before < 6 * pages, "{} faults for {pages} pages", faults() - before);
    }
}
