//! Ctrl-C and SIGTERM. Once: finish the step, save, end. Twice: end now; what is on disk is whole, since every save
//! is a rename. It refuses to know what is being interrupted.

use crate::exit;
use std::sync::atomic::{AtomicU32, Ordering};

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Catches the signals from here on.
pub(crate) fn catch() {
    // Failing to install it costs the graceful end, not the run.
    let _ = ctrlc::set_handler(|| {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        eprintln!("\ninterrupted: finishing the step and saving; once more stops at once");
    });
}

/// Catches the signals of a conversation: the first one ends the answer that is being written, and one more, or one
/// between answers, ends the program.
pub(crate) fn catch_in_chat() {
    next_ends_all();
    let _ = ctrlc::set_handler(|| {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
}

/// Nothing is being written that a signal could end, but the program.
pub(crate) fn next_ends_all() {
    SIGNALS.store(1, Ordering::SeqCst);
}

/// As if no signal had come.
pub(crate) fn forget() {
    SIGNALS.store(0, Ordering::SeqCst);
}

/// Whether a signal has come.
pub(crate) fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}
