//! PPO's clip of each token's ratio (arXiv 1707.06347, eq. 7), with DAPO's upper end and INTELLECT-2's limit.

// N loss tokens

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -min(min(ρ_t, delta) A, clip(ρ_t, 1 - epsilon, 1 + epsilon_high) A)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// How far the ratio may fall below 1.
    pub epsilon: f64,
    /// How far it may rise above 1 (DAPO's clip-higher, arXiv 2503.14476).
    pub epsilon_high: f64,
    /// Upper limit of the unclipped ratio (INTELLECT-2's two-sided clip, arXiv 2505.07291); a correction's stands in
    /// where it is missing.
    pub delta: Option<f64>,
}

impl Surrogate for Clip {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        self.of_log_ratios(tokens.log_ratios(logprobs), tokens, correction)
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}

impl Clip {
    /// # Shapes
    /// - `log_ratios`: `[N]`, of tokens or of their sequences
    pub(super) fn of_log_ratios(
        &self,
        log_ratios: Tensor<1>,
        tokens: &Tokens,
        correction: Correction,
    ) -> TokenLosses {
        let (low, high) = (1.0 - self.epsilon, 1.0 + self.epsilon_high);
        let advantages = tokens.advantages_on(&log_ratios.device());
        let ratio = log_ratios.exp();
        let is_held = move |ratio: f64, advantage: f32| {
            (ratio < low && advantage < 0.0) || (ratio > high && advantage > 0.0)
        };
        let counted = ratio.clone();
        let bounded = ratio.clone().clamp(low, high);
        let unclipped = match self.delta.or_else(|| correction.limit(high)) {
            Some(limit) => ratio.clamp_max(limit),
            None => ratio,
        };
        let values = (unclipped * advantages.clone()).min_pair(bounded * advantages).neg();
        TokenLosses::from(values).counting(counted, is_held)
    }
}
