//! What the program around this library provides: where messages for people go, progress bars, and what a signal does.
//!
//! A process has one frontend, as it has one terminal. Without one the library prints nothing.

use crate::printable::harmless;
use std::fmt;
use std::sync::OnceLock;

/// The program around the library.
pub trait Frontend: Send + Sync {
    /// Prints text for people as it is: it ends its own lines, and no control character is in it.
    fn message(&self, text: &str);

    /// A progress bar of `total` steps, `done` of them in an earlier process. A total of 0 is not known.
    fn bar(&self, label: &str, total: u64, done: u64) -> Box<dyn Bar>;

    /// From here on a signal is a request to end ([`interrupt::request`](crate::interrupt::request)); `then` says what
    /// the command does at the first one.
    fn catch_interrupts(&self, then: &'static str);
}

/// The progress of one stage.
pub trait Bar: Send {
    /// `done` steps are done; `message` has the numbers that matter.
    fn at(&mut self, done: u64, message: &str);

    /// Time passes within a step; `within` says what was done in it so far, and is empty where that is not counted. Called a
    /// few times a second, by another thread than [`at`](Self::at), never at the same time.
    fn tick(&mut self, within: &str) {
        let _ = within;
    }

    /// The newest completion in one line, made by `line` where it is shown; `line` is told whether there are colours.
    fn sample(&mut self, line: &mut dyn FnMut(bool) -> String);

    /// Takes the bar away until the next step: something else has the terminal meanwhile.
    fn pause(&mut self);

    /// Whether there is a terminal that takes colours.
    fn colours(&self) -> bool;

    /// A line that stays and must be seen.
    fn alarm(&self, line: &str);

    /// A line that stays, above the bar.
    fn say(&self, line: &str);
}

static FRONTEND: OnceLock<Box<dyn Frontend>> = OnceLock::new();

/// Sets the frontend of this process. The first call counts.
pub fn set(frontend: Box<dyn Frontend>) {
    let _ = FRONTEND.set(frontend);
}

/// Prints a message as [`harmless`] text: what the library's macro `notice!` is given.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    if let Some(frontend) = FRONTEND.get() {
        frontend.message(&harmless(&message.to_string()));
    }
}

/// From here on a signal is a request to end.
pub(crate) fn catch_interrupts(then: &'static str) {
    if let Some(frontend) = FRONTEND.get() {
        frontend.catch_interrupts(then);
    }
}

/// A bar, where there is a frontend.
pub(crate) fn bar(label: &str, total: u64, done: u64) -> Option<Box<dyn Bar>> {
    FRONTEND.get().map(|frontend| frontend.bar(label, total, done))
}
