//! `verify`: a verifier over JSON lines. Verdicts are results, whatever they are.

use crate::commands::lines::{self, Lines, Output};
use anyhow::Result;
use ruminate_data::jsonl::Mismatch;
use ruminate_reward::{Error, verify_line};

pub(crate) fn run(args: &Lines) -> Result<()> {
    let verdicts = lines::read(args, |line| {
        verify_line(0, line).map_err(|error| match error {
            Error::Line { expected, found } => Mismatch { expected: expected.to_owned(), found },
            other => Mismatch { expected: "a line to verify".to_owned(), found: other.to_string() },
        })
    })?;
    let mut output = Output::open(args.output.as_deref())?;
    for row in verdicts {
        let mut verdict = row.value;
        verdict.index = row.line - 1;
        output.line(&verdict)?;
    }
    output.finish()
}
