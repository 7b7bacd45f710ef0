//! Errors of pipelines and commands, and the kind of each: the one place that sorts the errors of all crates.

use ruminate_data as data;
use ruminate_distill as distill;
use ruminate_env as env;
use ruminate_eval as eval;
use ruminate_fleet as fleet;
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
use std::error::Error as StdError;
use std::path::Path;
use std::{fmt, io};

/// Why a pipeline or a command ended without its result.
pub struct Error(anyhow::Error);

impl Error {
    /// What kind of error it is: what a program can act on.
    pub fn kind(&self) -> ErrorKind {
        kind(&self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&explain(&self.0))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f) // what `main` prints that returns it
    }
}

impl StdError for Error {}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

/// Kinds of errors. Of several findings of the doctor the last kind in this order is the error's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A defect of this library.
    Other,
    /// Options, or a recipe.
    Usage,
    /// An input file.
    Input,
    /// A checkpoint or a run folder of our own that does not verify.
    Checkpoint,
    /// A number that is not finite.
    NonFinite,
    /// The rollout engine, the sandbox, or a server.
    Engine,
    /// A result that cannot be written.
    Disk,
    /// An alarm that ends a run.
    Alarm,
    /// No memory left, or a plan that cannot fit.
    Memory,
    /// It was asked to end ([`interrupt::request`](crate::interrupt::request)), and what there is was saved.
    Interrupted,
    /// The reader of the results has closed them, as in `ruminate generate | head`.
    Closed,
}

/// What this crate refuses itself; the others have their own errors.
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
    /// A server that returned an unusable response.
    #[error("{0}")]
    Remote(String),
    /// A result that could not be written.
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: io::Error },
    /// Severe findings of the doctor, with the kind of the worst.
    #[error("{message}")]
    Doctor { kind: ErrorKind, message: String },
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

    /// A result that cannot be written, or read again.
    pub(crate) fn write(path: &Path, source: io::Error) -> anyhow::Error {
        Self::Write { path: path.display().to_string(), source }.into()
    }

    /// A problem with one line of an input, 1-based.
    pub(crate) fn line(path: &Path, line: usize, problem: impl fmt::Display) -> anyhow::Error {
        Self::Input(format!("{}:{line}: {problem}", path.display())).into()
    }
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

fn kind(error: &anyhow::Error) -> ErrorKind {
    error.chain().find_map(kind_of).unwrap_or(ErrorKind::Other)
}

