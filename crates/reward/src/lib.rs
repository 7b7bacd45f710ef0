//! Verifiers: what a completion is worth, decided by a program. This crate knows text and tasks, no token and no
//! tensor. Model output is untrusted: no text makes a verifier panic, hang, or say correct without an answer.
//!
//! - [`Verifier`] judges a [`Response`] to a task; [`by_name`] finds one, [`exact`](Exact), [`format`](Format),
//!   [`countdown`](Countdown) are here.
//! - [`Rubric`]: their weighted sum, with [`Measure`]s of weight 0 beside it.
//! - [`tags`]: the one reading of `<think>` and `<answer>` that all of them share.
//! - [`verify_line`]: what `ruminate verify` does with one line.

mod countdown;
mod error;
mod exact;
mod expression;
mod factory;
mod format;
mod rational;
mod rubric;
pub mod tags;
mod verifier;
mod verify;

pub use countdown::Countdown;
pub use error::Error;
pub use exact::Exact;
pub use factory::{KINDS, by_name, with_options};
pub use format::{EmptyThought, Format};
pub use rubric::{Measure, Rubric};
pub use verifier::{Response, Tokens, Verifier};
pub use verify::{VerifiedLine, verify_line};
