//! Guarded calls into the `tokenizers` crate, which panics on some malformed files. Does not interpret what is called.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Why the library gives nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// Whether it is no error of the library's own.
    pub(crate) panicked: bool,
}

/// What the library gives, or why it does not: its own error, or a panic's message. A tokenizer that panicked is not used
/// again where it could have been left half-changed: changes are made on loading only, and an error ends the loading.
pub(crate) fn guarded<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure { reason: error.to_string(), panicked: false }),
        Err(payload) => {
            let message = payload.downcast_ref::<&str>().map(|message| (*message).to_owned());
            let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
            let message = message.as_deref().unwrap_or("no message");
            Err(Failure { reason: format!("what makes the library panic: {message}"), panicked: true })
        }
    }
}

/// Keeps panics that become errors of this crate off standard error, for the whole process: they are reported once, as errors.
pub fn silence_caught_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !GUARDED.get() {
            hook(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::{Failure, guarded};

    #[test]
    fn a_panic_is_an_error() {
        let failed = |reason: &str, panicked| Err(Failure { reason: reason.to_owned(), panicked });
        let panicking = guarded::<(), String>(|| panic!("no piece {}", 7));
        assert_eq!(panicking, failed("what makes the library panic: no piece 7", true));
        assert_eq!(guarded::<(), _>(|| Err("no")), failed("no", false));
        assert_eq!(guarded::<_, String>(|| Ok(1)), Ok(1));
    }
}
