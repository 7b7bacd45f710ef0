//! What a supervised step learns, and by which loss of its tokens. The next token of given samples is one lesson, what a
//! teacher says of them another; the trainer, [`supervised`](crate::supervised), is the same.

// N places with loss

use crate::logprobs::token_logprobs;
use crate::packing::Packed;
use crate::{Metrics, Observer, State};
use burn::tensor::Tensor;
use ruminate_data::Sample;
use ruminate_model::Decoder;
use std::ops::Range;

/// The samples of a step, each with whatever its loss needs to know of it.
#[derive(Clone, Debug)]
pub struct Batch<I> {
    /// The samples.
    pub items: Vec<I>,
    /// What making them measured; it becomes part of the step's metrics.
    pub metrics: Metrics,
}

impl<I> From<Vec<I>> for Batch<I> {
    fn from(items: Vec<I>) -> Self {
        Self { items, metrics: Metrics::default() }
    }
}

/// Gives the batch of a step, which has these indices of the source. It depends on them and on the state alone, not on what
/// was asked before: then a resumed run is the uninterrupted one.
pub type Batches<'a, I, E> = dyn FnMut(&State, Range<u64>, &mut dyn Observer) -> Result<Batch<I>, E> + 'a;

/// The loss of a microbatch: from the policy, its hidden states `[B * T, D]` of the packed rows, these, and the items in the
/// order in which their sequences were packed.
pub type Loss<'a, I> = dyn Fn(&Decoder, Tensor<2>, &Packed, &[&I]) -> TokenLoss + Sync + 'a;

/// Hears a step's number and metrics, after the observer has, and says whether to go on.
pub type Check<'a, E> = dyn FnMut(usize, &Metrics) -> Result<(), E> + 'a;

/// Sums over the places with loss of a microbatch; the trainer divides by their number in the whole step.
#[derive(Debug)]
pub struct TokenLoss {
    /// `[1]`, with gradient.
    pub sum: Tensor<1>,
    /// What else is measured of the same places, by the names of metrics, of which the step's means are reported.
    pub measures: Vec<(&'static str, f64)>,
}

/// Cross-entropy: the next token of a sample is right, whatever a teacher would have thought of others.
pub(crate) fn next_token(policy: &Decoder, hidden: Tensor<2>, packed: &Packed, _: &[&Sample]) -> TokenLoss {
    let logprobs = token_logprobs(policy, hidden, packed, 1.0).logprobs; // [N]
    TokenLoss { sum: logprobs.sum().neg(), measures: Vec::new() }
}
