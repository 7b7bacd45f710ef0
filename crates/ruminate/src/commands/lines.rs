//! JSON lines in and out of commands: files or the standard streams. What a line means is the command's business.

use crate::error::{Error, Refusal};
use crate::printable::harmless_json;
use crate::progress::Progress;
use crate::run::outputs;
use anyhow::Result;
use ruminate_data::container;
use ruminate_data::jsonl::{self, BadLines, Mismatch, Row};
use ruminate_run::OutputFile;
use serde::Serialize;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};

/// The name of the standard input in messages.
const STDIN: &str = "<stdin>";

/// Where JSON lines come from and go to.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The file to read; without it standard input.
    pub input: Option<PathBuf>,
    /// The file to write; without it standard output.
    pub output: Option<PathBuf>,
}

/// Where lines come from, for messages.
pub(crate) fn name(args: &Lines) -> PathBuf {
    args.input.clone().unwrap_or_else(|| PathBuf::from(STDIN))
}

/// Whether results are lines on a terminal: a progress bar beside them would be in their way, and they are progress.
pub(crate) fn are_seen(args: &Lines) -> bool {
    args.output.is_none() && io::stdout().is_terminal()
}

/// A bar for a command over lines, which is not shown where what it does ends soon. A total of 0 is not known.
pub(crate) fn progress(args: &Lines, label: &str, total: usize) -> Option<Progress> {
    (!are_seen(args)).then(|| Progress::patient(label, total as u64))
}

/// All lines of the input, parsed. Blank ones are skipped and keep their number. That the results may go where they are
/// to go is checked before.
///
/// # Errors
/// With exit code 3 and the line's number; 2 for an `--output` that may not be written.
pub(crate) fn read<T>(args: &Lines, parse: impl Fn(&str) -> Result<T, Mismatch>) -> Result<Vec<Row<T>>> {
    read_as("reading", args, parse)
}

/// The same under another name for the bar: of a command whose work is done line by line.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_as<T>(
    label: &str,
    args: &Lines,
    parse: impl Fn(&str) -> Result<T, Mismatch>,
) -> Result<Vec<Row<T>>> {
    if let Some(output) = &args.output {
        outputs::check("--output", output, args.input.as_deref())?;
    }
    let name = name(args);
    let progress = RefCell::new((progress(args, label, 0), 0));
    let parse = |line: &str| {
        let parsed = parse(line);
        let (bar, lines) = &mut *progress.borrow_mut();
        *lines += 1;
        if let Some(bar) = bar {
            bar.at(*lines, "lines");
        }
        parsed
    };
    let rows = match &args.input {
        None => jsonl::read(io::stdin().lock(), &name, BadLines::Refuse, parse)?,
        Some(path) => jsonl::read(container::open(path)?, path, BadLines::Refuse, parse)?,
    };
    Ok(rows.rows)
}

/// Where results go, as JSON lines. A file is there whole once it is finished.
pub struct Output {
    name: String,
    writer: Writer,
}

enum Writer {
    Standard(BufWriter<StdoutLock<'static>>),
    File(BufWriter<OutputFile>),
}

impl Output {
    /// Standard output. What would steer a terminal is escaped there.
    pub fn standard() -> Self {
        let writer = Writer::Standard(BufWriter::new(io::stdout().lock()));
        Self { name: "standard output".into(), writer }
    }

    /// Writes an object of texts as a line: the paths that a command leaves.
    ///
    /// # Errors
    /// Those of writing; [`Closed`](crate::ErrorKind::Closed) where the reader has gone.
    pub fn texts(&mut self, fields: &[(&str, &Path)]) -> Result<(), Error> {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, path)| ((*name).to_owned(), outputs::json(path))).collect();
        self.row(&fields)
    }

    /// Writes one row as a line and hands it on, so that a reader at the other end of a pipe sees results as they come.
    ///
    /// # Errors
    /// As [`texts`](Self::texts).
    pub fn row(&mut self, row: &impl Serialize) -> Result<(), Error> {
        Ok(self.line(row)?)
    }

    /// A file to be written whole, or standard output.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::standard()) };
        let writer = Writer::File(BufWriter::new(OutputFile::create(path)?));
        Ok(Self { name: path.display().to_string(), writer })
    }

    pub(crate) fn line(&mut self, row: &impl Serialize) -> Result<()> {
        self.written(&serde_json::to_string(row)?)
    }

    /// The same of a row that is JSON already.
    pub(crate) fn written(&mut self, row: &str) -> Result<()> {
        let mut line = row.to_owned();
        if matches!(self.writer, Writer::Standard(_)) && io::stdout().is_terminal() {
            line = harmless_json(&line).into_owned();
        }
        line.push('\n');
        let writer: &mut dyn Write = match &mut self.writer {
            Writer::Standard(writer) => writer,
            Writer::File(writer) => writer,
        };
        let written = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
        written.map_err(|source| Refusal::Write { path: self.name.clone(), source }.into())
    }

    /// Gives a file its name. Without this what was there before stays.
    ///
    /// # Errors
    /// With exit code 7.
    pub(crate) fn finish(self) -> Result<()> {
        let Writer::File(writer) = self.writer else { return Ok(()) };
        let file = writer
            .into_inner()
            .map_err(|error| Refusal::Write { path: self.name.clone(), source: error.into_error() })?;
        Ok(file.commit()?)
    }
}
