//! How good a policy is: pass@1, pass@k and cons@k with confidence intervals, from completions that somebody else
//! sampled and judged. This crate refuses to know models, tokenizers and verifiers.
//!
//! - [`Report::new`] turns the [`Group`](ruminate_data::Group)s of one evaluation into one row of `eval.jsonl`.
//! - [`slices`] tells it by task and by difficulty; [`compare`] two policies on the same problems.
//! - [`table`] sets reports side by side for people; [`cut_off`] says which figures are doubtful.
//! - [`metrics`] has the estimators one by one, with their sources.
//!
//! A completion that the verifier left unscored is neither right nor wrong: it is left out of every mean and
//! counted.

mod comparison;
pub mod metrics;
mod report;
mod slices;
mod table;

pub use comparison::{Comparison, compare};
pub use report::{AtK, Error, Report};
pub use slices::{Slice, slices};
pub use table::{cut_off, slice_table, table};
