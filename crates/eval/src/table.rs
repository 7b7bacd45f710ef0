//! Evaluations side by side, as plain text for people. It does not know colours and terminals.

use ruminate_run::rows::{Evaluation, Kind, Slice, in_order, label};
use std::collections::{BTreeMap, BTreeSet};

/// A table with a column an evaluation, under its caller's heading ("before", "after", "teacher", ...): aligned, shares
/// in percent with one decimal, `-` where an evaluation lacks a metric that another has, no row that all lack. Ends
/// with a newline.
pub fn table(columns: &[(&str, &Evaluation)]) -> String {
    let mut rows = vec![Row::new("", columns, |_| None)];
    rows[0].cells = columns.iter().map(|(heading, _)| Some((*heading).to_owned())).collect();
    rows.push(Row::new("pass@1, greedy", columns, |r| r.pass_at_1_greedy.map(percent)));
    let unmeasured = || Some("not measured".to_owned());
    rows.push(Row::new("pass@1, sampled", columns, |r| r.pass_at_1.map(percent).or_else(unmeasured)));
    rows.push(Row::new("  95 % interval", columns, |r| {
        r.pass_at_1_ci.map(|[low, high]| format!("{:.1}-{}", 100.0 * low, percent(high)))
    }));
    rows.push(Row::new("cut off at the limit", columns, |r| Some(percent(r.truncated))));
    let ks: BTreeSet<usize> = columns.iter().filter_map(|(_, r)| r.at_k.map(|at| at.k)).collect();
    for k in ks {
        let at = |r: &Evaluation| r.at_k.filter(|at| at.k == k);
        rows.push(Row::new(&format!("pass@{k}"), columns, |r| at(r)?.pass.map(percent)));
        rows.push(Row::new(&format!("cons@{k}"), columns, |r| at(r)?.cons.map(percent)));
    }
    rows.push(Row::new("mean length (tokens)", columns, |r| {
        Some(format!("{:.1}", r.completion_length_mean))
    }));
    let names = columns.iter().flat_map(|(_, evaluation)| evaluation.measures.keys().map(String::as_str));
    for name in in_order(names) {
        let label = label(name);
        rows.push(Row::new(&label.text, columns, |evaluation| {
            evaluation.measures.get(name).map(|&value| match label.kind {
                Kind::Share => percent(value),
                Kind::Number => number(value),
            })
        }));
    }
    rows.push(Row::new("unscored completions", columns, |r| {
        (r.unscored > 0).then(|| r.unscored.to_string())
    }));
    rows.push(Row::new("problems", columns, |r| Some(r.n.to_string())));
    rows.retain(|row| row.cells.iter().any(Option::is_some));
    align(&rows)
}

/// From this share on, completions that were cut off make a figure doubtful.
const DOUBTFUL: f64 = 0.1;

/// What must stand beside the figures of one set's reports of which many completions were cut off, a line a finding;
/// empty where none has many. A line names reports by their headings.
pub fn cut_off(columns: &[(&str, &Evaluation)]) -> Vec<String> {
    let Some(set) = columns.first().map(|(_, report)| &report.set) else { return Vec::new() };
    let mut lines = Vec::new();
    for (heading, report) in columns.iter().filter(|(_, report)| report.truncated >= 1.0) {
        let limit = report.completion_length_mean;
        lines.push(format!(
            "{set} ({heading}): nothing was measured: every completion was cut off at {limit:.0} tokens; raise \
             `rollout.max_new_tokens`"
        ));
    }
    let is_doubtful = |report: &Evaluation| report.truncated > DOUBTFUL && report.truncated < 1.0;
    let doubtful: Vec<String> = columns
        .iter()
        .filter(|(_, report)| is_doubtful(report))
        .map(|(heading, report)| format!("{} ({heading})", percent(report.truncated)))
        .collect();
    if !doubtful.is_empty() {
        lines.push(format!(
            "{set}: {} of the completions were cut off at the length limit and are judged as they stand, so that pass@1 may be \
             too low; raise `rollout.max_new_tokens`",
            doubtful.join(", ")
        ));
    }
    lines
}

/// pass@1 by part, a row a part and a column a report, with the number of problems in the last; empty where there are
/// no parts. `what` heads the parts' names.
pub fn slice_table(what: &str, columns: &[(&str, &BTreeMap<String, Slice>)]) -> String {
    let parts: BTreeSet<&String> = columns.iter().flat_map(|(_, slices)| slices.keys()).collect();
    if parts.is_empty() {
        return String::new();
    }
    let headings = columns.iter().map(|(heading, _)| Some((*heading).to_owned()));
    let mut rows =
        vec![Row { label: what.to_owned(), cells: headings.chain([Some("problems".to_owned())]).collect() }];
    for part in parts {
        let slices = || columns.iter().map(|(_, slices)| slices.get(part));
        let problems = slices().flatten().map(|slice| slice.n.to_string()).next();
        let cells = slices().map(|slice| slice.map(|slice| percent(slice.pass_at_1))).chain([problems]);
        rows.push(Row { label: format!("  {part}"), cells: cells.collect() });
    }
    align(&rows)
}

struct Row {
    label: String,
    cells: Vec<Option<String>>,
}

impl Row {
    fn new(
        label: &str,
        columns: &[(&str, &Evaluation)],
        cell: impl Fn(&Evaluation) -> Option<String>,
    ) -> Self {
        Self {
            label: label.to_owned(),
            cells: columns.iter().map(|(_, evaluation)| cell(evaluation)).collect(),
        }
    }
}

/// Labels to the left, numbers to the right, two spaces between columns.
fn align(rows: &[Row]) -> String {
    let cell = |row: &Row, column: usize| row.cells[column].clone().unwrap_or_else(|| "-".to_owned());
    let label_width = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let columns = rows.first().map_or(0, |row| row.cells.len());
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Row| {
        let label = format!("{:<label_width$}", row.label);
        let cells =
            widths.iter().enumerate().map(|(column, &width)| format!("{:>width$}", cell(row, column)));
        std::iter::once(label).chain(cells).collect::<Vec<_>>().join("  ") + "\n"
    };
    rows.iter().map(line).collect()
}

/// Lengths with one decimal, small numbers with three.
fn number(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
