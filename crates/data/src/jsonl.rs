//! JSON lines: one object a line, read with the line's number in every complaint, and written.
//!
//! It does not know what a row is for: [`tasks`] makes [`Task`]s, [`objects`] leaves rows as they are. A byte
//! order mark, CRLF and blank lines are no errors. No line makes it hold more than [`MAX_LINE_BYTES`].

mod choices;
mod columns;
mod layouts;
mod task_format;

pub use columns::Columns;
pub use task_format::{AnswerColumn, TaskFormat};

use crate::message::sort;
use crate::{Error, Task, container};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::io::{self, BufRead, Read as _, Write};
use std::path::Path;

/// The longest line that is read, in bytes, without its line end.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Lines that are read of a file, blank ones included.
pub const MAX_ROWS: usize = 20_000_000;

/// What happens to a line that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// It ends the reading with an error that names it (strict).
    Refuse,
    /// It is left out and counted (lenient).
    Skip,
}

/// What was read.
#[derive(Debug)]
pub struct Rows<T> {
    /// The good rows, in order.
    pub rows: Vec<Row<T>>,
    /// Bad lines that were left out; 0 with [`BadLines::Refuse`].
    pub skipped: usize,
    /// The complaint about the first of these, to be shown as an example.
    pub first_skipped: Option<Error>,
}

/// A row and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<T> {
    /// 1-based number of its line.
    pub line: usize,
    /// What the line holds.
    pub value: T,
}

/// Why a line is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What it must hold.
    pub expected: String,
    /// What it holds.
    pub found: String,
}

impl Mismatch {
    /// From its two halves.
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// The tasks of a file in any layout that [`TaskFormat`] recognises.
///
/// # Errors
/// [`Error::Read`], [`Error::Format`], [`Error::Jsonl`] for the first bad line where these are refused, and
/// [`Error::Empty`] when no task is left.
pub fn tasks(path: impl AsRef<Path>, bad_lines: BadLines) -> Result<Rows<Task>, Error> {
    TaskFormat::default().tasks(path, bad_lines)
}

/// The rows of a file as objects, for other schemas.
///
/// # Errors
/// As [`tasks`].
pub fn objects(path: impl AsRef<Path>, bad_lines: BadLines) -> Result<Rows<Map<String, Value>>, Error> {
    read_file(path.as_ref(), bad_lines, parse_object)
}

fn read_file<T>(
    path: &Path,
    bad_lines: BadLines,
    parse: impl Fn(&str) -> Result<T, Mismatch>,
) -> Result<Rows<T>, Error> {
    let rows = read(container::open(path)?, path, bad_lines, parse)?;
    if rows.rows.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), skipped: rows.skipped });
    }
    Ok(rows)
}

/// The rows of a stream, each made by `parse` from a line that is UTF-8 and not blank. `name` stands for the
/// path in errors. An empty stream has no rows, which is no error here.
///
/// # Errors
/// [`Error::Read`], and [`Error::Jsonl`] for the first bad line where these are refused.
pub fn read<T>(
    mut reader: impl BufRead,
    name: &Path,
    bad_lines: BadLines,
    parse: impl Fn(&str) -> Result<T, Mismatch>,
) -> Result<Rows<T>, Error> {
    let mut read = Rows { rows: Vec::new(), skipped: 0, first_skipped: None };
    let unreadable = |source| Error::Read { path: name.to_owned(), source };
    let (mut buffer, mut line) = (Vec::new(), 0);
    loop {
        let next = next_line(&mut reader, &mut buffer).map_err(unreadable)?;
        let parsed = match next {
            Line::End => return Ok(read),
            Line::TooLong => {
                if bad_lines == BadLines::Skip {
                    reader.skip_until(b'\n').map_err(unreadable)?;
                }
                let expected = format!("a line of at most {MAX_LINE_BYTES} bytes");
                Err(Mismatch::new(expected, "a longer one; is it really one JSON object a line?"))
            }
            Line::Whole => utf8(&buffer).and_then(|text| {
                // A mark can stand within a file, too, where files were concatenated.
                let text = text.trim_start_matches('\u{feff}').trim_ascii();
                if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
            }),
        };
        line += 1;
        if line > MAX_ROWS {
            return Err(Error::TooManyRows { path: name.to_owned() });
        }
        match parsed {
            Ok(Some(value)) => read.rows.push(Row { line, value }),
            Ok(None) => {}
            Err(Mismatch { expected, found }) => {
                let error = Error::Jsonl { path: name.to_owned(), line, expected, found };
                match bad_lines {
                    BadLines::Refuse => return Err(error),
                    BadLines::Skip => {
                        read.skipped += 1;
                        read.first_skipped.get_or_insert(error);
                    }
                }
            }
        }
    }
}

/// Makes a task of a line; see [`tasks`].
///
/// # Errors
/// What the line lacks.
pub fn parse_task(text: &str) -> Result<Task, Mismatch> {
    TaskFormat::default().parse(text)
}

/// Makes an object of a line.
///
/// # Errors
/// What the line holds instead.
pub fn parse_object(text: &str) -> Result<Map<String, Value>, Mismatch> {
    match parse_value(text)? {
        Value::Object(object) => Ok(object),
        other => Err(Mismatch::new("one JSON object", sort(&other))),
    }
}

fn parse_value(text: &str) -> Result<Value, Mismatch> {
    serde_json::from_str(text).map_err(|error| {
        // serde_json counts lines within this one: only the column means anything.
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        Mismatch::new("one JSON object", format!("bad JSON at column {} ({message})", error.column()))
    })
}

/// Writes rows, a line each.
///
/// # Errors
/// Those of the writer; and a row whose JSON has keys that are not strings, which none of our types has.
pub fn write<T: Serialize>(mut out: impl Write, rows: impl IntoIterator<Item = T>) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut out, &row)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line into the buffer, without its `\n`; of a line that is too long, the rest is left in the reader.
fn next_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Line> {
    buffer.clear();
    reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', buffer)?;
    if buffer.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Line::Whole);
    }
    match buffer.len() {
        0 => Ok(Line::End),
        length if length <= MAX_LINE_BYTES => Ok(Line::Whole),
        _ => Ok(Line::TooLong),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Mismatch> {
    str::from_utf8(bytes).map_err(|error| {
        let (at, byte) = (error.valid_up_to(), bytes[error.valid_up_to()]);
        Mismatch::new("UTF-8", format!("byte 0x{byte:02x} at column {}, which is not", at + 1))
    })
}

#[cfg(test)]
mod tests;
