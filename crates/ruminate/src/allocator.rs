//! The allocator of programs: large blocks get large pages, and out of memory the process prints its memory plan and the
//! keys that lower it, then exits with code 9 in place of an abort. It does not know what memory is for.
//!
//! The standard library's own hook for this (`set_alloc_error_hook`) is not stable, and its default aborts without running
//! any code of ours. So the allocator is the system's, with one branch behind each allocation that it refuses.
#![allow(
    unsafe_code,
    reason = "an allocator is an unsafe trait; every call is handed on to the system's own as it is, and its advice to the \
              kernel changes no byte"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::OnceLock;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator; a program that gets no memory from it prints its memory plan and ends with `exit_code`. On Linux
/// the kernel is asked to back the heap of a process that has blocks of 1 MiB by pages of 2 MiB (transparent huge pages):
/// a gigabyte of tensors is then 512 faults when it is first filled, in place of 262,144. A program makes it its own
/// with `#[global_allocator]`.
pub struct ReportingAllocator {
    exit_code: u8,
}

impl ReportingAllocator {
    /// An allocator that ends the process with that code.
    pub const fn new(exit_code: u8) -> Self {
        Self { exit_code }
    }
}

/// What was planned, and which keys lower it.
static PLAN: OnceLock<String> = OnceLock::new();

/// What the message says where no command has said more.
const NO_PLAN: &str = "lower what is computed at once (`--max-num-seqs`, `--batch`, the recipe's batch and lengths), or use a \
                       machine with more memory";

/// Keeps what to say when memory runs out. The first plan of a process counts: its command's.
pub(crate) fn set_plan(plan: String) {
    let _ = PLAN.set(plan);
}

// SAFETY: every method passes its arguments to the system's allocator and returns what that returns, so its contract is
// the system's. Where that is null for a layout that is not empty, the process ends.
unsafe impl GlobalAlloc for ReportingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is this call's.
        self.granted(unsafe { System.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is this call's.
        unsafe { System.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is this call's.
        self.granted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is this call's.
        self.granted(unsafe { System.realloc(pointer, layout, new_size) }, new_size)
    }
}

impl ReportingAllocator {
    /// A block as the system's allocator answered; it ends the process where there is none.
    #[inline]
    fn granted(&self, pointer: *mut u8, bytes: usize) -> *mut u8 {
        if pointer.is_null() {
            end(bytes, self.exit_code);
        }
        if bytes >= LARGE {
            wants_large_pages(pointer, bytes);
        }
        pointer
    }
}

/// Blocks from here on are tensors or files: a process that has one fills memory from end to end.
const LARGE: usize = 1 << 20;

/// Where the part of the heap ends whose pages the kernel has been asked to make large.
#[cfg(target_os = "linux")]
static ADVISED: AtomicUsize = AtomicUsize::new(0);

/// Tells the kernel that the heap, up to its end of now, may lie in large pages; of a block that lies elsewhere, that it may.
/// The heap only grows, so most blocks find it told already. It is advice: where it is refused, or large pages are off or
/// fragmented away, small ones are as good.
#[cfg(target_os = "linux")]
#[inline]
fn wants_large_pages(block: *mut u8, bytes: usize) {
    if block.addr() + bytes > ADVISED.load(Relaxed) {
        advise(block, bytes);
    }
}

#[cfg(target_os = "linux")]
#[cold]
fn advise(block: *mut u8, bytes: usize) {
    const PAGE: usize = 2 << 20;
    // SAFETY: it moves nothing, and only says where the heap ends.
    let heap_end = unsafe { libc::sbrk(0) }.addr();
    let is_of_heap = block.addr() < heap_end;
    let told = ADVISED.load(Relaxed).max(block.addr());
    let (first, end) = if is_of_heap { (told, heap_end) } else { (block.addr(), block.addr() + bytes) };
    let first = first.next_multiple_of(PAGE);
    let whole = end.saturating_sub(first) / PAGE * PAGE;
    if whole > 0 {
        let start = block.with_addr(first);
        // SAFETY: the range lies inside the heap, or inside a block that the allocator has just granted, and the advice
        // changes no byte of it.
        let _ = unsafe { libc::madvise(start.cast(), whole, libc::MADV_HUGEPAGE) };
    }
    if is_of_heap {
        // What is left over ends inside a large page that the next stretch begins with.
        ADVISED.fetch_max(first + whole, Relaxed);
    }
}

#[cfg(not(target_os = "linux"))]
fn wants_large_pages(_: *mut u8, _: usize) {}

/// Prints the message and ends the process, at once and without allocating: other threads may be waiting for memory.
#[cold]
fn end(bytes: usize, exit_code: u8) -> ! {
    let mut text = [0_u8; 160];
    let mut rest = text.as_mut_slice();
    // Integers are written without memory of their own; what does not fit is cut.
    let _ =
        write!(rest, "\nruminate: out of memory: {bytes} more bytes could not be had (exit {exit_code}); ");
    let length = 160 - rest.len();
    say(&text[..length]);
    say(PLAN.get().map_or(NO_PLAN, String::as_str).as_bytes());
    say(b"\n");
    leave(exit_code)
}

#[cfg(unix)]
fn say(text: &[u8]) {
    // SAFETY: the pointer and the length are those of a living slice. What cannot be written is nothing to act on.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

#[cfg(unix)]
fn leave(exit_code: u8) -> ! {
    // SAFETY: it ends the process and may be called at any time from any thread. Nothing runs at exit: it might allocate.
    unsafe { libc::_exit(i32::from(exit_code)) }
}

#[cfg(not(unix))]
fn say(text: &[u8]) {
    let _ = std::io::stderr().write_all(text);
}

#[cfg(not(unix))]
fn leave(exit_code: u8) -> ! {
    std::process::exit(i32::from(exit_code))
}
