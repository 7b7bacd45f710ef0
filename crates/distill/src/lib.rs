//! Distillation, by default as DeepSeek-R1 does it (arXiv 2501.12948, section 2.4): a teacher solves problems, what it
//! got right becomes the student's training data. It knows token ids and verdicts; text, and how verdicts come about,
//! are the caller's. Teacher and student may have different tokenizers: the caller decodes a [`Trace`] and encodes it
//! again.
//!
//! - [`sample_traces`]: several completions of each problem, scored.
//! - [`select`]: rejection sampling; what was dropped is counted by its [`SelectionStats`].
//! - [`source`]: the samples in a new order each epoch, for [`train::supervised`](ruminate_train::supervised).
//!
//! Where both have one tokenizer, the student can learn more of its teacher than what it wrote:
//!
//! - [`logits`]: its distribution at every token of the traces, by a [`divergence`] over what is kept of it.
//! - [`on_policy`]: its opinion of every token that the student writes.
//!
//! # Example
//!
//! Rejection sampling keeps one of four completions:
//!
//! ```
//! use ruminate_data::{Completion, FinishReason, Group, Seed, Verdict};
//! use ruminate_distill::{Config, select, source};
//!
//! // Four completions of one prompt with their verdicts; token 1 ends a completion.
//! let completion = |ids: &[u32], finish_reason| Completion::new(vec![7, 8], ids.to_vec(), vec![-0.5; ids.len()], finish_reason);
//! let correct = Verdict::correct(1.0).with_reward("format", 1.0);
//! let groups = [Group {
//!     task: 0,
//!     completions: vec![
//!         completion(&[4, 2, 1], FinishReason::Stop),
//!         completion(&[4, 2, 1], FinishReason::Stop),
//!         completion(&[9, 1], FinishReason::Stop),
//!         completion(&[4, 4, 4], FinishReason::Length),
//!     ],
//!     verdicts: vec![correct.clone(), correct, Verdict::wrong(0.0), Verdict::wrong(0.0)],
//! }];
//! let selection = select(&groups, &Config::default());
//! let report = selection.report;
//! assert_eq!((report.sampled, report.kept), (4, 1));
//! assert_eq!((report.duplicate, report.wrong, report.truncated), (1, 1, 1));
//!
//! // The kept traces in a shuffled order, as `ruminate_train::supervised` reads them.
//! let samples = selection.samples();
//! let mut source = source(&samples, Seed::new(0))?;
//! assert_eq!(source(0)?.ids, [7, 8, 4, 2, 1]);
//! # Ok::<(), ruminate_data::SourceError>(())
//! ```
//!
//! The divergence at one token, with what is kept of the teacher's distribution:
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use ruminate_distill::divergence;
//!
//! // ln p of two tokens, and of all other tokens together.
//! let device = Device::flex();
//! let teacher = Tensor::<2>::from_floats([[0.7, 0.2, 0.1]], &device).log();
//! let student = Tensor::<2>::from_floats([[0.4, 0.4, 0.2]], &device).log();
//!
//! let forward_kl = divergence(student, teacher.clone(), 0.0).into_scalar::<f32>();
//! assert!((forward_kl - 0.1838).abs() < 1e-3); // 0.7 ln 7/4 + 0.2 ln 1/2 + 0.1 ln 1/2
//! let itself = divergence(teacher.clone(), teacher, 0.0).into_scalar::<f32>();
//! assert!(itself.abs() < 1e-6);
//! ```

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
pub use sampling::{SamplingArgs, sample_traces};
pub use selection::{Selection, SelectionStats, Trace, select};
pub use source::source;

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
