//! The progress of a stage: a bar of the [frontend](crate::frontend) that a timer moves, so that a step which takes long
//! shows what it has done so far. It does not know terminals.

mod engine;

pub(crate) use engine::Counted;

use crate::frontend::{self, Bar};
use crate::printable::harmless_line;
use ruminate_train::microbatches_done;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two movements of a bar.
const TICK: Duration = Duration::from_millis(200);

/// What ends before needs no bar, where the bar is a [patient](Progress::patient) one.
const PATIENCE: Duration = Duration::from_millis(600);

/// The progress of one stage, shown where there is a frontend.
pub(crate) struct Progress {
    shared: Option<Arc<Shared>>,
    counter: Counter,
}

/// What the owner of a bar and its timer share.
struct Shared {
    shown: Mutex<Shown>,
    ended: Condvar,
}

struct Shown {
    /// None once the stage is over.
    bar: Option<Box<dyn Bar>>,
    /// Something else has the terminal.
    is_paused: bool,
    started: Instant,
    /// Nothing is shown before.
    from: Duration,
    /// The newest step, where it was too early to show it.
    early: Option<(u64, String)>,
}

impl Shown {
    /// The bar, where it may be shown by now.
    fn due(&mut self) -> Option<&mut Box<dyn Bar>> {
        let bar = self.bar.as_mut().filter(|_| self.started.elapsed() >= self.from)?;
        if let Some((done, message)) = self.early.take() {
            bar.at(done, &message);
        }
        Some(bar)
    }
}

impl Shared {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Of `total` steps, `done` of them in an earlier process. A total of 0 is not known.
    pub(crate) fn new(label: &str, total: u64, done: u64) -> Self {
        Self::from(label, total, done, Duration::ZERO)
    }

    /// The same for what mostly takes no time: without a bar where it ends soon.
    pub(crate) fn patient(label: &str, total: u64) -> Self {
        Self::from(label, total, 0, PATIENCE)
    }

    /// Of a data file that is read and tokenized: without a bar where that takes no time.
    pub(crate) fn reading(path: &Path) -> Self {
        Self::saying("reading", &harmless_line(&path.display().to_string()))
    }

    /// Of what has no steps, in words: without a bar where it takes no time.
    pub(crate) fn saying(label: &str, what: &str) -> Self {
        let mut progress = Self::patient(label, 0);
        progress.at(0, what);
        progress
    }

    fn from(label: &str, total: u64, done: u64, from: Duration) -> Self {
        Self::of(frontend::bar(label, total, done), from)
    }

    fn of(bar: Option<Box<dyn Bar>>, from: Duration) -> Self {
        let counter = Counter::default();
        counter.begin();
        let shared = bar.map(|bar| {
            let started = Instant::now();
            let shown = Shown { bar: Some(bar), is_paused: false, started, from, early: None };
            Arc::new(Shared { shown: Mutex::new(shown), ended: Condvar::new() })
        });
        if let Some(shared) = &shared {
            let (shared, counter) = (shared.clone(), counter.clone());
            // Without a thread the bar moves by steps alone.
            let _ = thread::Builder::new().name("progress".into()).spawn(move || tick(&shared, &counter));
        }
        Self { shared, counter }
    }

    /// Counts what is done within a step.
    pub(crate) fn counter(&self) -> Counter {
        self.counter.clone()
    }

    /// See [`Bar::at`]. What is not ours in the message has been made [`harmless`](crate::printable::harmless) before.
    pub(crate) fn at(&mut self, done: u64, message: &str) {
        self.counter.begin();
        self.set(done, message);
    }

    /// The same in the middle of what is counted: of a bar whose steps are many small ones.
    pub(crate) fn set(&mut self, done: u64, message: &str) {
        let Some(shared) = &self.shared else { return };
        let mut shown = shared.shown();
        shown.is_paused = false;
        match shown.due() {
            Some(bar) => bar.at(done, message),
            None => shown.early = Some((done, message.to_owned())),
        }
    }

    /// See [`Bar::sample`].
    pub(crate) fn sample(&mut self, mut line: impl FnMut(bool) -> String) {
        self.with((), |bar| bar.sample(&mut line));
    }

    /// See [`Bar::pause`].
    pub(crate) fn pause(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut shown = shared.shown();
        shown.is_paused = true;
        if let Some(bar) = &mut shown.bar {
            bar.pause();
        }
    }

    /// The terminal is free again: the step that begins now is shown from its beginning.
    pub(crate) fn resume(&mut self) {
        self.counter.begin();
        if let Some(shared) = &self.shared {
            shared.shown().is_paused = false;
        }
    }

    /// See [`Bar::colours`].
    pub(crate) fn colours(&self) -> bool {
        self.with(false, |bar| bar.colours())
    }

