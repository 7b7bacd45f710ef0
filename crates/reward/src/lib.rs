//! Verifiers: what a completion is worth, decided by a program. This crate knows text and tasks, no token and no
//! tensor. Model output is untrusted: no text makes a verifier panic, hang, or say correct without an answer.
//!
//! - [`Verifier`] judges a [`Response`] to a task. Of the answer: [`Exact`], [`Countdown`], [`Math`], [`LastNumber`], [`Gsm8k`],
//!   [`Choice`], [`Pattern`]. Of how it is written: [`Format`], [`TagCount`], [`Language`], [`Repetition`], [`Overlong`].
//! - [`Shaping`] comes after them and sees outcomes and siblings: [`Length`], [`Cosine`].
//! - From outside: [`code::Code`] runs programs in a sandbox; [`CommandReward`] and [`HttpReward`] ask the user's own.
//! - [`Rubric`]: their weighted sum, with [`Measure`]s of weight 0 beside it; [`Pool`] judges with it on other threads,
//!   under a deadline.
//! - [`check_address`], [`shown_address`]: what may stand in the address of a server, and what is shown of it.
//! - [`by_name`], [`with_options`], [`shaping`]: all of them by name.
//! - [`tags`]: the one reading of `<think>` and `<answer>` that all of them share.
//! - [`verify_line`]: what `ruminate verify` does with one line.

mod address;
mod choice;
pub mod code;
mod command;
mod concurrency;
mod countdown;
mod decimal;
mod error;
mod exact;
mod exchange;
mod expression;
mod factory;
mod format;
mod http;
mod language;
mod length;
mod math;
mod number;
mod outside;
mod pattern;
mod pool;
mod rational;
mod repetition;
mod rubric;
mod shaping;
mod stopwords;
pub mod tags;
mod verifier;
mod verify;
mod workers;
#[cfg(test)]
mod workers_on_threads;

pub use address::{Bearer, check_address, shown_address};
pub use choice::Choice;
pub use command::{CommandOptions, CommandReward};
pub use countdown::Countdown;
pub use error::Error;
pub use exact::Exact;
pub use factory::{KINDS, SHAPINGS, by_name, check_options, shaping, with_options};
pub use format::{EmptyThought, Format, Style, TagCount};
pub use http::{HttpOptions, HttpReward};
pub use language::Language;
pub use length::{Cosine, Length, Overlong};
pub use math::Math;
pub use number::{Gsm8k, LastNumber};
pub use outside::{OUTSIDE_KINDS, in_sandbox, outside};
pub use pattern::{Extent, Pattern, Subject};
pub use pool::{Attempt, Attempts, Limits, Pool};
pub use repetition::{Repetition, Unit};
pub use rubric::{Measure, Named, Rubric};
pub use shaping::{Member, Shaping};
pub use verifier::{Response, Tokens, Verifier};
pub use verify::{VerifiedLine, verify_line};