fn kind_of(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    if let Some(error) = cause.downcast_ref::<Refusal>() {
        return Some(match error {
            Refusal::Usage(_) | Refusal::Untrusted(_) => ErrorKind::Usage,
            Refusal::Input(_) => ErrorKind::Input,
            Refusal::Remote(_) => ErrorKind::Engine,
            Refusal::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => ErrorKind::Closed,
            Refusal::Write { .. } => ErrorKind::Disk,
            Refusal::Doctor { kind, .. } => *kind,
            Refusal::Interrupted(_) => ErrorKind::Interrupted,
        });
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_run(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_train(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_grpo(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_distill(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_rollout(error));
    }
    if let Some(error) = cause.downcast_ref::<data::Error>() {
        use data::Error as E;
        return Some(match error {
            E::Read { .. } | E::Jsonl { .. } | E::Empty { .. } => ErrorKind::Input,
            _ => ErrorKind::Usage,
        });
    }
    if let Some(error) = cause.downcast_ref::<env::Error>() {
        return Some(match error {
            error if error.is_usage() => ErrorKind::Usage,
            env::Error::Sandbox(_) => ErrorKind::Engine,
            env::Error::Helper(_) => ErrorKind::Other,
            _ => ErrorKind::Input,
        });
    }
    if let Some(error) = cause.downcast_ref::<text::Error>() {
        return Some(match error {
            error if error.is_usage() => ErrorKind::Usage,
            text::Error::Write { .. } => ErrorKind::Disk,
            _ => ErrorKind::Input,
        });
    }
    if let Some(error) = cause.downcast_ref::<gguf::Error>() {
        return Some(if matches!(error, gguf::Error::Write { .. }) {
            ErrorKind::Disk
        } else {
            ErrorKind::Input
        });
    }
    if let Some(error) = cause.downcast_ref::<gguf::ExportError>() {
        return Some(if matches!(error, gguf::ExportError::Write(_)) {
            ErrorKind::Disk
        } else {
            ErrorKind::Input
        });
    }
    if cause.is::<model::LoadError>() || cause.is::<eval::Error>() || cause.is::<report::Error>() {
        return Some(ErrorKind::Input);
    }
    if cause.is::<model::SaveError>() {
        return Some(ErrorKind::Disk);
    }
    if cause.is::<sandbox::Failure>() {
        return Some(ErrorKind::Engine);
    }
    let recipe = cause.is::<model::ConfigError>()
        || cause.is::<model::lora::Error>()
        || cause.is::<reward::Error>()
        || cause.is::<ruminate_data::SamplingError>()
        || cause.is::<fleet::ConfigError>()
        || cause.is::<toml::de::Error>();
    recipe.then_some(ErrorKind::Usage)
}

fn of_grpo(error: &grpo::Error) -> ErrorKind {
    match error {
        grpo::Error::Range { .. }
        | grpo::Error::Conflict { .. }
        | grpo::Error::Sampling(_)
        | grpo::Error::Greedy => ErrorKind::Usage,
        grpo::Error::Reward { .. } | grpo::Error::NotFinite { .. } => ErrorKind::NonFinite,
        grpo::Error::Unscored { .. } | grpo::Error::AllWrong { .. } | grpo::Error::Stale { .. } => {
            ErrorKind::Alarm
        }
        grpo::Error::Train(error) => of_train(error),
        grpo::Error::Rollout(error) => of_rollout(error),
        grpo::Error::Problem { source, .. } => of_source(source),
        _ => ErrorKind::Other,
    }
}

fn of_distill(error: &distill::Error) -> ErrorKind {
    use distill::Error as E;
    match error {
        E::Range { .. } | E::Sampling(_) | E::NotThePolicy { .. } | E::UnevenBatch { .. } => ErrorKind::Usage,
        E::EmptyPrompt { .. } | E::TooLong { .. } | E::NoSamples => ErrorKind::Input,
        E::Train(error) => of_train(error),
        E::Rollout(error) => of_rollout(error),
        E::Problem { source, .. } => of_source(source),
        E::Teacher(_) => ErrorKind::Engine,
        _ => ErrorKind::Other,
    }
}

/// Of what a source of problems or samples returned.
fn of_source(source: &ruminate_data::SourceError) -> ErrorKind {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&**source);
    while let Some(error) = cause {
        if let Some(kind) = kind_of(error) {
            return kind;
        }
        cause = error.source();
    }
    ErrorKind::Other
}

fn of_run(error: &run::Error) -> ErrorKind {
    match error {
        run::Error::Locked { .. } | run::Error::NotOurs { .. } => ErrorKind::Usage,
        run::Error::Disk { .. } | run::Error::Vanished { .. } | run::Error::NotRegular { .. } => {
            ErrorKind::Disk
        }
        run::Error::Corrupt(_) => ErrorKind::Checkpoint,
        _ => ErrorKind::Other,
    }
}

fn of_rollout(error: &rollout::Error) -> ErrorKind {
    match error {
        rollout::Error::CacheMemory { .. } | rollout::Error::NoRoom { .. } | rollout::Error::NoModule => {
            ErrorKind::Usage
        }
        rollout::Error::NotFinite { .. } => ErrorKind::NonFinite,
        rollout::Error::Stopped { .. } => ErrorKind::Interrupted,
        rollout::Error::Engine { .. } => ErrorKind::Engine,
        rollout::Error::EngineUnfit { .. } => ErrorKind::Usage,
        rollout::Error::EngineMismatch { .. } => ErrorKind::Alarm,
        _ => ErrorKind::Other,
    }
}

fn of_train(error: &train::Error) -> ErrorKind {
    use train::Error as E;
    match error {
        E::Range { .. } | E::OtherOptimizer { .. } | E::OtherOptimizerState { .. } => ErrorKind::Usage,
        E::TooLong { .. } | E::EmptyPrompt { .. } | E::NothingToLearn { .. } => ErrorKind::Input,
        E::NonFinite { .. } | E::NotANumber { .. } => ErrorKind::NonFinite,
        E::Mismatch { .. } => ErrorKind::Alarm,
        E::Run(error) => of_run(error),
        E::Save(_) => ErrorKind::Disk,
        E::Load(_) | E::Malformed { .. } => ErrorKind::Checkpoint,
        E::Sample { source, .. } => of_source(source),
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_keeps_its_kind_under_any_context() {
        let disk = || run::Error::Disk {
            action: "write",
            path: "x".into(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let wrapped: Result<(), _> = Err(disk()).context("saving").context("training");
        assert_eq!(kind(&wrapped.expect_err("wrapped")), ErrorKind::Disk);
        assert_eq!(kind(&train::Error::Run(disk()).into()), ErrorKind::Disk);
        assert_eq!(kind(&Refusal::usage("no")), ErrorKind::Usage);
        assert_eq!(kind(&Refusal::line(Path::new("a.jsonl"), 3, "bad")), ErrorKind::Input);
        let closed = Refusal::Write { path: "-".into(), source: io::ErrorKind::BrokenPipe.into() };
        assert_eq!(kind(&closed.into()), ErrorKind::Closed);
    }

    #[test]
    fn what_is_not_finite_and_what_an_alarm_ends_have_kinds_of_their_own() {
        let not_finite = rollout::Error::NotFinite { request: 0, token: 0 };
        assert_eq!(kind(&not_finite.clone().into()), ErrorKind::NonFinite);
        assert_eq!(kind(&grpo::Error::Rollout(not_finite.clone()).into()), ErrorKind::NonFinite);
        assert_eq!(kind(&distill::Error::Rollout(not_finite).into()), ErrorKind::NonFinite);
        assert_eq!(kind(&train::Error::NotANumber { sequence: 0, token: 3 }.into()), ErrorKind::NonFinite);
        assert_eq!(
            kind(&grpo::Error::Reward { step: 1, reward: 1e308, component: None }.into()),
            ErrorKind::NonFinite
        );
        let sum = grpo::Config { reduction: Some(grpo::loss::Reduction::Sum), ..grpo::Config::default() };
        let conflict = sum.validate().expect_err("`loss_type` says another reduction");
        assert_eq!(kind(&conflict.into()), ErrorKind::Usage);
        let unscored = grpo::Error::Unscored { step: 9, unscored: 8, completions: 8, why: "gone".into() };
        assert_eq!(kind(&unscored.into()), ErrorKind::Alarm);
        let wrong = grpo::Error::AllWrong { step: 9, in_a_row: 9, completions: 8, why: "no".into() };
        assert_eq!(kind(&wrong.into()), ErrorKind::Alarm);
    }

    #[test]
    fn an_explanation_says_nothing_twice() {
        let error = anyhow::anyhow!("no such file").context("cannot read a: no such file").context("loading");
        assert_eq!(explain(&error), "loading: cannot read a: no such file");
    }
}