    /// See [`Bar::alarm`].
    pub(crate) fn alarm(&self, line: &str) {
        self.with((), |bar| bar.alarm(line));
    }

    /// See [`Bar::say`].
    pub(crate) fn say(&self, line: &str) {
        self.with((), |bar| bar.say(line));
    }

    fn with<T>(&self, without: T, of: impl FnOnce(&mut Box<dyn Bar>) -> T) -> T {
        let Some(shared) = &self.shared else { return without };
        shared.shown().bar.as_mut().map_or(without, of)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        // The timer holds the rest, and finds no bar.
        drop(shared.shown().bar.take());
        shared.ended.notify_all();
    }
}

/// Moves a bar until its stage is over.
fn tick(shared: &Shared, counter: &Counter) {
    let mut shown = shared.shown();
    while shown.bar.is_some() {
        let waited = shared.ended.wait_timeout(shown, TICK);
        shown = waited.unwrap_or_else(PoisonError::into_inner).0;
        if shown.is_paused {
            continue;
        }
        if let Some(bar) = shown.due() {
            bar.tick(&counter.text());
        }
    }
}

/// What was done since the last step of a bar. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Tokens that were drawn.
    tokens: AtomicU64,
    /// Microbatches that this process had learned from before.
    microbatches: AtomicU64,
}

impl Counter {
    /// A token was drawn.
    pub(crate) fn token(&self) {
        self.0.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// A step begins.
    fn begin(&self) {
        self.0.tokens.store(0, Ordering::Relaxed);
        self.0.microbatches.store(microbatches_done(), Ordering::Relaxed);
    }

    /// What was done so far, for people; empty where nothing was counted.
    fn text(&self) -> String {
        let tokens = self.0.tokens.load(Ordering::Relaxed);
        let learned = microbatches_done().saturating_sub(self.0.microbatches.load(Ordering::Relaxed));
        let mut text = String::new();
        if tokens > 0 {
            let _ = write!(text, "{tokens} tokens"); // into a string
        }
        if learned > 0 {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{learned} microbatches");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, Progress, TICK};
    use crate::frontend::Bar;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::sleep;
    use std::time::Duration;

    /// A bar that keeps what it is told.
    struct Kept(Sender<String>);

    impl Bar for Kept {
        fn at(&mut self, done: u64, message: &str) {
            let _ = self.0.send(format!("at {done} {message}"));
        }

        fn tick(&mut self, within: &str) {
            let _ = self.0.send(format!("tick {within}"));
        }

        fn sample(&mut self, _: &mut dyn FnMut(bool) -> String) {}

        fn pause(&mut self) {
            let _ = self.0.send("pause".to_owned());
        }

        fn colours(&self) -> bool {
            false
        }

        fn alarm(&self, _: &str) {}

        fn say(&self, _: &str) {}
    }

    fn progress(from: Duration) -> (Progress, Receiver<String>) {
        let (sender, told) = channel();
        (Progress::of(Some(Box::new(Kept(sender))), from), told)
    }

    #[test]
    fn a_bar_moves_within_a_step_and_says_what_was_done_so_far() {
        let (mut progress, told) = progress(Duration::ZERO);
        let counter = progress.counter();
        (0..3).for_each(|_| counter.token());
        let wait = 20 * TICK;
        assert!(told.recv_timeout(wait).expect("within the first step").starts_with("tick 3 tokens"));
        progress.at(1, "reward 0.5");
        assert!(told.iter().any(|line| line == "at 1 reward 0.5"));
        let second = told.recv_timeout(wait).expect("within the second");
        assert!(
            second.starts_with("tick ") && !second.contains("tokens"),
            "counted from the step on: {second}"
        );
        progress.pause();
        assert!(told.iter().any(|line| line == "pause"));
        sleep(3 * TICK);
        assert!(told.try_recv().is_err(), "something else has the terminal");
        progress.resume();
        assert!(told.recv_timeout(wait).expect("within the third").starts_with("tick"));
        progress.at(2, "");
        assert!(told.iter().any(|line| line == "at 2 "));
        drop(progress);
        assert!(told.iter().all(|line| line.starts_with("tick")), "and the bar is gone: the iterator ends");
    }

    #[test]
    fn what_ends_soon_is_not_shown_and_what_does_not_is_shown_where_it_stands() {
        let (mut soon, told) = progress(PATIENCE);
        soon.at(5, "rows");
        drop(soon);
        assert_eq!(told.iter().count(), 0);
        let (mut late, told) = progress(PATIENCE);
        late.at(5, "rows");
        assert_eq!(told.recv_timeout(20 * PATIENCE), Ok("at 5 rows".to_owned()));
        drop(late);
    }
}
