//! Data files as the doctor reads them: rows, duplicates, prompts with different answers, and prompts that training and
//! evaluation share. Reading is bounded by time; it does not know tokenizers and verifiers.

use super::findings::{Finding, percent};
use crate::error::ErrorKind;
use crate::recipe::{BadLines as OfBadLines, Data};
use ruminate_data::container;
use ruminate_data::jsonl::{self, BadLines, Mismatch, Row, TaskFormat};
use ruminate_data::split::is_validation;
use ruminate_data::{Prompt, Task};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rows that are kept for a closer look, spread evenly over the file; between this and twice as many.
const KEPT: usize = 256;

/// Share of rows with contradicting answers from which a file is refused.
const MANY_CONFLICTS: f64 = 0.01;

/// Rows of one prompt in a file.
struct OfPrompt {
    answer: u64,
    first: usize,
    rows: usize,
    /// The first row that gives another answer.
    other: Option<usize>,
}

/// How often prompts of a list are repeated, with equal answers or with others. Rows count from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Rows that are an earlier row again, prompt and answer.
    pub(super) duplicates: usize,
    /// Rows whose prompt has different answers in the list.
    pub(super) conflicting: usize,
    /// Two rows with one prompt and different answers.
    pub(super) example: Option<(usize, usize)>,
    /// Different prompts.
    pub(super) distinct: usize,
}

/// Counts repeated prompts, row by row.
#[derive(Default)]
struct Prompts {
    seen: HashMap<u64, OfPrompt>,
    rows: usize,
    duplicates: usize,
}

impl Prompts {
    fn add(&mut self, prompt: &str, answer: &str) {
        let row = self.rows;
        self.rows += 1;
        let answer = hash(&plain(answer));
        let mut duplicate = false;
        self.seen
            .entry(hash(prompt))
            .and_modify(|of| {
                of.rows += 1;
                duplicate = of.answer == answer;
                if !duplicate {
                    of.other.get_or_insert(row);
                }
            })
            .or_insert(OfPrompt { answer, first: row, rows: 1, other: None });
        self.duplicates += usize::from(duplicate);
    }

    fn repeats(&self) -> Repeats {
        let conflicts = || self.seen.values().filter_map(|of| Some((of, of.other?)));
        Repeats {
            duplicates: self.duplicates,
            conflicting: conflicts().map(|(of, _)| of.rows).sum(),
            example: conflicts().map(|(of, other)| (of.first, other)).min(),
            distinct: self.seen.len(),
        }
    }
}

/// What a row of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// A problem with its answer.
    Tasks,
    /// A conversation, or a prompt with its completion.
    Conversations,
}

/// A file that was looked at.
pub(super) struct Scan {
    pub(super) path: PathBuf,
    /// Good rows.
    pub(super) rows: usize,
    /// Whether the time was enough for the whole file.
    pub(super) complete: bool,
    /// The complaint about the first bad line, and how many there are.
    pub(super) bad: Option<(usize, String)>,
    /// Rows spread evenly over the file.
    pub(super) sample: Vec<Task>,
    pub(super) repeats: Repeats,
    /// Lines of `repeats.example`.
    pub(super) example: Option<(usize, usize)>,
    /// Rows that the validation split takes.
    pub(super) validation: usize,
    prompts: HashMap<u64, OfPrompt>,
}

#[derive(Default)]
struct Reading {
    prompts: Prompts,
    sample: Vec<Task>,
    /// Every so many-th row is kept.
    stride: usize,
    validation: usize,
}

impl Reading {
    fn add(&mut self, task: Task, validation: f64) {
        let text = task.prompt.text();
        if self.prompts.rows.is_multiple_of(self.stride.max(1)) {
            self.sample.push(task.clone());
            if self.sample.len() == 2 * KEPT {
                let mut at = 0;
                self.sample.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.stride = 2 * self.stride.max(1);
            }
        }
        self.validation += usize::from(is_validation(&text, validation));
        self.prompts.add(&text, &task.answer);
    }
}

