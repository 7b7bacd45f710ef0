//! The clip of each sequence's ratio (GSPO, arXiv 2507.18071, eq. 5-7).

// N loss tokens, S sequences

use super::{Clip, Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// [`Clip`] on the geometric mean of a sequence's ratios, which all of its tokens share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gspo(pub Clip);

impl Surrogate for Gspo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        self.0.of_log_ratios(sequence_means(tokens.log_ratios(logprobs), tokens), tokens, correction)
    }

    fn is_zero_without_advantage(&self) -> bool {
        true
    }
}

/// The mean over each sequence's counted tokens, given to all of them.
fn sequence_means(values: Tensor<1>, tokens: &Tokens) -> Tensor<1> {
    let device = values.device();
    let sequences = tokens.sequence.iter().max().map_or(0, |&last| last as usize + 1);
    let mut lengths = vec![0.0_f32; sequences];
    let mut counted = vec![0.0_f32; tokens.weights.len()];
    for ((&sequence, &weight), counted) in tokens.sequence.iter().zip(&tokens.weights).zip(&mut counted) {
        if weight > 0.0 {
            lengths[sequence as usize] += 1.0;
            *counted = 1.0;
        }
    }
    let share: Vec<f32> = lengths.iter().map(|&length| 1.0 / length.max(1.0)).collect();
    let ids: Vec<i32> = tokens.sequence.iter().map(|&sequence| sequence as i32).collect();
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device);
    let values = values * Tensor::from_floats(counted.as_slice(), &device);
    let sums =
        Tensor::<1>::zeros([sequences], &device).select_assign(0, ids.clone(), values, IndexingUpdateOp::Add);
    (sums * Tensor::from_floats(share.as_slice(), &device)).select(0, ids)
}
