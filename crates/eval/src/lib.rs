//! Measures how good a policy is: pass@1, pass@k and cons@k with confidence intervals, from completions that are
//! sampled and judged elsewhere. This crate knows no models, tokenizers or verifiers.
//!
//! - [`evaluate`] turns the [`Group`](ruminate_data::Group)s of one evaluation into an [`Evaluation`], a row of `eval.jsonl`.
//! - [`by_part`] splits it by task and by difficulty; [`compare`] compares two policies on the same problems.
//! - [`table`] sets evaluations side by side for people; [`cut_off`] says which figures are doubtful.
//! - [`metrics`] has the estimators one by one, with their sources.
//!
//! A completion that the verifier left unscored is neither right nor wrong: it is left out of every mean and counted.
//!
//! # Example
//!
//! ```
//! use ruminate_data::{Completion, FinishReason, Group, Seed, Verdict};
//! use ruminate_eval::{evaluate, metrics, table};
//!
//! // Two problems with four samples each, of which three and one are correct.
//! let group = |task: usize, correct: usize| {
//!     let completion = Completion::new(vec![1], vec![2; 10], vec![-0.1; 10], FinishReason::Stop);
//!     let verdict = |sample| if sample < correct { Verdict::correct(1.0) } else { Verdict::wrong(0.0) };
//!     Group { task, completions: vec![completion; 4], verdicts: (0..4).map(verdict).collect() }
//! };
//! let report = evaluate(0, "validation", &[group(0, 3), group(1, 1)], None, Seed::new(0))?;
//! assert_eq!(report.pass_at_1, Some(0.5));
//! print!("{}", table(&[("policy", &report)]));
//!
//! assert_eq!(metrics::pass_at_k(4, 1, 2), 0.5);
//! # Ok::<(), ruminate_eval::Error>(())
//! ```

mod comparison;
mod evaluation;
pub mod metrics;
mod slices;
mod table;

pub use comparison::{Comparison, compare};
pub use evaluation::{Error, by_part, evaluate};
pub use ruminate_run::rows::{AtK, Evaluation, Slice};
pub use slices::slices;
pub use table::{cut_off, slice_table, table};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
