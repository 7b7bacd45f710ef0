//! A first look at a data file: how many rows, the first of them, and the longest. It judges no row: what is wrong with one
//! is for the reader of the whole file to say.

use ruminate_data::jsonl::{self, AnswerColumn, Columns, MAX_LINE_BYTES, Row, TaskFormat};
use ruminate_data::{Prompt, Task, container};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::path::Path;

/// Rows at the beginning that are looked at.
const FIRST: usize = 500;

/// Their bytes, at most.
const FIRST_BYTES: usize = 4 << 20;

/// Longest rows that are kept.
const LONGEST: usize = 16;

/// What a file looks like.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Lines that are not blank.
    pub(super) rows: usize,
    first: Vec<String>,
    longest: Vec<String>,
    format: TaskFormat,
}

impl Look {
    /// Looks at a file, whose tasks have these columns; at one that cannot be read, as at one without rows.
    pub(super) fn at(path: &Path, columns: &Columns) -> Self {
        let format = TaskFormat { columns: columns.clone(), answer: AnswerColumn::Optional };
        let mut look = Self { format, ..Self::default() };
        // A pipe could not be read again.
        if !path.is_file() {
            return look;
        }
        let Ok(mut reader) = container::open(path) else { return look };
        let (mut line, mut bytes) = (Vec::new(), 0);
        loop {
            line.clear();
            match reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line) {
                Ok(1..) if line.len() <= MAX_LINE_BYTES => {}
                _ => return look,
            }
            let Ok(text) = str::from_utf8(&line) else { continue };
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            look.rows += 1;
            bytes += text.len();
            if look.first.len() < FIRST && bytes <= FIRST_BYTES {
                look.first.push(text.to_owned());
            }
            if look.longest.len() < LONGEST || look.longest.last().is_some_and(|last| last.len() < text.len())
            {
                let place = look.longest.partition_point(|kept| kept.len() >= text.len());
                look.longest.insert(place, text.to_owned());
                look.longest.truncate(LONGEST);
            }
        }
    }

    /// The first rows that are tasks.
    pub(super) fn tasks(&self) -> Vec<Task> {
        self.tasks_of(&self.first)
    }

    /// The longest rows that are tasks.
    pub(super) fn longest_tasks(&self) -> Vec<Task> {
        self.tasks_of(&self.longest)
    }

    /// The longest rows as objects.
    pub(super) fn longest_rows(&self) -> impl Iterator<Item = Map<String, Value>> {
        self.longest.iter().filter_map(|line| jsonl::parse_object(line).ok())
    }

    /// The first rows as objects.
    pub(super) fn first_rows(&self) -> impl Iterator<Item = Map<String, Value>> {
        self.first.iter().filter_map(|line| jsonl::parse_object(line).ok())
    }

    fn tasks_of(&self, lines: &[String]) -> Vec<Task> {
        let row = |value| Row { line: 0, value };
        let mut rows: Vec<Row<Task>> =
            lines.iter().filter_map(|line| self.format.parse(line).ok()).map(row).collect();
        // From which number choices count is for the reader of the whole file to complain about.
        let _ = TaskFormat::settle(&mut rows);
        rows.into_iter().map(|row| row.value).collect()
    }

    /// Whether the rows are texts to be learned rather than problems with an answer.
    pub(super) fn is_conversations(&self) -> bool {
        let mut rows = self.first_rows();
        rows.next().is_some_and(|row| {
            let is_task = self.first.first().is_some_and(|line| {
                TaskFormat { answer: AnswerColumn::Required, ..self.format.clone() }.parse(line).is_ok()
            });
            !is_task && (row.contains_key("messages") || row.contains_key("completion"))
        })
    }
}

/// The words of a problem's question.
pub(super) fn words(task: &Task) -> usize {
    task.prompt.text().split_whitespace().count()
}

/// The value in the middle.
pub(super) fn median(values: impl Iterator<Item = usize>) -> usize {
    let mut values: Vec<usize> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Whether most problems bring a system message.
pub(super) fn bring_a_system_message(tasks: &[Task]) -> bool {
    let own = tasks.iter().filter(|task| match &task.prompt {
        Prompt::Text(_) => false,
        Prompt::Messages(messages) => messages.iter().any(|message| message.role() == "system"),
    });
    2 * own.count() > tasks.len()
}

#[cfg(test)]
mod tests {
    use super::{Columns, Look, median};
    use std::fs;

    #[test]
    fn rows_are_counted_and_the_longest_are_kept_wherever_they_stand() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        let row = |i: usize| {
            let pad = if i == 690 { "x".repeat(300) } else { String::new() };
            format!("{{\"prompt\": \"{i}+1={pad}\", \"answer\": {}}}\r\n\n", i + 1)
        };
        let rows: Vec<String> = (0..700).map(row).collect();
        fs::write(&path, "\u{feff}".to_owned() + &rows.concat() + "{\"prompt\": \"nothing\"")
            .expect("written");
        let look = Look::at(&path, &Columns::default());
        assert_eq!((look.rows, look.tasks().len()), (701, 500));
        assert_eq!(look.longest_tasks()[0].answer, "691");
        assert!(!look.is_conversations());
        assert_eq!(Look::at(folder.path(), &Columns::default()).rows, 0, "a folder has no rows");
        assert_eq!(median([3, 1, 2].into_iter()), 2);
    }
}