/// A file that ends when the time is up.
struct Timed {
    lines: container::Lines,
    until: Instant,
    cut: bool,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            self.cut = true;
            return Ok(0);
        }
        self.lines.read(buffer)
    }
}

impl Scan {
    /// Reads a file for at most so long.
    ///
    /// # Errors
    /// Why it cannot be opened or read.
    pub(super) fn new(
        path: &Path,
        kind: Rows,
        format: &TaskFormat,
        validation: f64,
        time: Duration,
    ) -> Result<Self, ruminate_data::Error> {
        let mut timed = Timed { lines: container::open(path)?, until: Instant::now() + time, cut: false };
        let reading = RefCell::new(Reading::default());
        let parse = |line: &str| {
            let task = match kind {
                Rows::Tasks => format.parse(line)?,
                Rows::Conversations => conversation(line)?,
            };
            reading.borrow_mut().add(task, validation);
            Ok(())
        };
        let read = jsonl::read(BufReader::new(&mut timed), path, BadLines::Skip, parse)?;
        // Where the time was up in the middle of a line, that one is no bad line.
        let skipped = read.skipped.saturating_sub(usize::from(timed.cut));
        let complaint = read.first_skipped.filter(|_| skipped > 0).map(|error| error.to_string());
        let Reading { prompts, sample, validation, .. } = reading.into_inner();
        let sample = settled(sample);
        let repeats = prompts.repeats();
        let line = |row: usize| read.rows.get(row).map_or(0, |row| row.line);
        Ok(Self {
            path: path.to_owned(),
            rows: prompts.rows,
            complete: !timed.cut,
            bad: complaint.map(|complaint| (skipped, complaint)),
            sample,
            example: repeats.example.map(|(a, b)| (line(a), line(b))),
            repeats,
            validation,
            prompts: prompts.seen,
        })
    }

    /// Rows of this file whose prompt is in the other one, too.
    fn shared_with(&self, other: &Self) -> usize {
        let shared = self.prompts.iter().filter(|(prompt, _)| other.prompts.contains_key(*prompt));
        shared.map(|(_, of)| of.rows).sum()
    }
}

/// Tasks whose choices have letters, where they together say from which number they count. The reader of the whole file
/// complains where they do not.
fn settled(sample: Vec<Task>) -> Vec<Task> {
    let mut rows: Vec<Row<Task>> = sample.into_iter().map(|value| Row { line: 0, value }).collect();
    let _ = TaskFormat::settle(&mut rows);
    rows.into_iter().map(|row| row.value).collect()
}

/// A row for `sft`: what is asked, and what is learned as its answer.
fn conversation(line: &str) -> Result<Task, Mismatch> {
    let mut columns = jsonl::parse_object(line)?;
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => text,
        other => other.unwrap_or_default().to_string(),
    };
    let (asked, answer) = match columns.shift_remove("messages") {
        Some(Value::Array(mut messages)) => {
            let answer = text(messages.pop());
            (Value::Array(messages), answer)
        }
        _ => (columns.shift_remove("prompt").unwrap_or_default(), text(columns.shift_remove("completion"))),
    };
    let prompt = serde_json::from_value(asked.clone()).unwrap_or_else(|_| Prompt::Text(asked.to_string()));
    Ok(Task { prompt, answer, columns })
}

/// Checks each file, and the two against each other.
pub(super) fn check(kind: Rows, data: &Data, train: Option<&Scan>, eval: Option<&Scan>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        train.into_iter().chain(eval).flat_map(|scan| of_file(kind, data, scan)).collect();
    match (train, eval) {
        (Some(train), Some(eval)) => findings.extend(overlap(kind, train, eval)),
        (Some(train), None) if kind == Rows::Tasks => findings.extend(split(data, train)),
        _ => {}
    }
    findings
}

