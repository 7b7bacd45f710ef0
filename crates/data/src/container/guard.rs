//! Calls into decoders that may panic on a malformed file: a panic is an error of reading.

use super::damaged;
use std::any::Any;
use std::cell::Cell;
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What a call gives, or the error that its panic stands for. What panicked is not used again: an error ends the reading.
pub(super) fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    outcome.unwrap_or_else(|payload| Err(damaged(format!("it is damaged ({})", message(payload.as_ref())))))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no reason is known".to_owned()).chars().take(200).collect()
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

/// A stream whose panics are errors, and that has ended after one.
pub(super) struct Guarded<R> {
    input: Option<R>,
}

impl<R> Guarded<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: Some(input) }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut input) = self.input.take() else { return Ok(0) };
        let (input, read) = guarded(move || {
            let read = input.read(buffer)?;
            Ok((input, read))
        })?;
        self.input = Some(input);
        Ok(read)
    }
}
