//! A policy gradient whose weight is a smooth function of the sequence's ratio (VESPO, arXiv 2602.10693; TRL's
//! `loss_type = "vespo"`).

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -φ(w) A logp_t` with `φ(w) = exp(λ + k ln w - λ w)`, w the product of a sequence's ratios, and no gradient through φ.
/// φ(1) is 1, and φ falls to 0 on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vespo {
    /// Of advantages from 0.
    pub positive: Gamma,
    /// Of negative ones.
    pub negative: Gamma,
}

/// The exponents of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gamma {
    /// k: how fast the weight grows with a small ratio.
    pub k: f64,
    /// λ: how fast it falls with a large one.
    pub lambda: f64,
}

/// Limits of ln w, those of the reference implementation: ln 1e-8, and 20.
const LOG_RATIO: (f64, f64) = (-18.420_680_743_952_367, 20.0);

impl Surrogate for Vespo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let device = logprobs.device();
        let by_sign = |of: fn(&Gamma) -> f64| {
            let (positive, negative) = (of(&self.positive) as f32, of(&self.negative) as f32);
            tokens.by_advantage(&device, |advantage| if advantage >= 0.0 { positive } else { negative })
        };
        let (k, lambda) = (by_sign(|gamma| gamma.k), by_sign(|gamma| gamma.lambda));
        let log_ratios = tokens.log_ratios(logprobs.clone().detach()).clamp(-20.0, 20.0);
        let log_w = tokens.sequence_sums(log_ratios).clamp(LOG_RATIO.0, LOG_RATIO.1);
        let phi = (lambda.clone() + k * log_w.clone() - lambda * log_w.exp()).exp();
        (phi * tokens.advantages_on(&device) * logprobs).neg().into()
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }

    fn spans_sequences(&self) -> bool {
        true
    }
}
