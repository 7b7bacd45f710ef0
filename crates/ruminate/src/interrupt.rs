//! Requests to end a pipeline early: it finishes its step, saves, and returns
//! [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted). What is on disk is whole at any time, since every save is
//! a rename. Signals are the frontend's business.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks what runs in this process to end. Returns whether it had been asked before.
pub fn request() -> bool {
    REQUESTED.swap(true, Ordering::SeqCst)
}

/// Takes a request back.
pub fn clear() {
    REQUESTED.store(false, Ordering::SeqCst);
}

/// Whether what runs has been asked to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
