//! PPO's clip of each token's ratio (arXiv 1707.06347, eq. 7), with DAPO's upper end, INTELLECT-2's limit and the dual clip.

// N loss tokens

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -min(min(ρ_t, delta) A, clip(ρ_t, 1 - epsilon, 1 + epsilon_high) A)`, and at most `-dual A` where A < 0
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// How far the ratio may fall below 1.
    pub epsilon: f64,
    /// How far it may rise above 1 (DAPO's clip-higher, arXiv 2503.14476).
    pub epsilon_high: f64,
    /// Upper limit of the unclipped ratio (INTELLECT-2's two-sided clip, arXiv 2505.07291); a correction's stands in
    /// where it is missing.
    pub delta: Option<f64>,
    /// Upper limit of the ratio of negative advantages, clipped or not (dual clip, arXiv 1912.09729).
    pub dual: Option<f64>,
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
        let device = log_ratios.device();
        let (low, high) = (1.0 - self.epsilon, 1.0 + self.epsilon_high);
        let advantages = tokens.advantages_on(&device);
        let ratio = log_ratios.exp();
        let beyond = self.dual.unwrap_or(f64::INFINITY);
        let is_held = move |ratio: f64, advantage: f32| {
            (advantage < 0.0 && (ratio < low || ratio > beyond)) || (ratio > high && advantage > 0.0)
        };
        let counted = ratio.clone();
        let bounded = ratio.clone().clamp(low, high);
        let unclipped = match self.delta.or_else(|| correction.limit(high)) {
            Some(limit) => ratio.clamp_max(limit),
            None => ratio,
        };
        let clipped = (unclipped * advantages.clone()).min_pair(bounded * advantages).neg();
        let values = match self.dual {
            Some(dual) => {
                let most = |advantage: f32| if advantage < 0.0 { -advantage * dual as f32 } else { f32::MAX };
                clipped.min_pair(tokens.by_advantage(&device, most))
            }
            None => clipped,
        };
        TokenLosses::from(values).counting(counted, is_held)
    }
}
