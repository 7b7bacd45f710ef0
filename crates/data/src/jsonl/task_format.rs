//! How the rows of a file become tasks.

use super::{BadLines, Columns, Mismatch, Row, Rows, choices, columns, layouts, parse_value, read_file};
use crate::message::{keys, sort};
use crate::{Error, Prompt, Task};
use serde_json::{Map, Value};
use std::path::Path;

/// Whether a row must have an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerColumn {
    /// It must, unless it has tests, numbers with a target, or instructions to be judged by.
    #[default]
    Required,
    /// It may be without: what judges the task reads none. The answer is then empty.
    Optional,
}

/// How the rows of a file become tasks: the columns that the user names, and the layouts that are recognised by
/// themselves. docs/data.md has them.
///
/// A task has a `prompt` (text or messages) and an `answer` (a text as it is written, or the digits of a number). Of a list
/// of accepted answers the first is the answer, and the column `answers` has them all. Choices are put into the prompt, and
/// the answer is then the letter of the right one. A layout that is always judged in one way names its verifier in `kind`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFormat {
    /// Where values stand that no layout says.
    pub columns: Columns,
    /// Whether rows must have an answer.
    pub answer: AnswerColumn,
}

impl TaskFormat {
    /// Makes a task of a line. The number of a choice may still be that: [`settle`](Self::settle) needs all of the rows.
    ///
    /// # Errors
    /// What the line lacks.
    pub fn parse(&self, text: &str) -> Result<Task, Mismatch> {
        let row = match parse_value(text)? {
            Value::Object(row) => row,
            // A row that is a list of turns.
            Value::Array(turns)
                if turns.iter().any(|turn| turn.get("from").is_some() || turn.get("role").is_some()) =>
            {
                [("conversations".to_owned(), Value::Array(turns))].into_iter().collect::<Map<_, _>>()
            }
            other => return Err(Mismatch::new("one JSON object", sort(&other))),
        };
        let mut row = if self.columns.is_empty() { row } else { self.columns.applied(row)? };
        let is_empty =
            |answer: &Value| answer.is_null() || answer.as_str().is_some_and(|text| text.trim().is_empty());
        if self.answer == AnswerColumn::Optional && row.get("answer").is_some_and(is_empty) {
            row.shift_remove("answer");
        }
        let layouts::Recognised { mut row, asked, place } =
            layouts::recognised(row, self.columns.place("answer"))?;
        let prompt = Prompt::from_json(asked, row.shift_remove("prompt").unwrap_or_default())?;
        let answer = match row.shift_remove("answer") {
            Some(Value::String(answer)) => answer,
            // A gold answer must not be rounded to 53 bits.
            Some(Value::Number(number)) if number.is_f64() => {
                columns::digits(text, &place).unwrap_or_else(|| number.to_string())
            }
            Some(Value::Number(number)) => number.to_string(),
            None | Some(Value::Null)
                if self.answer == AnswerColumn::Optional || layouts::needs_no_answer(&row) =>
            {
                String::new()
            }
            None => {
                let others = if row.is_empty() { String::new() } else { format!(", {}", keys(&row)) };
                let expected = "a column `answer` (or `solution`), or another one by `data.columns.answer`";
                return Err(Mismatch::new(expected, format!("`{asked}`{others}")));
            }
            Some(other) => {
                return Err(Mismatch::new("`answer` to be a text, a number or a list of them", sort(&other)));
            }
        };
        Ok(Task { prompt, answer, columns: row })
    }

    /// Makes letters of the numbers of choices, where the rows together say from which one they count.
    ///
    /// # Errors
    /// The line of a row of which this cannot be told.
    pub fn settle(rows: &mut [Row<Task>]) -> Result<(), (usize, Mismatch)> {
        choices::settle(rows)
    }

    /// The tasks of a file.
    ///
    /// # Errors
    /// As [`tasks`](super::tasks).
    pub fn tasks(&self, path: impl AsRef<Path>, bad_lines: BadLines) -> Result<Rows<Task>, Error> {
        let path = path.as_ref();
        let mut read = read_file(path, bad_lines, |line| self.parse(line))?;
        Self::settle(&mut read.rows).map_err(|(line, Mismatch { expected, found })| Error::Jsonl {
            path: path.to_owned(),
            line,
            expected,
            found,
        })?;
        Ok(read)
    }
}
