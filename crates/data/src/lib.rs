//! What flows through ruminate. Every other crate speaks these types; none of them knows a tensor or a
//! tokenizer.
//!
//! - [`Task`]: a problem with an answer that a program can check; [`Message`]: one turn of a chat.
//! - [`Completion`]: what a policy produced for a prompt, as token ids with log-probabilities.
//! - [`Verdict`]: what a verifier says of a completion: correct, wrong, or *unscored*; [`Score`]: who says it.
//! - [`Group`]: the completions of one task with their verdicts, the unit of GRPO.
//! - [`Sample`]: token ids with a loss mask, the unit of supervised training; [`Epochs`]: their shuffled order.
//! - [`Seed`]: where randomness comes from.
//!
//! And where tasks come from: files ([`jsonl`]) or programs ([`procedural`], with [`traces`] to pretrain on),
//! kept apart for training and evaluation by [`split`] and [`decontaminate`].

pub mod decontaminate;
pub mod jsonl;
pub mod procedural;
pub mod split;
pub mod traces;

mod completion;
mod epochs;
mod error;
mod message;
mod nearest;
mod sample;
mod seed;
mod task;
mod verdict;

pub use completion::{Completion, FinishReason, Group, Routing};
pub use epochs::Epochs;
pub use error::Error;
pub use message::{Message, messages};
pub use nearest::nearest;
pub use sample::Sample;
pub use seed::Seed;
pub use task::{Prompt, Task};
pub use verdict::{Outcome, Score, Verdict};
