//! The geometric mean of clipped ratios (GMPO, arXiv 2507.20673; TRL's `GMPOTrainer`, verl's `geo_mean`).

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -exp(mean of the sequence's clipped ln ρ) A`: the clip is in log space, and holds in the direction of the advantage
/// only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoMean {
    /// How far ln ρ may fall below 0 where A is not positive.
    pub epsilon: f64,
    /// How far it may rise above 0 where A is.
    pub epsilon_high: f64,
}

impl Surrogate for GeoMean {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let device = logprobs.device();
        let (low, high) = (-self.epsilon, self.epsilon_high);
        let upper = tokens.by_advantage(&device, |a| if a > 0.0 { high as f32 } else { f32::MAX });
        let lower = tokens.by_advantage(&device, |a| if a > 0.0 { f32::MIN } else { low as f32 });
        let log_ratios = tokens.log_ratios(logprobs);
        let counted = log_ratios.clone();
        let clipped = log_ratios.min_pair(upper).max_pair(lower);
        let values = (tokens.sequence_means(clipped).exp() * tokens.advantages_on(&device)).neg();
        TokenLosses::from(values).counting(counted, move |log_ratio, advantage| {
            (log_ratio < low && advantage < 0.0) || (log_ratio > high && advantage > 0.0)
        })
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }

    fn spans_sequences(&self) -> bool {
        true
    }
}
