//! JSON lines in and out of the binary: files or the standard streams. What a line means is the command's business.

use crate::args::LinesArgs;
use crate::exit::Refusal;
use anyhow::Result;
use ruminate_data::jsonl::{self, BadLines, Mismatch, Row};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The name of the standard input in messages.
const STDIN: &str = "<stdin>";

/// Where lines come from, for messages.
pub(crate) fn name(args: &LinesArgs) -> PathBuf {
    args.input.clone().unwrap_or_else(|| PathBuf::from(STDIN))
}

/// All lines of the input, parsed. Blank ones are skipped and keep their number.
///
/// # Errors
/// With exit code 3 and the line's number.
pub(crate) fn read<T>(args: &LinesArgs, parse: impl Fn(&str) -> Result<T, Mismatch>) -> Result<Vec<Row<T>>> {
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

/// Where results go.
pub(crate) struct Output {
    name: String,
    writer: Box<dyn Write>,
}

impl Output {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                name: "standard output".into(),
                writer: Box::new(BufWriter::new(io::stdout().lock())),
            });
        };
        let name = path.display().to_string();
        let file = File::create(path).map_err(|source| Refusal::Write { path: name.clone(), source })?;
        Ok(Self { name, writer: Box::new(BufWriter::new(file)) })
    }

    /// Writes one line and hands it on, so that a reader at the other end of a pipe sees results as they come.
    pub(crate) fn line(&mut self, row: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        let written = self.writer.write_all(&line).and_then(|()| self.writer.flush());
        written.map_err(|source| Refusal::Write { path: self.name.clone(), source }.into())
    }
}
