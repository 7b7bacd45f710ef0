//! Corrections: what `grpo.correction` chooses against the difference between sampler and trainer. A file per choice.

mod cap;
mod truncate;

use super::Tokens;
use serde::{Deserialize, Serialize};

/// Upper limit of an importance ratio between sampler and trainer: TRL's `vllm_importance_sampling_clip_max`.
const LIMIT: f64 = 3.0;

/// How the difference between sampler and trainer is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// The ratio is against the sampler and has no limit but that of the surrogate.
    #[default]
    None,
    /// The ratio is against the sampler and at most 3, or `1 + epsilon_high` where that is more.
    Cap,
    /// The ratio is against the trainer's policy before the step, which takes one more forward pass; the
    /// loss is multiplied by the ratio of that policy to the sampler, at most 3 (truncated importance
    /// sampling; TRL's `token_truncate`).
    Truncate,
}

impl Correction {
    /// The largest ratio that a surrogate whose clip ends at `upper_end` may use; none without a cap.
    pub fn limit(self, upper_end: f64) -> Option<f64> {
        (self == Self::Cap).then(|| cap::limit(upper_end))
    }

    /// What each token's surrogate is multiplied by; none for 1 throughout.
    pub(super) fn weights(self, tokens: &Tokens) -> Option<Vec<f32>> {
        (self == Self::Truncate).then(|| truncate::weights(tokens))
    }

    /// Whether the ratio is against the trainer's policy before the step instead of the sampler.
    pub(crate) fn needs_trainer_logprobs(self) -> bool {
        self == Self::Truncate
    }
}
