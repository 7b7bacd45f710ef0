//! Errors to exit codes: the one place that knows them. 0 done; 2 usage or recipe; 3 an input file; 4 our own
//! checkpoints; 5 numbers that are not finite; 6 rollout engine or sandbox; 7 disk; 8 an alarm that ends a run;
//! 9 out of memory;
//! 130 interrupted.

use ruminate_data as data;
use ruminate_distill as distill;
use ruminate_eval as eval;
use ruminate_gguf as gguf;
use ruminate_grpo as grpo;
use ruminate_model as model;
use ruminate_report as report;
use ruminate_reward as reward;
use ruminate_rollout as rollout;
use ruminate_run as run;
use ruminate_sandbox as sandbox;
use ruminate_text as text;
use ruminate_train as train;
use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub(crate) const USAGE: u8 = 2;
pub(crate) const INPUT: u8 = 3;
pub(crate) const CHECKPOINT: u8 = 4;
pub(crate) const NON_FINITE: u8 = 5;
pub(crate) const ENGINE: u8 = 6; // or the sandbox
pub(crate) const DISK: u8 = 7;
pub(crate) const ALARM: u8 = 8;
pub(crate) const MEMORY: u8 = 9; // none left, or a plan that cannot fit
pub(crate) const INTERRUPTED: u8 = 130;

/// What the binary itself refuses; libraries have their own errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Arguments or recipe.
    #[error("{0}")]
    Usage(String),
    /// A recipe that came with data and would have programs run or servers contacted.
    #[error("{0}")]
    Untrusted(String),
    /// An input file.
    #[error("{0}")]
    Input(String),
    /// A server that gives no sense.
    #[error("{0}")]
    Remote(String),
    /// A result that could not be written.
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: io::Error },
    /// Severe findings of the doctor, with the code of the worst.
    #[error("{message}")]
    Doctor { code: u8, message: String },
    /// A signal came, and what there is was saved.
    #[error("interrupted{0}")]
    Interrupted(String),
}

impl Refusal {
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::Usage(message.into()).into()
    }

    pub(crate) fn input(message: impl Into<String>) -> anyhow::Error {
        Self::Input(message.into()).into()
    }

    /// A problem with one line of an input, 1-based.
    pub(crate) fn line(path: &Path, line: usize, problem: impl std::fmt::Display) -> anyhow::Error {
        Self::Input(format!("{}:{line}: {problem}", path.display())).into()
    }
}

/// Tells the error on standard error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let code = code(error);
    if code != 0 {
        eprintln!("ruminate: {}", explain(error));
    }
    ExitCode::from(code)
}

/// The chain of causes on one line, leaving out a cause that the message before it has already told.
fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(1)
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<Refusal>() {
        return Some(match error {
            Refusal::Usage(_) | Refusal::Untrusted(_) => USAGE,
            Refusal::Input(_) => INPUT,
            Refusal::Remote(_) => ENGINE,
            // Whoever reads our output has closed it, having had enough: `ruminate generate | head`.
            Refusal::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => 0,
            Refusal::Write { .. } => DISK,
            Refusal::Doctor { code, .. } => *code,
            Refusal::Interrupted(_) => INTERRUPTED,
        });
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_run(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_train(error));
    }
    if let Some(error) = cause.downcast_ref::<grpo::Error>() {
        return Some(match error {
            grpo::Error::Range { .. } | grpo::Error::Sampling(_) | grpo::Error::Greedy => USAGE,
            grpo::Error::Reward { .. } | grpo::Error::NotFinite { .. } => NON_FINITE,
            grpo::Error::Unscored { .. } => ALARM,
            grpo::Error::Train(error) => of_train(error),
            grpo::Error::Rollout(error) => of_rollout(error),
        });
    }
    if let Some(error) = cause.downcast_ref::<distill::Error>() {
        use distill::Error as E;
        return Some(match error {
            E::Range { .. } | E::Sampling(_) | E::NotThePolicy { .. } | E::UnevenBatch { .. } => USAGE,
            E::EmptyPrompt { .. } | E::TooLong { .. } | E::NoSamples => INPUT,
            E::Train(error) => of_train(error),
            E::Rollout(error) => of_rollout(error),
        });
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_rollout(error));
    }
    if let Some(error) = cause.downcast_ref::<data::Error>() {
        use data::Error as E;
        return Some(match error {
            E::Read { .. } | E::Jsonl { .. } | E::Empty { .. } => INPUT,
            _ => USAGE,
        });
    }
    if let Some(error) = cause.downcast_ref::<text::Error>() {
        return Some(if matches!(error, text::Error::Write { .. }) { DISK } else { INPUT });
    }
    if let Some(error) = cause.downcast_ref::<gguf::Error>() {
        return Some(if matches!(error, gguf::Error::Write { .. }) { DISK } else { INPUT });
    }
    if cause.is::<model::LoadError>() || cause.is::<eval::Error>() || cause.is::<report::Error>() {
        return Some(INPUT);
    }
    if cause.is::<model::SaveError>() {
        return Some(DISK);
    }
    if cause.is::<sandbox::Failure>() {
        return Some(ENGINE);
    }
    let recipe = cause.is::<model::ConfigError>()
        || cause.is::<model::lora::Error>()
        || cause.is::<reward::Error>()
        || cause.is::<rollout::SamplingError>()
        || cause.is::<toml::de::Error>();
    recipe.then_some(USAGE)
}

