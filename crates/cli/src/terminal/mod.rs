//! The terminal: messages and progress bars on standard error, and signals.

mod bar;
mod interrupt;
mod screen;
mod turns;

pub(crate) use interrupt::{catch_end_of_input, catch_in_chat, next_ends_all};
pub(crate) use turns::{Turn, Turns};

use bar::TerminalBar;
use ruminate::frontend::{Bar, Frontend};
use ruminate::printable::harmless;
use std::fmt;
use std::io::{self, Write};

/// Prints to standard error as [`harmless`] text. A closed stream (`2>&1 | tee log`, and `tee` is killed) ends no run.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    styled(&harmless(&message.to_string()));
}

/// Prints text with colours of ours to standard error, above the bar that is there. What is not ours in it has been made
/// [`harmless`] before.
pub(crate) fn styled(text: &str) {
    screen::above(|| raw(text));
}

/// The same where no bar can be in the way.
fn raw(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What the library prints by way of.
pub(crate) struct Terminal;

impl Frontend for Terminal {
    fn message(&self, text: &str) {
        styled(text);
    }

    fn bar(&self, label: &str, total: u64, done: u64) -> Box<dyn Bar> {
        Box::new(TerminalBar::new(label, total, done))
    }

    fn catch_interrupts(&self, then: &'static str) {
        interrupt::catch(then);
    }
}
