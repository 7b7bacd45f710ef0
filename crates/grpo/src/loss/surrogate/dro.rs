//! Direct reward optimization (DRO, arXiv 2405.19107; Tinker's and verl's `dro`): a policy gradient held by the square
//! of the log-ratio.

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -(A logp_t - beta/2 (ln ρ_t)²)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dro {
    /// Weight of the square.
    pub beta: f64,
}

impl Surrogate for Dro {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let advantages = tokens.advantages_on(&logprobs.device());
        let drift = tokens.log_ratios(logprobs.clone()).square();
        (drift * (0.5 * self.beta) - advantages * logprobs).into()
    }
}
