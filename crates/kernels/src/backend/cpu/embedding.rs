//! Rows of an embedding on the CPU. The gradient is one tensor of zeros to which rows are added: Burn's own adds them to a
//! copy of such a tensor, which of a large vocabulary is the most that a backward pass holds.

use super::{Floats, Numbers, tensor};
use crate::backend::{Differentiable, Operation};
use crate::embedding::Embedding;
use burn::backend::Flex;
use burn_flex::FlexTensor;

impl Operation<Flex, 1, 1> for Embedding {
    fn forward(&self, [weight]: [FlexTensor; 1]) -> [FlexTensor; 1] {
        let [_, width] = weight.layout().shape().dims();
        let weight = Numbers::of(&weight);
        let mut rows = vec![0.0; self.ids.len() * width];
        for (row, &id) in rows.chunks_exact_mut(width).zip(&self.ids) {
            weight.widen(id as usize * width, row);
        }
        [tensor(rows, [self.ids.len(), width])]
    }
}

impl Differentiable<Flex, 1, 1> for Embedding {
    /// The shape of the weight.
    type Kept = [usize; 2];

    fn forward_tracked(&self, inputs: [FlexTensor; 1], _: [bool; 1]) -> ([FlexTensor; 1], Self::Kept) {
        let shape = inputs[0].layout().shape().dims();
        (Operation::<Flex, _, _>::forward(self, inputs), shape)
    }

    fn backward(
        &self,
        [vocabulary, width]: Self::Kept,
        upstream: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let upstream = Floats::of(&upstream);
        let mut d_weight = vec![0.0; vocabulary * width];
        for (row, &id) in upstream.slice().chunks_exact(width).zip(&self.ids) {
            let sums = &mut d_weight[id as usize * width..][..width];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        [Some(tensor(d_weight, [vocabulary, width]))]
    }
}
