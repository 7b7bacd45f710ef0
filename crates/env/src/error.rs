//! What can be wrong with the tables of a recipe that this crate takes, or with the files that they name.

use crate::Room;
use ruminate_data::Error as DataError;
use std::io;
use std::path::{Path, PathBuf};

/// Errors of this crate, a variant for each cause that a caller can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No problem is held out.
    #[error("`split.validation` is 0; expected a share above 0, to measure on")]
    NothingHeldOut,
    /// Neither a family nor a file of problems is named.
    #[error("no problems: set `data.task` to a procedural family or `data.train` to a JSONL file")]
    NoProblems,
    /// Training asks for problems, and there is only a file to evaluate on.
    #[error("`data.eval` alone has nothing to train on; set `data.train`")]
    NothingToTrainOn,
    /// Examples are the first rows of a file that is not named.
    #[error(
        "`data.shots` = {count} takes the first rows of `data.train`, which is not set; expected it, or the \
         path of a JSONL file of examples"
    )]
    ShotsWithoutFile {
        /// Rows asked for.
        count: usize,
    },
    /// A preamble beside texts that are trained on as they stand.
    #[error(
        "`data.{key}` stands before messages, and rows of `prompt` and `completion` are trained on as they \
         stand; write it into `prompt`, or give rows of `messages`"
    )]
    BesideTexts {
        /// The key that has no effect.
        key: &'static str,
    },
    /// Prompts of a family do not fit into the model's positions.
    #[error(
        "the tasks do not fit into the model: {}; {}, or make the tasks smaller",
        room.sum(*prompt_tokens), room.advice(*prompt_tokens)
    )]
    DoNotFit {
        /// Tokens of the longest prompt.
        prompt_tokens: usize,
        /// What it must fit into.
        room: Room,
    },
    /// A deadline of verifiers that is none.
    #[error("`timeout_s` is {seconds}; expected seconds above 0, at most a day")]
    Timeout {
        /// What was given.
        seconds: f64,
    },
    /// Rows are about programs, and no reward runs them.
    #[error(
        "the rows have a column `{column}`: answers are programs, which only the kind `code` judges, and a recipe \
         has to name it, since it runs what the model writes: `reward.components = [{{ kind = \"code\" }}]` \
         (docs/cli.md has what the sandbox holds back)"
    )]
    Programs {
        /// The column of tests.
        column: &'static str,
    },
    /// No component decides what is correct.
    #[error("`components` has no verifier that decides what is correct; add one, such as exact")]
    NoVerifier,
    /// A key of the short form beside components.
    #[error(
        "`{key}` has no effect beside `components`, which are the whole reward; make it one of them, or \
         remove it"
    )]
    NoEffect {
        /// The key.
        key: &'static str,
    },
    /// A group reward with a name.
    #[error("component `{kind}`: expected no `name`, since there is one of its kind at most")]
    NamedGroupReward {
        /// Its kind.
        kind: String,
    },
    /// A component that cannot be.
    #[error("component `{kind}`: {error}")]
    Component {
        /// Its kind.
        kind: String,
        /// What is wrong with it. Its text is part of this error's.
        error: Box<ruminate_reward::Error>,
    },
    /// Programs cannot run here, so that every completion would be unscored.
    #[error("component `code`: {0}")]
    Sandbox(ruminate_sandbox::Failure),
    /// The system does not name this program, which is the sandbox's helper.
    #[error("the path of this program, which is its own sandbox helper: {0}")]
    Helper(io::Error),
    /// A line of a file, counted from 1, that is not what it must be.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number.
        line: usize,
        /// What was expected, and what was found.
        problem: String,
    },
    /// A file has too few problems for training and evaluation.
    #[error(
        "{}: expected problems to train on and to hold out, found {training} and {validation}: {why}",
         path.display()
    )]
    TooFewProblems {
        /// The file.
        path: PathBuf,
        /// Problems to train on.
        training: usize,
        /// Problems to evaluate on.
        validation: usize,
        /// Where they went, and what to do.
        why: String,
    },
    /// No prompt of a file fits into the model's positions.
    #[error(
        "{}: all {prompts} prompts have more than {} tokens ({}), the shortest {shortest}; {}",
         path.display(),
        room.prompt(), room.why(), room.remedy(*shortest)
    )]
    AllTooLong {
        /// The file.
        path: PathBuf,
        /// Its prompts.
        prompts: usize,
        /// Tokens of the shortest.
        shortest: usize,
        /// What it must fit into.
        room: Room,
    },
    /// Of a file of rows, or of a family.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Of a text that is rendered or encoded.
    #[error(transparent)]
    Text(#[from] ruminate_text::Error),
    /// Of the reward.
    #[error(transparent)]
    Reward(#[from] ruminate_reward::Error),
}

impl Error {
    /// Whether options are wrong (keys of a recipe), and not a file, a text or the system.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NothingHeldOut
            | Self::NoProblems
            | Self::NothingToTrainOn
            | Self::ShotsWithoutFile { .. }
            | Self::BesideTexts { .. }
            | Self::DoNotFit { .. }
            | Self::Timeout { .. }
            | Self::NoVerifier
            | Self::Programs { .. }
            | Self::NoEffect { .. }
            | Self::NamedGroupReward { .. }
            | Self::Component { .. }
            | Self::Reward(_) => true,
            Self::Data(error) => !matches!(
                error,
                DataError::Read { .. }
                    | DataError::Format { .. }
                    | DataError::TooManyRows { .. }
                    | DataError::Jsonl { .. }
                    | DataError::Empty { .. }
            ),
            Self::Text(error) => error.is_usage(),
            Self::Sandbox(_)
            | Self::Helper(_)
            | Self::Line { .. }
            | Self::TooFewProblems { .. }
            | Self::AllTooLong { .. } => false,
        }
    }

    pub(crate) fn line(path: &Path, line: usize, problem: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, problem: problem.into() }
    }
}
