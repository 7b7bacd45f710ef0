//! The rows of a run folder's logs, typed once for the programs that write them and for those that read them. This module
//! does not know which program writes a row, nor where its file lies: see [`RunFolder`](crate::RunFolder).
//!
//! | file | row |
//! |---|---|
//! | `eval.jsonl` | [`Evaluation`], or [`ValidationLoss`] in supervised runs; [`Figures`] reads both by name |
//! | `validation.jsonl` | [`Validation`] |
//! | `samples/step-NNNNNN.jsonl` | [`Sample`] |
//! | `completions/step-NNNNNN.jsonl` | [`Completion`] |
//! | `tokens/step-NNNNNN.jsonl` | [`Tokens`] |
//! | `moe.jsonl` | [`ExpertLoad`] |
//! | `metrics.jsonl` | `step` and numbers by name |
//!
//! Rows of `metrics.jsonl` and `eval.jsonl` that raised an [`Alarm`] have it under [`ALARMS`]. Rows of version 0.1 are read
//! with their names of today ([`set_name`]).

mod evaluation;
mod figures;
mod validation;
mod written;

pub use evaluation::{AtK, Evaluation, Slice, ValidationLoss};
pub use figures::{Figures, Kind, Label, in_order, label};
pub use validation::Validation;
pub use written::{ALARMS, Alarm, Completion, ExpertLoad, Sample, Tokens, alarms};

use ruminate_data::jsonl::Mismatch;
use serde_json::{Map, Value};

/// A row's `step`.
///
/// # Errors
/// Where there is none, or it is no whole number.
pub fn step(row: &Map<String, Value>) -> Result<u64, Mismatch> {
    match row.get("step") {
        Some(step) => step.as_u64().ok_or_else(|| mismatch("`step` to be a whole number", "something else")),
        None => Err(mismatch("a key `step`", "none")),
    }
}

/// The name of a set of problems as it is today: `held_out` of version 0.1 is `validation`, `fresh` is `test`.
///
/// ```
/// use ruminate_run::rows::set_name;
///
/// assert_eq!(set_name("held_out/empty_thought"), "validation/empty_thought");
/// assert_eq!(set_name("my_set"), "my_set");
/// ```
pub fn set_name(name: &str) -> String {
    let (set, rest) = name.split_once('/').map_or((name, None), |(set, rest)| (set, Some(rest)));
    let set = match set {
        "held_out" => "validation",
        "fresh" => "test",
        other => other,
    };
    rest.map_or_else(|| set.to_owned(), |rest| format!("{set}/{rest}"))
}

fn mismatch(expected: &str, found: &str) -> Mismatch {
    Mismatch { expected: expected.to_owned(), found: found.to_owned() }
}