fn of_file(kind: Rows, data: &Data, scan: &Scan) -> Vec<Finding> {
    let (path, rows) = (scan.path.display(), scan.rows);
    let mut findings = Vec::new();
    let cut = if scan.complete { "" } else { " (as far as the time allowed)" };
    findings.push(Finding::note("rows", format!("{path}: {rows} rows{cut}")));
    if let Some((count, complaint)) = &scan.bad {
        let found = format!("{count} bad lines, the first: {complaint}");
        findings.push(match data.bad_lines {
            OfBadLines::Skip => Finding::warning("bad_lines", found, "correct them"),
            OfBadLines::Refuse => {
                let advice = "correct them, or set `data.bad_lines = \"skip\"`";
                Finding::severe("bad_lines", found, advice).with_kind(ErrorKind::Input)
            }
        });
    }
    if rows == 0 && scan.complete {
        let found = format!("{path} has no row that can be used");
        findings.push(
            Finding::severe("rows", found, "see docs/data.md for the columns of a row")
                .with_kind(ErrorKind::Input),
        );
    }
    let Repeats { duplicates, conflicting, .. } = scan.repeats;
    if duplicates > 0 {
        let found = format!(
            "{path}: {duplicates} of {rows} rows ({}) repeat an earlier row, prompt and answer",
            percent(duplicates, rows)
        );
        findings.push(Finding::warning("duplicates", found, "remove them from the file: each counts again"));
    }
    // A conversation may have several good answers.
    if let (Some((first, other)), Rows::Tasks) = (scan.example, kind) {
        let found = format!(
            "{path}: {conflicting} of {rows} rows ({}) share their prompt with a row that has another answer, such as \
             lines {first} and {other}",
            percent(conflicting, rows)
        );
        let advice = "leave one answer for each prompt: no completion can be right for both";
        let many = conflicting as f64 >= MANY_CONFLICTS * rows as f64;
        let finding = if many { Finding::severe } else { Finding::warning };
        findings.push(finding("conflicts", found, advice));
    }
    findings
}

/// Prompts that are trained on and measured on.
fn overlap(kind: Rows, train: &Scan, eval: &Scan) -> Option<Finding> {
    let shared = train.shared_with(eval);
    if shared == 0 {
        return None;
    }
    let found = format!(
        "{shared} of {} training rows ({}) have a prompt that is in {}, too",
        train.rows,
        percent(shared, train.rows),
        eval.path.display()
    );
    if shared == train.rows {
        let advice =
            "give `data.eval` other problems, or leave it out: a share of `data.train` is then held out";
        return Some(Finding::severe("overlap", format!("{found}: nothing is left to train on"), advice));
    }
    let advice = match kind {
        Rows::Tasks => "they are left out of training; remove them from one of the files",
        Rows::Conversations => "remove them from one of the files: what is measured is then what was learned",
    };
    Some(Finding::warning("overlap", found, advice))
}

/// Whether a file without another for evaluation leaves something on both sides of the split.
fn split(data: &Data, train: &Scan) -> Option<Finding> {
    let (rows, validation) = (train.rows, train.validation);
    if rows == 0 || !train.complete || (validation > 0 && validation < rows) {
        return None;
    }
    let share = data.split.validation;
    let why = match (train.repeats.distinct, validation) {
        (1, _) => format!("all {rows} rows have the same prompt, so that they fall on one side of the split"),
        (distinct, 0) => {
            format!("the split by prompt holds out none of the {distinct} different prompts (share {share})")
        }
        (distinct, _) => {
            format!("the split by prompt holds out all of the {distinct} different prompts (share {share})")
        }
    };
    let found = format!("{}: {why}", train.path.display());
    let advice = "give more problems, another file as `data.eval`, or another `data.split.validation`";
    Some(Finding::severe("split", found, advice).with_kind(ErrorKind::Input))
}

