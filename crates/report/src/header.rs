//! What a run is and what came of it, in a few numbers: the head of the page.

use crate::chart::number;
use crate::escape::{Text, clipped, json};
use crate::folder::Run;
use ruminate_run::rows::{Figures, Kind, Label, label};
use serde_json::Value;
use std::fmt::Write as _;

/// The run in a line: what it is and how far it has come.
pub(crate) fn line(run: &Run) -> String {
    let text = |key: &str| run.config.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut parts = Vec::new();
    parts.extend(text("command"));
    parts.extend(task(run));
    parts.extend(run.config.get("seed").map(|seed| format!("seed {seed}")));
    parts.extend(text("device").map(|device| format!("on {device}")));
    parts.push(progress(run));
    parts.iter().map(|part| Text(&clipped(part, 100)).to_string()).collect::<Vec<_>>().join(" · ")
}

fn task(run: &Run) -> Option<String> {
    let data = run.config.get("data")?;
    data.get("task").or(data.get("train")).and_then(Value::as_str).map(str::to_owned)
}

fn progress(run: &Run) -> String {
    let step = run.metrics.steps.last().copied().unwrap_or(0);
    match run.complete {
        true if step > 0 => format!("complete, {step} {}", steps(step)),
        true => "complete".to_owned(),
        false if step > 0 => format!("not complete: {step} {} so far", steps(step)),
        false => "measured".to_owned(),
    }
}

fn steps(count: u64) -> &'static str {
    if count == 1 { "step" } else { "steps" }
}

/// Alarms that are shown, and characters of one.
const MAX_ALARMS: usize = 40;
const MAX_ADVICE: usize = 600;

/// The alarms of the run, which a reader must see before any number; nothing where there are none.
pub(crate) fn alarms(run: &Run) -> String {
    if run.alarms.is_empty() {
        return String::new();
    }
    let mut html = "<section class=\"alarms\"><h2>Alarms</h2><ul>".to_owned();
    for alarm in run.alarms.iter().take(MAX_ALARMS) {
        let _ = write!(
            html,
            "<li><b>step {}, {}</b> {}</li>",
            alarm.step.unwrap_or_default(),
            Text(&clipped(&alarm.name, 40)),
            Text(&clipped(&alarm.advice, MAX_ADVICE))
        );
    }
    if let Some(more @ 1..) = run.alarms.len().checked_sub(MAX_ALARMS) {
        let _ = write!(html, "<li>and {more} more, in metrics.jsonl and eval.jsonl</li>");
    }
    html + "</ul></section>\n"
}

/// The numbers that a reader wants first.
pub(crate) fn tiles(run: &Run) -> String {
    let is_main = |row: &&Figures| row.set == "validation" && row.numbers.contains_key("pass@1");
    let main: Vec<&Figures> = run.evaluations.iter().filter(is_main).collect();
    let (Some(first), Some(last)) = (main.first(), main.last()) else { return training_tiles(run) };
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    let tokens = |value: f64| number(value, 3);
    let mut html = String::new();
    html += &tile("pass@1, validation", first, last, "pass@1", &share);
    for name in ["pass@1_greedy", "thought_length", "all_steps", "format"] {
        let Label { text, kind } = label(name);
        let told: &dyn Fn(f64) -> String = if kind == Kind::Share { &share } else { &tokens };
        html += &tile(&text, first, last, name, told);
    }
    format!("<dl class=\"tiles\">{html}{}</dl>", time(run))
}

fn training_tiles(run: &Run) -> String {
    let ends = |name: &str| {
        let values: Vec<f64> = run.metrics.column(name)?.iter().copied().flatten().collect();
        Some((*values.first()?, *values.last()?))
    };
    let tile = |(name, label): (&str, &str)| {
        let (first, last) = ends(name)?;
        Some(format!("<div><dt>{label}</dt><dd><s>{}</s> {}</dd></div>", number(first, 3), number(last, 3)))
    };
    let tiles: String = [("loss", "loss"), ("reward", "reward")].into_iter().filter_map(tile).collect();
    let all = tiles + &validation_loss(run) + &time(run);
    if all.is_empty() { all } else { format!("<dl class=\"tiles\">{all}</dl>") }
}

/// The loss of held-out samples, which supervised runs measure.
fn validation_loss(run: &Run) -> String {
    let rows: Vec<&Figures> = run.evaluations.iter().filter(|row| row.numbers.contains_key("loss")).collect();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return String::new() };
    tile("loss, validation", first, last, "loss", &|value| number(value, 3))
}

fn tile(label: &str, first: &Figures, last: &Figures, key: &str, told: &dyn Fn(f64) -> String) -> String {
    let Some(&after) = last.numbers.get(key) else { return String::new() };
    let before = first.numbers.get(key).filter(|_| first.step < last.step);
    let before = before.map(|&value| format!("<s>{}</s> ", told(value))).unwrap_or_default();
    let interval = last
        .interval
        .filter(|_| key == "pass@1")
        .map(|[low, high]| format!("<small>95 %: {:.1}–{:.1}</small>", 100.0 * low, 100.0 * high));
    format!("<div><dt>{label}</dt><dd>{before}{}</dd>{}</div>", told(after), interval.unwrap_or_default())
}

/// How long the steps took, and how many tokens they saw.
fn time(run: &Run) -> String {
    let Some(times) = run.metrics.column("step_time_s") else { return String::new() };
    let seconds: f64 = times.iter().flatten().sum();
    let tokens = run.metrics.column("num_tokens").and_then(|column| column.iter().flatten().last().copied());
    let tokens = tokens.map(|count| format!("<small>{} tokens</small>", spaced(count as u64)));
    let time = match seconds as u64 {
        0..120 => format!("{seconds:.0} s"),
        120..7200 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    };
    format!("<div><dt>time of the steps</dt><dd>{time}</dd>{}</div>", tokens.unwrap_or_default())
}

/// A count with narrow spaces.
fn spaced(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Versions, commit, and the resolved recipe, folded.
pub(crate) fn config(run: &Run) -> String {
    if run.config.is_empty() {
        return "<p class=\"caption\">config.json is not there.</p>".to_owned();
    }
    let at = |path: [&str; 2]| {
        run.config.get(path[0]).and_then(|table| table.get(path[1])).and_then(Value::as_str)
    };
    let commit = run.config.get("git_commit").and_then(Value::as_str);
    let mut html = "<dl class=\"facts\">".to_owned();
    for (label, value) in
        [("ruminate", at(["versions", "ruminate"])), ("Burn", at(["versions", "burn"])), ("commit", commit)]
    {
        if let Some(value) = value {
            let _ = write!(html, "<div><dt>{label}</dt><dd>{}</dd></div>", Text(&clipped(value, 100)));
        }
    }
    let pretty = serde_json::to_string_pretty(&run.config).unwrap_or_else(|_| json(&run.config));
    let _ = write!(
        html,
        "</dl><details class=\"more\"><summary>The resolved recipe, config.json</summary><pre>{}</pre></details>",
        Text(&clipped(&pretty, 60_000))
    );
    html
}

#[cfg(test)]
mod tests {
    use super::spaced;

    #[test]
    fn counts_are_read_at_a_glance() {
        assert_eq!([7, 1234, 1_234_567].map(spaced), ["7", "1\u{202f}234", "1\u{202f}234\u{202f}567"]);
    }
}
