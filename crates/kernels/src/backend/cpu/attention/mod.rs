//! Attention on the CPU: of packed rows, whose backward finds the softmax again from its denominators, and of new
//! tokens against a ring of columns.

mod backward;
mod decode;
mod forward;
mod heads;

use super::{Floats, in_bf16, in_f32};
use crate::attention::PackedAttention;
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::ComputeDtype;
use backward::Pass;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use forward::Inputs;
pub(super) use heads::Heads;

impl Operation<Flex, 3, 1> for PackedAttention {
    fn forward(&self, [q, x, y]: [FlexTensor; 3]) -> [FlexTensor; 1] {
        let (out, _) = forward::forward(&Inputs::of(&q, &x, &y, self.sources, self.scale), &self.spans);
        [out]
    }
}

impl Differentiable<Flex, 3, 1> for PackedAttention {
    /// The inputs in the dtype that is kept, the logarithms of the softmax's denominators `[B, T, H]`.
    type Kept = [FlexTensor; 4];

    fn forward_tracked(&self, [q, x, y]: [FlexTensor; 3], _: [bool; 3]) -> ([FlexTensor; 1], Self::Kept) {
        let places = |x: &FlexTensor| x.layout().shape()[1];
        assert_eq!(places(&q), places(&x), "a gradient needs the queries of all places");
        let inputs = Inputs::of(&q, &x, &y, self.sources, self.scale);
        let (out, log_sums) = forward::forward(&inputs, &self.spans);
        let [q, x, y] = [q, x, y].map(|input| match self.kept {
            ComputeDtype::F32 => input,
            ComputeDtype::Bf16 => in_bf16(&input),
        });
        ([out], [q, x, y, log_sums])
    }

    fn backward(
        &self,
        [q, x, y, log_sums]: Self::Kept,
        upstream: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [q, x, y] = [q, x, y].map(in_f32);
        let pass = Pass {
            inputs: &Inputs::of(&q, &x, &y, self.sources, self.scale),
            log_sums: Floats::of(&log_sums),
            upstream: Heads::of(&upstream),
            spans: &self.spans,
        };
        let (d_q, d_x, d_y) = pass.gradients(self.sources);
        [d_q, d_x, d_y].map(Some)
    }
}