fn of_run(error: &run::Error) -> u8 {
    match error {
        run::Error::Locked { .. } | run::Error::NotOurs { .. } => USAGE,
        run::Error::Disk { .. } | run::Error::Vanished { .. } | run::Error::NotRegular { .. } => DISK,
        run::Error::Broken(_) => CHECKPOINT,
    }
}

fn of_rollout(error: &rollout::Error) -> u8 {
    match error {
        rollout::Error::CacheMemory { .. } | rollout::Error::NoModule => USAGE,
        rollout::Error::NotFinite { .. } => NON_FINITE,
        rollout::Error::Stopped { .. } => INTERRUPTED,
    }
}

fn of_train(error: &train::Error) -> u8 {
    use train::Error as E;
    match error {
        E::Range { .. } => USAGE,
        E::TooLong { .. } | E::EmptyPrompt { .. } | E::NothingToLearn { .. } => INPUT,
        E::NonFinite { .. } | E::NotANumber { .. } => NON_FINITE,
        E::Mismatch { .. } => ALARM,
        E::Run(error) => of_run(error),
        E::Save(_) => DISK,
        E::Load(_) | E::Malformed { .. } => CHECKPOINT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_keeps_its_code_under_any_context() {
        let disk = || run::Error::Disk {
            action: "write",
            path: "x".into(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let wrapped: Result<(), _> = Err(disk()).context("saving").context("training");
        assert_eq!(code(&wrapped.expect_err("wrapped")), DISK);
        assert_eq!(code(&train::Error::Run(disk()).into()), DISK);
        assert_eq!(code(&Refusal::usage("no")), USAGE);
        assert_eq!(code(&Refusal::line(Path::new("a.jsonl"), 3, "bad")), INPUT);
        let closed = Refusal::Write { path: "-".into(), source: io::ErrorKind::BrokenPipe.into() };
        assert_eq!(code(&closed.into()), 0);
    }

    #[test]
    fn what_is_not_finite_and_what_an_alarm_ends_have_codes_of_their_own() {
        let not_finite = rollout::Error::NotFinite { request: 0, token: 0 };
        assert_eq!(code(&not_finite.clone().into()), NON_FINITE);
        assert_eq!(code(&grpo::Error::Rollout(not_finite.clone()).into()), NON_FINITE);
        assert_eq!(code(&distill::Error::Rollout(not_finite).into()), NON_FINITE);
        assert_eq!(code(&train::Error::NotANumber { sequence: 0, token: 3 }.into()), NON_FINITE);
        assert_eq!(code(&grpo::Error::Reward { step: 1, reward: 1e308, component: None }.into()), NON_FINITE);
        let unscored = grpo::Error::Unscored { step: 9, unscored: 8, completions: 8, why: "gone".into() };
        assert_eq!(code(&unscored.into()), ALARM);
    }

    #[test]
    fn an_explanation_says_nothing_twice() {
        let error = anyhow::anyhow!("no such file").context("cannot read a: no such file").context("loading");
        assert_eq!(explain(&error), "loading: cannot read a: no such file");
    }
}
