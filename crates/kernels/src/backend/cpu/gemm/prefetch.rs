//! Software prefetch of the next panel while the current one is multiplied: with few rows of x a panel of weights is
//! used up before the processor would have guessed the following one.
#![allow(unsafe_code, clippy::inline_always, reason = "an instruction in the innermost loop of tiles")]

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// The next line to be brought, of a stretch of memory.
#[derive(Clone, Copy)]
pub(super) struct Ahead(*const u8);

impl Ahead {
    /// From line `skipped` of `next` on. Where there is none the stretch begins again: what is there already costs
    /// nothing.
    #[inline(always)]
    pub(super) fn of<T>(next: &[T], skipped: usize) -> Self {
        let skipped = skipped * LINE;
        let skipped = if skipped < size_of_val(next) { skipped } else { 0 };
        Self(next.as_ptr().cast::<u8>().wrapping_add(skipped))
    }

    /// Brings a line.
    #[inline(always)]
    pub(super) fn bring(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing that the program sees, and fails for no address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.0.cast());
        }
        self.0 = self.0.wrapping_add(LINE);
    }
}
