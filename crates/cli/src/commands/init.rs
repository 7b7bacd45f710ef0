//! `init`: a recipe that fits a model folder and its data, with the reason of each value behind it. It starts nothing.

use crate::args::{FitArgs, InitArgs, Resume, RunArgs};
use crate::exit::Refusal;
use crate::session::Session;
use crate::starts;
use anyhow::Result;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(crate) fn run(args: &InitArgs) -> Result<()> {
    if args.out.exists() {
        return Err(exists(&args.out));
    }
    let command = if args.data.as_deref().is_some_and(starts::is_conversations) { "sft" } else { "train-rl" };
    let run = RunArgs {
        recipe: None,
        device: args.device.clone(),
        out: None,
        resume: None::<Resume>,
        allow_changed: false,
        stop_at_eof: false,
        force: false,
        trust: false,
        set: Vec::new(),
        set_if_read: Vec::new(),
    };
    let run = FitArgs { run, model: args.model.clone(), data: args.data.clone() }.into_run(command)?;
    let session = Session::with_models(command, run)?;
    session.check_files()?;
    let text = session.initial_recipe(&args.out);
    let write = |source| Refusal::Write { path: args.out.display().to_string(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&args.out) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&args.out)),
        Err(error) => return Err(write(error).into()),
    };
    file.write_all(text.as_bytes()).map_err(write)?;
    session.tell_settings();
    eprintln!("wrote {}; start it by `ruminate {command} {}`", args.out.display(), args.out.display());
    crate::lines::Output::open(None)?
        .line(&serde_json::json!({ "recipe": args.out.display().to_string(), "command": command }))
}

fn exists(path: &Path) -> anyhow::Error {
    Refusal::usage(format!(
        "{} is there already, and init replaces no file; expected another name by --out FILE",
        path.display()
    ))
}
