//! The rows of `validation.jsonl`: the small validation during training.

use serde::{Deserialize, Serialize};

/// What the policy did on a few fixed problems that training never sees, one sample each. Shares lie in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The step of training after which it was taken; 0 is before training.
    pub step: u64,
    /// Number of problems.
    pub n: usize,
    /// Share of the scored samples that are right; none where no sample was scored.
    #[serde(rename = "pass@1")]
    pub pass_at_1: Option<f64>,
    /// Mean reward of the scored samples; none where no sample was scored.
    pub reward: Option<f64>,
    /// Mean length of a completion in tokens.
    pub completion_length_mean: f64,
    /// Share of completions that reached the length limit.
    pub truncated: f64,
    /// Completions that no verifier could judge.
    pub unscored: usize,
    /// Whether the measure is better than that of every row before.
    pub is_best: bool,
    /// Validations in a row, with this one, at which the measure did not rise by more than
    /// `eval.early_stopping_threshold`.
    pub patience_counter: usize,
    /// Whether the run stopped early after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}
