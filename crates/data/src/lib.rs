//! Core types shared by all crates of ruminate. None of them contains a tensor, and none depends on a tokenizer.
//!
//! - [`Task`]: a problem with an answer that a program can check; [`Message`]: one turn of a chat.
//! - [`Problem`]: a task with its prompt in token ids.
//! - [`Request`] and [`Sink`]: what an engine is asked for, with its [`SamplingParams`], and who gets the result.
//! - [`Completion`]: what a policy produced for a prompt, as token ids with log-probabilities.
//! - [`Verdict`]: the judgement of a completion: correct, wrong, or *unscored*; [`Score`] judges groups of them.
//! - [`Group`]: the completions of one task with their verdicts, the unit of GRPO.
//! - [`Sample`]: token ids with a loss mask, the unit of supervised training; [`Epochs`]: their shuffled order.
//! - [`Seed`]: derived randomness. Every random decision names its place in a tree of seeds, so that thread
//!   interleaving, batch composition and resumption change no result.
//!
//! Tasks come from files ([`jsonl`], opened by [`container`]) or from programs ([`procedural`], with [`traces`] for pretraining). [`split`] and
//! [`decontaminate`] keep training and evaluation apart.
//!
//! # Example
//!
//! A family of problems, a training problem and a validation set that no training stream contains:
//!
//! ```
//! use ruminate_data::procedural::{Stream, by_name};
//! use ruminate_data::split::{Shares, Split};
//! use ruminate_data::{Seed, Verdict};
//! use serde_json::json;
//!
//! let gcd = by_name("gcd", &json!({ "max_value": 100 }))?;
//! let (shares, seed) = (Shares::default(), Seed::new(0));
//! let training = Stream::new(gcd.clone(), Split::Train, shares, seed)?;
//! let validation = Stream::new(gcd, Split::Validation, shares, seed)?.distinct(50)?;
//!
//! let task = training.task(0)?;
//! assert!(validation.iter().all(|other| other.prompt != task.prompt));
//! assert_eq!(task.columns["kind"], "exact");
//!
//! let judge = |answer: &str| if answer == task.answer { Verdict::correct(1.0) } else { Verdict::wrong(0.0) };
//! assert_eq!(judge(&task.answer).score, 1.0);
//! assert_eq!(judge("no number").score, 0.0);
//! # Ok::<(), ruminate_data::Error>(())
//! ```

pub mod container;
pub mod decontaminate;
pub mod jsonl;
pub mod procedural;
pub mod split;
pub mod traces;

mod completion;
mod epochs;
mod error;
mod generation;
mod history;
mod message;
mod nearest;
mod pools;
mod problem;
mod sample;
mod seed;
mod stop;
mod task;
mod verdict;

pub use completion::{Completion, FinishReason, Group, KeptIds, Routing, VersionSpan};
pub use epochs::Epochs;
pub use error::Error;
pub use generation::{Queue, Request, SamplingError, SamplingParams, Sink};
pub use history::{History, LogitEdit};
pub use message::{Message, messages};
pub use nearest::nearest;
pub use pools::{Pool, PoolShares, Pools};
pub use problem::{Problem, SourceError};
pub use sample::Sample;
pub use seed::Seed;
pub use stop::{Stop, ThinkingBudget};
pub use task::{Prompt, Task};
pub use verdict::{Outcome, Score, Verdict};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
