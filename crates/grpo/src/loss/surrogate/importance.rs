//! The policy gradient off policy: each token's ratio without a clip (Tinker's `importance_sampling`).

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -ρ_t A`; a correction's cap is the only limit of the ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImportanceSampling;

impl Surrogate for ImportanceSampling {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        let advantages = tokens.advantages_on(&logprobs.device());
        let ratio = tokens.log_ratios(logprobs).exp();
        match correction.limit(1.0) {
            Some(limit) => TokenLosses::from((ratio.clone().clamp_max(limit) * advantages).neg())
                .counting(ratio, move |ratio, _| ratio > limit),
            None => (ratio * advantages).neg().into(),
        }
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}