/// An answer in a form in which equal ones look equal: trimmed, and numbers by their value.
fn plain(answer: &str) -> String {
    let answer = answer.trim();
    // Longer ones would lose digits.
    match answer.parse::<f64>().ok().filter(|number| number.is_finite() && answer.len() <= 15) {
        Some(number) => (number + 0.0).to_string(),
        None => answer.to_owned(),
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Repeats, Rows, Scan, check};
    use crate::doctor::findings::Severity;
    use crate::recipe::Data;
    use ruminate_data::jsonl::TaskFormat;
    use std::fs;
    use std::time::Duration;

    fn scan(rows: &[(&str, &str)], time: Duration) -> Scan {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        let lines: Vec<String> = rows
            .iter()
            .map(|(prompt, answer)| serde_json::json!({ "prompt": prompt, "answer": answer }).to_string())
            .collect();
        fs::write(&path, lines.join("\n")).expect("written");
        Scan::new(&path, Rows::Tasks, &TaskFormat::default(), 0.1, time).expect("readable")
    }

    fn named(findings: &[super::Finding], name: &str) -> Option<Severity> {
        findings.iter().find(|finding| finding.name == name).map(|finding| finding.severity)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn repeated_prompts_count_by_whether_their_answers_agree() {
        let rows = [("a", "1"), ("b", "2"), ("a", "01"), ("b", "3"), ("b", "2"), ("c", "x")];
        let expected = Repeats { duplicates: 2, conflicting: 3, example: Some((1, 3)), distinct: 3 };
        assert_eq!(scan(&rows, LONG).repeats, expected);
    }

    #[test]
    fn few_conflicts_warn_and_many_refuse() {
        let mut rows: Vec<(String, String)> = (0..400).map(|i| (format!("p{i}"), i.to_string())).collect();
        rows.push(("p7".to_owned(), "8".to_owned()));
        let conflicts = |rows: &[(String, String)]| {
            let rows: Vec<(&str, &str)> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            named(&check(Rows::Tasks, &Data::default(), Some(&scan(&rows, LONG)), None), "conflicts")
        };
        assert_eq!(conflicts(&rows), Some(Severity::Warning));
        assert_eq!(conflicts(&rows[300..]), None);
        rows.drain(8..400);
        assert_eq!(conflicts(&rows), Some(Severity::Severe));
    }

    #[test]
    fn equal_files_and_one_sided_splits_are_severe_and_some_overlap_is_not() {
        let rows: Vec<String> = (0..50).map(|i| format!("{i}+1=")).collect();
        let rows: Vec<(&str, &str)> = rows.iter().map(|prompt| (prompt.as_str(), "1")).collect();
        let data = Data::default();
        let (all, some) = (scan(&rows, LONG), scan(&rows[..5], LONG));
        let overlap = |eval| named(&check(Rows::Tasks, &data, Some(&all), Some(eval)), "overlap");
        assert_eq!(overlap(&all), Some(Severity::Severe));
        assert_eq!(overlap(&some), Some(Severity::Warning));
        let same = scan(&[("1+1=", "2"); 30], LONG);
        let findings = check(Rows::Tasks, &data, Some(&same), None);
        assert_eq!(named(&findings, "split"), Some(Severity::Severe));
        assert!(findings.iter().any(|finding| finding.found.contains("the same prompt")), "{findings:?}");
        assert_eq!(named(&check(Rows::Tasks, &data, Some(&all), None), "split"), None);
    }

    #[test]
    fn rows_of_a_large_file_are_kept_evenly_and_no_time_reads_none() {
        let rows: Vec<String> = (0..3000).map(|i| i.to_string()).collect();
        let rows: Vec<(&str, &str)> = rows.iter().map(|row| (row.as_str(), row.as_str())).collect();
        let all = scan(&rows, LONG);
        assert_eq!((all.rows, all.complete), (3000, true));
        assert!((super::KEPT..2 * super::KEPT).contains(&all.sample.len()), "{}", all.sample.len());
        let at: Vec<usize> = all.sample.iter().map(|task| task.answer.parse().expect("a number")).collect();
        let step = at[1] - at[0];
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] == step), "{at:?}");
        assert!(at.last().is_some_and(|last| *last + step >= 3000));
        let none = scan(&rows, Duration::ZERO);
        assert_eq!((none.rows, none.complete, none.bad), (0, false, None));
    }
}
