//! `doctor`: what a recipe will not survive, for people on standard error, and a line of JSON for each finding on standard
//! output. Nothing is sampled, and no run folder is entered.

use crate::args::DoctorArgs;
use crate::doctor::{Depth, Finding, Severity, Work, examine};
use crate::exit::{self, Refusal};
use crate::lines::Output;
use crate::session::Session;
use anyhow::Result;
use ruminate_grpo as grpo;
use ruminate_model::lora;
use ruminate_rollout::SamplingError;
use ruminate_train as train;
use serde_json::Value;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: DoctorArgs) -> Result<()> {
    let DoctorArgs { fit, work } = args;
    let run = &fit.run;
    let without_effect =
        [("--resume", run.resume.is_some()), ("--stop-at-eof", run.stop_at_eof), ("--force", run.force)];
    if let Some((flag, _)) = without_effect.into_iter().find(|(_, given)| *given) {
        return Err(Refusal::usage(format!(
            "{flag} has no effect on the doctor: it runs nothing; leave it out"
        )));
    }
    let work = work.or_else(|| written_by(run.recipe.as_deref()?)).unwrap_or_default();
    let of = run.recipe.as_ref().map_or("the embedded recipe".to_owned(), |path| path.display().to_string());
    let run = fit.into_run(work.name())?;
    // A model that is not there is no reason to look at nothing.
    let session = Session::with_models(work.name(), run.clone()).or_else(|_| Session::new(work.name(), run));
    let findings = match session {
        Ok(mut session) => {
            // As `eval` does: a file to be measured on goes before a family.
            if work == Work::Eval && session.recipe.data.eval.is_some() && session.recipe.data.train.is_none()
            {
                session.recipe.data.task = None;
                session.recipe.data.tasks = Vec::new();
            }
            examine(&session, work, Depth::Whole)
        }
        // It asks rewards, too.
        Err(error) if matches!(error.downcast_ref(), Some(Refusal::Untrusted(_))) => return Err(error),
        Err(error) => vec![unreadable(&error)],
    };
    tell(&of, work, &findings);
    let mut output = Output::open(None)?;
    for finding in &findings {
        output.line(finding)?;
    }
    match findings.iter().filter(|finding| finding.is_severe()).count() {
        0 => Ok(()),
        1 => Err(refusal("1 severe finding")),
        severe => Err(refusal(&format!("{severe} severe findings"))),
    }
}

fn refusal(count: &str) -> anyhow::Error {
    Refusal::Doctor { code: exit::USAGE, message: format!("{count}: a run would be refused") }.into()
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

/// The findings for people, the severe ones last, where they are seen.
fn tell(recipe: &str, work: Work, findings: &[Finding]) {
    eprintln!("doctor: {recipe}, for {work}");
    for severity in [Severity::Note, Severity::Warning, Severity::Severe] {
        for finding in findings.iter().filter(|finding| finding.severity == severity) {
            eprintln!("  {:<7}  {finding}", severity.to_string());
        }
    }
}
