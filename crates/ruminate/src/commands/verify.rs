//! `verify`: a verifier over JSON lines. Verdicts are results, whatever they are.

use crate::commands::lines::{self, Lines, Output};
use anyhow::{Context, Result};
use ruminate_data::jsonl::Mismatch;
use ruminate_reward::code::{Code, Options};
use ruminate_reward::{Error, verify_line, verify_line_in};
use ruminate_sandbox::Sandbox;
use std::sync::Arc;
use std::thread::available_parallelism;

/// Whether lines of the kind `code` are judged: what they bring is run, in a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Programs {
    /// They are refused.
    #[default]
    Refused,
    /// They are run.
    Allowed,
}

pub(crate) fn run(args: &Lines, programs: Programs) -> Result<()> {
    let sandbox = match programs {
        Programs::Refused => None,
        Programs::Allowed => Some(sandbox()?),
    };
    let verdicts = lines::read_as("verify", args, |line| {
        let verdict = match &sandbox {
            None => verify_line(0, line),
            Some(sandbox) => verify_line_in(sandbox, 0, line),
        };
        verdict.map_err(|error| match error {
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

/// The sandbox, whose helper is this program; what it holds back here is said first, and where a layer is missing it is an
/// error.
fn sandbox() -> Result<Arc<Sandbox>> {
    let helper =
        std::env::current_exe().context("the path of this program, which is the sandbox's helper")?;
    let sandbox = Arc::new(Sandbox::new(helper, available_parallelism().map_or(1, usize::from)));
    let code = Code::new(sandbox.clone(), Options::default())?;
    let warning = code.warning().map_err(ruminate_env::Error::Sandbox)?;
    notice!("warning: {warning}");
    Ok(sandbox)
}
