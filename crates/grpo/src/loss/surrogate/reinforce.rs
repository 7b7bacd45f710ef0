//! The policy gradient on policy (REINFORCE, Williams 1992; verl's `gpg`): there is no ratio.

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// `l_t = -A logp_t`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reinforce;

impl Surrogate for Reinforce {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        (tokens.advantages_on(&logprobs.device()) * logprobs).neg().into()
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}
