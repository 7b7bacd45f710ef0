//! Ctrl-C, SIGTERM, and the death of the program that started this one. Once: finish the step, save, end. Twice: end now;
//! what is on disk is whole, since every save is a rename.

use super::say;
use crate::exit;
use ruminate::interrupt::request;
use std::io;
use std::sync::{Mutex, PoisonError};

/// What the command does at the first signal.
static THEN: Mutex<&str> = Mutex::new("");

/// Catches the signals from here on; `then` says what the command does at the first one. The last call counts.
pub(crate) fn catch(then: &'static str) {
    *THEN.lock().unwrap_or_else(PoisonError::into_inner) = then;
    // Failing to install it costs the graceful end, not the run; it is installed once.
    let _ = ctrlc::set_handler(|| {
        if request() {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        let then = *THEN.lock().unwrap_or_else(PoisonError::into_inner);
        say(format_args!("\ninterrupted: {then}; once more stops at once\n"));
    });
}

/// From here on the end of standard input counts as the first signal. A program that is killed can signal nothing, but the
/// pipe that it held ends with it.
pub(crate) fn catch_end_of_input() {
    std::thread::spawn(|| {
        // A pipe that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        request();
        eprintln!("standard input has ended: finishing the step and saving");
    });
}

/// Catches the signals of a conversation: the first one ends the answer that is being written, and one more, or one
/// between answers, ends the program.
pub(crate) fn catch_in_chat() {
    next_ends_all();
    let _ = ctrlc::set_handler(|| {
        if request() {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
}

/// Nothing is being written that a signal could end, but the program.
pub(crate) fn next_ends_all() {
    request();
}
