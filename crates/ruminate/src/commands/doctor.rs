//! `doctor`: what a recipe will not survive. No run folder is entered, and nothing is written.

use crate::doctor::{Depth, Finding, Work, examine, sample};
use crate::error::Refusal;
use crate::options::RunOptions;
use crate::run::session::Session;
use anyhow::Result;
use ruminate_data::SamplingError;
use ruminate_grpo as grpo;
use ruminate_model::lora;
use ruminate_train as train;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What the doctor found in a recipe, for a pipeline.
#[derive(Debug)]
pub struct Examination {
    /// The pipeline that it was examined for.
    pub work: Work,
    /// In the order in which they are read: what is run, on what, at which cost.
    pub findings: Vec<Finding>,
}

/// How a recipe is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// By what can be read. Nothing is sampled.
    Static,
    /// By the first step of its run besides.
    Sampling,
}

/// Examines the recipe of `options` for `work`, or else for the pipeline that wrote it.
///
/// # Errors
/// A recipe that would run programs and was not trusted to; those of [`sample::check`].
pub(crate) fn run(options: RunOptions, work: Option<Work>, method: Method) -> Result<Examination> {
    let work = work.or_else(|| written_by(options.recipe.as_deref()?)).unwrap_or_default();
    let run = options.resolved(work.name())?;
    // A model that is not there is no reason to look at nothing.
    let session = Session::with_models(work.name(), run.clone()).or_else(|_| Session::new(work.name(), run));
    let findings = match session {
        Ok(mut session) => {
            if work == Work::Eval {
                session.recipe.data.prefer_eval_file();
            }
            let mut findings = examine(&session, work, Depth::Whole);
            if method == Method::Sampling {
                findings.extend(sample::check(&session, work, &findings)?);
            }
            findings
        }
        // It asks rewards, too.
        Err(error) if matches!(error.downcast_ref(), Some(Refusal::Untrusted(_))) => return Err(error),
        Err(error) => vec![unreadable(&error)],
    };
    Ok(Examination { work, findings })
}

/// The command that wrote a run folder's `config.json`.
fn written_by(recipe: &Path) -> Option<Work> {
    let config: Value = serde_json::from_str(&fs::read_to_string(recipe).ok()?).ok()?;
    config["command"].as_str()?.parse().ok()
}

/// Why a recipe is none, under the name of its key where one is out of range.
fn unreadable(error: &anyhow::Error) -> Finding {
    let name = error.chain().find_map(|cause| {
        let grpo = cause.downcast_ref::<grpo::Error>().and_then(|error| match error {
            grpo::Error::Range { key, .. } => Some(*key),
            _ => None,
        });
        let train = cause.downcast_ref::<train::Error>().and_then(|error| match error {
            train::Error::Range { key, .. } => Some(*key),
            _ => None,
        });
        let lora = cause.downcast_ref::<lora::Error>().and_then(|error| match error {
            lora::Error::Range { key, .. } => Some(*key),
            lora::Error::Rank { .. } => Some("lora_rank"),
            lora::Error::Target { .. } => None,
        });
        grpo.or(train).or(lora).or_else(|| Some(cause.downcast_ref::<SamplingError>()?.key))
    });
    Finding::severe(name.unwrap_or("recipe"), format!("{error:#}"), "correct it: no command runs this recipe")
}
