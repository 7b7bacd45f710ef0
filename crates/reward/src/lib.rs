//! Verifiers: what a completion is worth, decided by a program. This crate knows text and tasks, no token and no
//! tensor. Model output is untrusted: no text makes a verifier panic or hang, or makes it answer "correct" without an
//! answer.
//!
//! - [`Verifier`] judges a [`Response`] to a task. Of the answer: [`Exact`], [`Countdown`], [`Math`], [`LastNumber`],
//!   [`Gsm8k`], [`MultipleChoice`], [`Pattern`], [`TextMatch`], [`JsonAnswer`], [`InstructionFollowing`]. Of how it is written: [`Format`], [`TagCount`], [`LanguageId`],
//!   [`Repetition`], [`Overlong`].
//! - [`GroupReward`] comes after them and sees outcomes and siblings: [`Length`], [`Cosine`].
//! - External: [`code::Code`] runs programs in a sandbox; [`CommandReward`] and [`HttpReward`] ask the user's own.
//! - [`Rubric`]: their weighted sum, with [`Measure`]s of weight 0 beside it; [`Pool`] judges with it on other threads,
//!   under a deadline.
//! - [`check_address`], [`shown_address`]: what may stand in the address of a server, and what is shown of it.
//! - [`by_name`], [`with_options`], [`group_reward`], [`external`](fn@external): all of them by name.
//! - [`check_keywords`]: whether a kind reads every key of a line.
//! - [`survey`](fn@survey): how many answers of a data set a verifier can read.
//! - [`tags`]: the one reading of `<think>` and `<answer>` that all of them share.
//! - [`verify_line`], [`verify_line_in`]: what `ruminate verify` does with one line, without and with programs.
//!
//! # Example
//!
//! ```
//! use ruminate_data::{Outcome, Task};
//! use ruminate_reward::{Response, Rubric, Verifier, by_name};
//!
//! let rubric = Rubric::new(vec![(by_name("exact")?, 1.0), (by_name("format")?, 0.1)])?;
//! let response = Response::finished("<think>7+5=12</think><answer>12</answer>");
//! let verdict = rubric.verify(&Task::new("7+5=", "12"), &response);
//! assert_eq!((verdict.outcome, verdict.score), (Outcome::Correct, 1.1));
//! # Ok::<(), ruminate_reward::Error>(())
//! ```

mod error;
mod external;
mod group;
mod keywords;
mod parse;
mod pool;
mod registry;
mod rubric;
mod survey;
mod verifier;
mod verifiers;
mod verify;

pub use error::Error;
pub use external::address::{Bearer, check_address, shown_address};
pub use external::command::{CommandOptions, CommandReward};
pub use external::http::{HttpOptions, HttpReward};
pub use external::{EXTERNAL_KINDS, external, in_sandbox};
pub use group::length::{Cosine, Length};
pub use group::{GroupReward, Member};
pub use keywords::check_keywords;
pub use parse::tags;
pub use pool::{Attempt, Limits, Pool, ResponseGroup};
pub use registry::{GROUP_REWARDS, KINDS, by_name, check_options, group_reward, register, with_options};
pub use rubric::{Measure, Named, Rubric};
pub use survey::{Survey, survey};
pub use verifier::{Response, Tokens, Verifier};
pub use verifiers::choice::MultipleChoice;
pub use verifiers::code;
pub use verifiers::countdown::Countdown;
pub use verifiers::exact::Exact;
pub use verifiers::format::{EmptyThought, Format, Style, TagCount};
pub use verifiers::ifeval::{Following, InstructionFollowing};
pub use verifiers::json::{Check, JsonAnswer};
pub use verifiers::language::LanguageId;
pub use verifiers::math::{Golds, Math};
pub use verifiers::number::{Gsm8k, LastNumber};
pub use verifiers::overlong::Overlong;
pub use verifiers::pattern::{Extent, Pattern, Subject};
pub use verifiers::repetition::{Repetition, Unit};
pub use verifiers::text::{Metric, TextMatch};
pub use verify::{VerifiedLine, verify_line, verify_line_in};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
