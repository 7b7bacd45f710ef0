//! Progress for people, on standard error: a bar on a terminal, a line every few seconds in a pipe.

use super::raw;
use super::screen::Lines;
use indicatif::{ProgressBar, ProgressStyle};
use ruminate::frontend::Bar;
use ruminate::printable::{harmless, wrapped};
use ruminate::thoughts::Look;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Time to the first line in a pipe.
const FIRST_LINE: Duration = Duration::from_millis(700);

/// Time between two lines in a pipe.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of one stage.
pub(super) struct TerminalBar {
    label: String,
    total: u64,
    first: u64,
    done: u64,
    message: String,
    /// What was done since the last step.
    within: String,
    started: Instant,
    /// The last line in a pipe.
    shown: Option<Instant>,
    shape: Option<Shape>,
}

/// What a terminal shows.
struct Shape {
    /// The bar, and below it a sample once there is one.
    lines: Lines,
    bar: ProgressBar,
    sample: Option<ProgressBar>,
}

impl TerminalBar {
    /// Of `total` steps, `done` of them in an earlier process. A total of 0 is not known.
    pub(super) fn new(label: &str, total: u64, done: u64) -> Self {
        let shape = stderr().is_terminal().then(|| {
            // Drawn once it moves: what is written before would leave an empty bar above it.
            let lines = Lines::hidden();
            let bar = lines.add(ProgressBar::new(total));
            let template = if total == 0 {
                "{prefix} {elapsed} {wide_msg}"
            } else {
                "{prefix} {bar:12.cyan/dim} {pos}/{len} {elapsed} < {eta} {wide_msg}"
            };
            // The template is constant; without it the bar has indicatif's own look.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(harmless(label).into_owned());
            bar.set_position(done);
            bar.reset_eta();
            Shape { lines, bar, sample: None }
        });
        let (message, within) = (String::new(), String::new());
        Self {
            label: label.to_owned(),
            total,
            first: done,
            done,
            message,
            within,
            started: Instant::now(),
            shown: None,
            shape,
        }
    }

    fn times(&self) -> String {
        let elapsed = self.started.elapsed();
        let here = self.done.saturating_sub(self.first);
        if self.done >= self.total || here == 0 {
            return clock(elapsed);
        }
        let left = elapsed.mul_f64((self.total.saturating_sub(self.done)) as f64 / here as f64);
        format!("{} < {}", clock(elapsed), clock(left))
    }

    /// What was done within the step, then the numbers of the last one; without a total the number of steps before.
    fn text(&self) -> String {
        let counted = format!("{} {}", self.done, self.message);
        let message = if self.total == 0 && self.done > 0 { &counted } else { &self.message };
        let parts = [self.within.as_str(), message.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }

    /// Whether it is time for a line in a pipe.
    fn is_due(&self) -> bool {
        match self.shown {
            None => self.started.elapsed() >= FIRST_LINE,
            Some(shown) => shown.elapsed() >= LINE_INTERVAL,
        }
    }

    fn line(&mut self) {
        self.shown = Some(Instant::now());
        let done = if self.total == 0 { String::new() } else { format!("{}/{}  ", self.done, self.total) };
        let line = format!("{:<12} {done}{}  {}", self.label, self.times(), self.text());
        eprintln!("{}", line.trim_end());
    }
}

impl Bar for TerminalBar {
    fn at(&mut self, done: u64, message: &str) {
        (self.done, self.message) = (done, message.to_owned());
        self.within.clear();
        match &self.shape {
            Some(shown) => {
                shown.lines.take();
                shown.bar.set_message(self.text());
                shown.bar.set_position(done);
            }
            None if (done == self.total && done > 0) || self.is_due() => self.line(),
            None => {}
        }
    }

    fn tick(&mut self, within: &str) {
        within.clone_into(&mut self.within);
        match &self.shape {
            // Another bar that has the screen keeps it.
            Some(shown) if shown.lines.may_be_drawn() => {
                shown.lines.take();
                shown.bar.set_message(self.text());
                shown.bar.tick();
            }
            None if self.is_due() => self.line(),
            _ => {}
        }
    }

    fn sample(&mut self, line: &mut dyn FnMut(bool) -> String) {
        let Some(shown) = &mut self.shape else { return };
        shown.lines.take();
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
        if let Some(shown) = &self.shape {
            shown.lines.leave();
        }
    }

    fn colours(&self) -> bool {
        self.shape.is_some() && Look::of(&stderr()) == Look::Terminal
    }

    fn alarm(&self, line: &str) {
        match (&self.shape, self.colours()) {
            (Some(Shape { lines, .. }), true) => lines.suspend(|| {
                raw(&format!("\x1b[1;33m{}\x1b[0m\n", harmless(&wrapped(line))));
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
        let Some(shown) = &self.shape else { return };
        if shown.bar.position() > self.first && self.total > 0 {
            shown.lines.take(); // it may be taken away for the last evaluation
            shown.bar.set_message(self.message.clone());
            if let Some(sample) = &shown.sample {
                sample.finish_and_clear();
            }
            shown.bar.abandon(); // what it last showed stays
            shown.lines.stay();
        } else {
            shown.bar.finish_and_clear();
            shown.lines.leave();
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
