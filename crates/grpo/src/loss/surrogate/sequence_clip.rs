//! The clip of a completion's ratio as one action (RLOO, arXiv 2402.14740, section 3.3; TRL's `RLOOTrainer`).

// N loss tokens

use super::{Clip, Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// [`Clip`] on the product of a sequence's ratios, which all of its tokens share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequenceClip(pub Clip);

impl Surrogate for SequenceClip {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        self.0.of_log_ratios(tokens.sequence_sums(tokens.log_ratios(logprobs)), tokens, correction)
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }

    fn spans_sequences(&self) -> bool {
        true
    }
}
