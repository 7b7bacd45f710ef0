//! The divergence from the reference policy: what `grpo.kl_estimator`, `kl_placement` and `kl_straight_through` choose.
//!
//! ```text
//! d = log π_ref(o_t) - log π(o_t)
//! k1 = -d      abs = |d|      k2 = d²/2      k3 = exp(d) - d - 1        (Schulman 2020, joschu.net/blog/kl-approx.html)
//! unbiased = ρ_t k3                                                     (DeepSeek-V3.2, arXiv 2512.02556, section 3.1)
//! ```
//!
//! The mean of k1 and of k3 is KL(π || π_ref) on tokens that π drew. The mean of their gradients is not that of KL: it is 0 for k1, and
//! that of KL(π_ref || π) for k3. k2 and `unbiased` have the gradient of KL.

// N loss tokens

use super::Tokens;
use super::tokens::upload;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The term that holds the policy at its reference; its weight is `beta`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kl {
    /// What is computed of a token.
    pub estimator: KlEstimator,
    /// Whether the gradient is k2's, whatever the value.
    pub straight_through: bool,
    /// Where it is added.
    pub placement: KlPlacement,
}

/// The estimate of KL(π || π_ref) by one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// log π - log π_ref: unbiased, of either sign. In the loss its mean gradient is 0, so that
    /// `kl_straight_through` is needed there.
    K1,
    /// The size of k1. Its gradient has the size of one token's, whatever the distance.
    Abs,
    /// Half the square of k1: a biased value whose gradient is that of KL.
    K2,
    /// exp(d) - d - 1, d = -k1: unbiased and never negative. Its gradient is that of KL(π_ref || π).
    #[default]
    K3,
    /// k3 times the importance ratio, with gradient through both: that of KL (DeepSeek-V3.2; TRL's
    /// `use_bias_correction_kl`).
    Unbiased,
}

/// Where the KL term is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlPlacement {
    /// To the loss of each token.
    #[default]
    Loss,
    /// From a completion's reward `beta` times the sum over its tokens is subtracted, before advantages are computed
    /// (RLOO; PPO's form). The sampler stands for the policy.
    Reward,
}

impl Kl {
    /// The estimates of the tokens that count, with gradient; 0 for the others, and where the reference is not finite.
    ///
    /// # Shapes
    /// - `logprobs`: `[N]`, under the policy; result: `[N]`
    pub(super) fn of(self, logprobs: &Tensor<1>, tokens: &Tokens) -> Tensor<1> {
        let device = logprobs.device();
        let known: Vec<bool> = tokens
            .counted()
            .zip(&tokens.reference)
            .map(|(counts, reference)| counts && reference.is_finite())
            .collect();
        let reference: Vec<f32> =
            known.iter().zip(&tokens.reference).map(|(&known, &of)| if known { of } else { 0.0 }).collect();
        let known: Vec<f32> = known.into_iter().map(|known| f32::from(u8::from(known))).collect();
        // Masked before exp: 0 x inf would be NaN in the backward pass.
        let d = (upload(&reference, &device) - logprobs.clone()) * upload(&known, &device);
        let value = match self.estimator {
            KlEstimator::K1 => d.clone().neg(),
            KlEstimator::Abs => d.clone().abs(),
            KlEstimator::K2 => d.clone().square() * 0.5,
            KlEstimator::K3 => d.clone().exp() - d.clone() - 1.0,
            KlEstimator::Unbiased => {
                (d.clone().exp() - d.clone() - 1.0) * tokens.log_ratios(logprobs.clone()).exp()
            }
        };
        if self.straight_through {
            let k2 = d.square() * 0.5;
            k2.clone() - k2.detach() + value.detach()
        } else {
            value
        }
    }
}

impl KlEstimator {
    /// The estimate by one token that the policy drew, in nats; 0 where a log-probability is not finite. `unbiased` is k3 there.
    pub(crate) fn value(self, policy: f32, reference: f32) -> f64 {
        let d = f64::from(reference) - f64::from(policy);
        match self {
            _ if !d.is_finite() => 0.0,
            Self::K1 => -d,
            Self::Abs => d.abs(),
            Self::K2 => d * d / 2.0,
            Self::K3 | Self::Unbiased => d.exp() - d - 1.0,
        }
    }
}
