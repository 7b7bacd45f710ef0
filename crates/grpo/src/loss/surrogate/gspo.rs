//! The clip of each sequence's ratio (GSPO, arXiv 2507.18071): eq. 5-7, and the token form of eq. 13-14.

// N loss tokens

use super::{Clip, Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;

/// [`Clip`] on the geometric mean of a sequence's ratios, which all of its tokens share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gspo(pub Clip);

impl Surrogate for Gspo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        self.0.of_log_ratios(tokens.sequence_means(tokens.log_ratios(logprobs)), tokens, correction)
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }

    fn spans_sequences(&self) -> bool {
        true
    }
}

/// [`Clip`] on `sg(s) π_t / sg(π_t)`, with s the same geometric mean (verl's and Tinker's form): the value of [`Gspo`], and each
/// token has the gradient of its own log-probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GspoToken(pub Clip);

impl Surrogate for GspoToken {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        let log_ratios = tokens.log_ratios(logprobs);
        let held = log_ratios.clone().detach();
        let shared = tokens.sequence_means(held.clone());
        self.0.of_log_ratios(shared + (log_ratios - held), tokens, correction)
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }

    fn spans_sequences(&self) -> bool {
        true
    }
}
