//! Distillation, by default as DeepSeek-R1 does it (arXiv 2501.12948, section 2.4): a teacher solves problems, what it got right
//! becomes the student's training data. It knows token ids and verdicts; text, and how verdicts come about, are the
//! caller's. Teacher and student may have different tokenizers: the caller decodes a [`Trace`] and encodes it anew.
//!
//! - [`sample_traces`]: several completions of each problem, scored.
//! - [`select`]: rejection sampling; what was dropped is counted by its [`Report`].
//! - [`source`]: the samples in a new order each epoch, for [`train::supervised`](ruminate_train::supervised).
//!
//! Where both have one tokenizer, the student can learn more of its teacher than what it wrote:
//!
//! - [`logits`]: its distribution at every token of the traces, by a [`divergence`] over what is kept of it.
//! - [`on_policy`]: its opinion of every token that the student writes.

mod config;
mod divergence;
mod error;
pub mod logits;
pub mod on_policy;
mod sampling;
mod selection;
mod source;

pub use config::{Config, Method};
pub use divergence::divergence;
pub use error::Error;
pub use sampling::{Setup, sample_traces};
pub use selection::{Report, Selection, Trace, select};
pub use source::source;
