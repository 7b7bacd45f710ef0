//! A policy gradient weighted by the ratio, which is cut instead of clipped (CISPO, arXiv 2506.13585, section 3.1; TRL's
//! `loss_type = "cispo"`): no token loses its gradient.

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -clip(ρ_t, floor, limit) A logp_t`, without a gradient through the ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cispo {
    /// Lower limit of the ratio; 0 is none, as in the paper's runs and in TRL.
    pub floor: f64,
    /// Upper limit of the ratio, which bounds a correction of the sampler, too.
    pub limit: f64,
}

impl Surrogate for Cispo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let advantages = tokens.advantages_on(&logprobs.device());
        let ratio = tokens.log_ratios(logprobs.clone().detach()).exp();
        let Self { floor, limit } = *self;
        let losses = TokenLosses::from((ratio.clone().clamp(floor, limit) * advantages * logprobs).neg());
        losses.counting(ratio, move |ratio, advantage| {
            (ratio > limit && advantage > 0.0) || (ratio < floor && advantage < 0.0)
        })
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}
