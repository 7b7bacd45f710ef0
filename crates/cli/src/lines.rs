//! JSON lines in and out of the binary: files or the standard streams. What a line means is the command's business.

use crate::args::LinesArgs;
use crate::exit::Refusal;
use crate::outputs;
use crate::screen::harmless_json;
use anyhow::Result;
use ruminate_data::jsonl::{self, BadLines, Mismatch, Row};
use ruminate_run::OutputFile;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};

/// The name of the standard input in messages.
const STDIN: &str = "<stdin>";

/// Where lines come from, for messages.
pub(crate) fn name(args: &LinesArgs) -> PathBuf {
    args.input.clone().unwrap_or_else(|| PathBuf::from(STDIN))
}

/// All lines of the input, parsed. Blank ones are skipped and keep their number. That the results may go where they are
/// to go is checked before.
///
/// # Errors
/// With exit code 3 and the line's number; 2 for an `--output` that may not be written.
pub(crate) fn read<T>(args: &LinesArgs, parse: impl Fn(&str) -> Result<T, Mismatch>) -> Result<Vec<Row<T>>> {
    if let Some(output) = &args.output {
        outputs::check("--output", output, args.input.as_deref())?;
    }
    let name = name(args);
    let rows = match &args.input {
        None => jsonl::read(io::stdin().lock(), &name, BadLines::Refuse, parse)?,
        Some(path) => {
            let file = File::open(path)
                .map_err(|source| ruminate_data::Error::Read { path: path.clone(), source })?;
            jsonl::read(BufReader::new(file), path, BadLines::Refuse, parse)?
        }
    };
    Ok(rows.rows)
}

/// Where results go. A file is there whole once it is [finished](Self::finish).
pub(crate) struct Output {
    name: String,
    writer: Writer,
}

enum Writer {
    Standard(BufWriter<StdoutLock<'static>>),
    File(BufWriter<OutputFile>),
}

impl Output {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            let writer = Writer::Standard(BufWriter::new(io::stdout().lock()));
            return Ok(Self { name: "standard output".into(), writer });
        };
        let writer = Writer::File(BufWriter::new(OutputFile::create(path)?));
        Ok(Self { name: path.display().to_string(), writer })
    }

    /// Writes one line and hands it on, so that a reader at the other end of a pipe sees results as they come.
    pub(crate) fn line(&mut self, row: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_string(row)?;
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
