//! `init`: a recipe that fits a model folder and its data, with the reason of each value behind it. It starts nothing.

use crate::error::Refusal;
use crate::options::RunOptions;
use crate::run::session::Session;
use crate::settings;
use anyhow::Result;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Writes to `out` a recipe that fits the model and the data of `options`. Returns the command that it is for.
///
/// # Errors
/// A file that is there already, and those of reading the model and the data.
pub(crate) fn run(options: RunOptions, out: &Path) -> Result<&'static str> {
    if out.exists() {
        return Err(exists(out));
    }
    let command =
        if options.data.as_deref().is_some_and(settings::is_conversations) { "sft" } else { "train-rl" };
    let session = Session::with_models(command, options)?;
    session.check_files()?;
    let text = session.initial_recipe(out);
    let write = |source| Refusal::Write { path: out.display().to_string(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).open(out) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(out)),
        Err(error) => return Err(write(error).into()),
    };
    file.write_all(text.as_bytes()).map_err(write)?;
    session.tell_settings();
    Ok(command)
}

fn exists(path: &Path) -> anyhow::Error {
    Refusal::usage(format!(
        "{} is there already, and init replaces no file; expected another name by --out FILE",
        path.display()
    ))
}
