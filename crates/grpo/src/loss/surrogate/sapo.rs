//! A soft gate in place of the clip (SAPO, arXiv 2511.20347; TRL's `loss_type = "sapo"`).

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

/// `l_t = -4/τ σ(τ (ρ_t - 1)) A`, with τ by the sign of A: the gradient is ρ's at 1 and fades on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sapo {
    /// τ of positive advantages.
    pub positive: f64,
    /// τ of the others: larger, so that they fade sooner.
    pub negative: f64,
}

impl Surrogate for Sapo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let device = logprobs.device();
        let by_sign = |positive: f64, negative: f64| {
            move |advantage: f32| if advantage > 0.0 { positive as f32 } else { negative as f32 }
        };
        let temperature = tokens.by_advantage(&device, by_sign(self.positive, self.negative));
        let scale = tokens.by_advantage(&device, by_sign(4.0 / self.positive, 4.0 / self.negative));
        let ratio = tokens.log_ratios(logprobs).exp();
        let gate = sigmoid(temperature * (ratio - 1.0)) * scale;
        (gate * tokens.advantages_on(&device)).neg().into()
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}
