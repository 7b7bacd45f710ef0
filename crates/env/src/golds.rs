//! What a file says of how it is judged: the verifier that its rows name, or one that reads their answers. It looks at the
//! first rows only; what is wrong with them is reported where the file is read.

use crate::Data;
use ruminate_data::jsonl::{AnswerColumn, MAX_LINE_BYTES, Row, TaskFormat};
use ruminate_data::{Outcome, Task, container};
use ruminate_reward::{KINDS, Response, by_name};
use serde_json::Value;
use std::io::{BufRead, Read};

/// Rows that are looked at, and their bytes at most.
const FIRST: usize = 200;
const FIRST_BYTES: usize = 4 << 20;

/// Share of the answers that a verifier must read.
const MOST: f64 = 0.9;

/// Columns of tests, which say that answers are programs.
const TESTS: [&str; 7] =
    ["tests", "test_cases", "test_list", "test", "input_output", "public_test_cases", "public_tests"];

/// How a file is judged where no recipe says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// By a verifier, for a reason in words.
    By(&'static str, &'static str),
    /// By running programs against the tests of this column, which only a recipe can ask for.
    ByTests(&'static str),
}

/// The first tasks of the file that problems come from; none where there is none, or it cannot be read.
pub(crate) fn first_tasks(data: &Data) -> Vec<Task> {
    // A pipe could not be read again.
    let Some(path) = data.train.as_ref().or(data.eval.as_ref()).filter(|path| path.is_file()) else {
        return Vec::new();
    };
    let Ok(lines) = container::open(path) else { return Vec::new() };
    let mut lines = lines.take((FIRST_BYTES + MAX_LINE_BYTES) as u64);
    let format = TaskFormat { columns: data.columns.clone(), answer: AnswerColumn::Optional };
    let (mut rows, mut line, mut bytes) = (Vec::new(), Vec::new(), 0);
    while rows.len() < FIRST && bytes < FIRST_BYTES {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(read @ 1..) => bytes += read,
            _ => break,
        }
        let Ok(text) = str::from_utf8(&line) else { continue };
        if let Ok(value) = format.parse(text.trim_start_matches('\u{feff}').trim()) {
            rows.push(Row { line: rows.len() + 1, value });
        }
    }
    // Of so few rows it may be unknown from which number choices count; that is for the reader of the whole file to say.
    let _ = TaskFormat::settle(&mut rows);
    rows.into_iter().map(|row| row.value).collect()
}

/// How these tasks are judged; nothing of no tasks.
pub(crate) fn judged(tasks: &[Task]) -> Option<Judged> {
    let first = tasks.first()?;
    let kind = |task: &Task| task.columns.get("kind").and_then(Value::as_str).map(str::to_owned);
    if let Some(named) = KINDS.iter().find(|name| kind(first).as_deref() == Some(**name)) {
        return Some(Judged::By(named, "the first row's `kind`, or its layout"));
    }
    if let Some(column) =
        TESTS.into_iter().find(|name| first.columns.get(*name).is_some_and(|value| !value.is_null()))
    {
        return Some(Judged::ByTests(column));
    }
    let counts = tasks
        .iter()
        .filter(|task| task.answer.contains(|c: char| c.is_ascii_digit() || c == '\\' || c == '$'));
    let counts = counts.count();
    if counts as f64 >= MOST * tasks.len() as f64 && reads("math", tasks) {
        return Some(Judged::By("math", "the answers of the first rows, which are numbers and formulas"));
    }
    Some(Judged::By(
        "exact",
        "the answers of the first rows, which are texts; it compares what stands in <answer>",
    ))
}

/// The largest number of choices among the tasks.
pub(crate) fn choices(tasks: &[Task]) -> Option<usize> {
    let count = |task: &Task| Some(task.columns.get("choices")?.as_array()?.len());
    tasks.iter().filter_map(count).max()
}

/// Whether a verifier says that most answers are right answers.
fn reads(kind: &str, tasks: &[Task]) -> bool {
    let Ok(verifier) = by_name(kind) else { return false };
    let is_read = |task: &&Task| {
        verifier.verify(task, &Response::finished(&format!("\\boxed{{{}}}", task.answer))).outcome
            == Outcome::Correct
            || verifier.verify(task, &Response::finished(&task.answer)).outcome == Outcome::Correct
    };
    tasks.iter().filter(is_read).count() as f64 >= MOST * tasks.len() as f64
}
