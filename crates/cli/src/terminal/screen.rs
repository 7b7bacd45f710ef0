//! Which bar has the screen: one at a time, and messages are written above it.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lines that are on the screen.
static ON_SCREEN: Mutex<Option<Lines>> = Mutex::new(None);

fn on_screen() -> MutexGuard<'static, Option<Lines>> {
    ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of one bar: itself, and what stands below it. Clones are the same lines.
#[derive(Clone)]
pub(super) struct Lines {
    id: u64,
    lines: MultiProgress,
}

impl Lines {
    /// Lines that are not on the screen.
    pub(super) fn hidden() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, lines: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
    }

    pub(super) fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.lines.add(bar)
    }

    /// Gives them the screen.
    pub(super) fn take(&self) {
        let mut drawn = on_screen();
        if drawn.as_ref().is_some_and(|drawn| drawn.id == self.id) {
            return;
        }
        if let Some(other) = drawn.take() {
            other.hide();
        }
        self.lines.set_draw_target(ProgressDrawTarget::stderr());
        *drawn = Some(self.clone());
    }

    /// Whether they have the screen, or none have it.
    pub(super) fn may_be_drawn(&self) -> bool {
        on_screen().as_ref().is_none_or(|drawn| drawn.id == self.id)
    }

    /// Takes them off the screen.
    pub(super) fn leave(&self) {
        if let Some(own) = on_screen().take_if(|drawn| drawn.id == self.id) {
            own.hide();
        }
    }

    /// They change no more, and what they last showed stays.
    pub(super) fn stay(&self) {
        on_screen().take_if(|drawn| drawn.id == self.id);
    }

    /// Writes with these lines out of the way.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.lines.suspend(write);
    }

    fn hide(&self) {
        let _ = self.lines.clear(); // a terminal that does not take it shows an old line
        self.lines.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Writes with the bar that is there out of the way.
pub(super) fn above(write: impl FnOnce()) {
    match on_screen().as_ref() {
        Some(drawn) => drawn.suspend(write),
        None => write(),
    }
}
