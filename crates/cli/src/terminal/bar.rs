//! Progress for people, on standard error: a bar on a terminal, a line every few seconds in a pipe.

use super::styled;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ruminate::frontend::Bar;
use ruminate::printable::{harmless, wrapped};
use ruminate::thoughts::Look;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Seconds between two lines in a pipe.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of one stage.
pub(super) struct TerminalBar {
    label: String,
    total: u64,
    first: u64,
    started: Instant,
    shown: Instant,
    shape: Option<Shape>,
}

/// What a terminal shows.
struct Shape {
    /// The bar, and below it a sample once there is one.
    lines: MultiProgress,
    bar: ProgressBar,
    sample: Option<ProgressBar>,
    is_drawn: bool,
}

impl Shape {
    fn draw(&mut self) {
        if !std::mem::replace(&mut self.is_drawn, true) {
            self.lines.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl TerminalBar {
    /// Of `total` steps, `done` of them in an earlier process.
    pub(super) fn new(label: &str, total: u64, done: u64) -> Self {
        let shape = stderr().is_terminal().then(|| {
            // Drawn from its first step on: what is written before would leave an empty bar above it.
            let lines = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
            let bar = lines.add(ProgressBar::new(total));
            let style = ProgressStyle::with_template(
                "{prefix} {bar:12.cyan/dim} {pos}/{len} {elapsed} < {eta} {wide_msg}",
            );
            // The template is constant; without it the bar has indicatif's own look.
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(harmless(label).into_owned());
            bar.set_position(done);
            bar.reset_eta();
            Shape { lines, bar, sample: None, is_drawn: false }
        });
        let now = Instant::now();
        Self { label: label.to_owned(), total, first: done, started: now, shown: now, shape }
    }

    fn times(&self, done: u64) -> String {
        let elapsed = self.started.elapsed();
        let here = done.saturating_sub(self.first);
        if done == self.total || here == 0 {
            return clock(elapsed);
        }
        let left = elapsed.mul_f64((self.total.saturating_sub(done)) as f64 / here as f64);
        format!("{} < {}", clock(elapsed), clock(left))
    }
}

impl Bar for TerminalBar {
    fn at(&mut self, done: u64, message: &str) {
        match &mut self.shape {
            Some(shown) => {
                shown.draw();
                shown.bar.set_message(message.to_owned());
                shown.bar.set_position(done);
            }
            None if done == self.total || self.shown.elapsed() >= LINE_INTERVAL => {
                self.shown = Instant::now();
                eprintln!("{:<12} {done}/{}  {}  {message}", self.label, self.total, self.times(done));
            }
            None => {}
        }
    }

    fn sample(&mut self, line: &mut dyn FnMut(bool) -> String) {
        let Some(shown) = &mut self.shape else { return };
        shown.draw();
        let Shape { lines, sample, .. } = shown;
        let sample = sample.get_or_insert_with(|| {
            let below = lines.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                below.set_style(style);
            }
            below
        });
        sample.set_message(line(std::env::var_os("NO_COLOR").is_none()));
        sample.tick();
    }

    fn pause(&mut self) {
        if let Some(shown) = &mut self.shape
            && std::mem::replace(&mut shown.is_drawn, false)
        {
            let _ = shown.lines.clear(); // a terminal that does not take it shows an old line
            shown.lines.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn colours(&self) -> bool {
        self.shape.is_some() && Look::of(&stderr()) == Look::Terminal
    }

    fn alarm(&self, line: &str) {
        match (&self.shape, self.colours()) {
            (Some(Shape { lines, .. }), true) => lines.suspend(|| {
                styled(&format!("\x1b[1;33m{}\x1b[0m\n", harmless(&wrapped(line))));
            }),
            (Some(_), false) => self.say(&wrapped(line)),
            (None, _) => self.say(line),
        }
    }

    fn say(&self, line: &str) {
        match &self.shape {
            Some(Shape { lines, .. }) => lines.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for TerminalBar {
    fn drop(&mut self) {
        let Some(shown) = &mut self.shape else { return };
        if shown.bar.position() > self.first {
            shown.draw(); // it may be taken away for the last evaluation
            if let Some(sample) = &shown.sample {
                sample.finish_and_clear();
            }
            shown.bar.abandon(); // what it last showed stays
        }
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 3600 {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::clock;
    use std::time::Duration;

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(clock(Duration::from_secs(9)), "0:09");
        assert_eq!(clock(Duration::from_secs(605)), "10:05");
        assert_eq!(clock(Duration::from_secs(3_661)), "1:01:01");
    }
}
