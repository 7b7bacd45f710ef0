//! The gate on the CPU: one pass forward, one backward that computes the sigmoid again instead of keeping it.

use super::{Floats, Rows, exp, in_bf16, in_f32, owned, rows_at_once, sigmoid, tensor, vectorized};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::ComputeDtype;
use crate::swiglu::SwiGlu;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 1> for SwiGlu {
    fn forward(&self, [gate, up]: [FlexTensor; 2]) -> [FlexTensor; 1] {
        [self.held(forward(&gate, &up))]
    }
}

impl SwiGlu {
    /// The tensor in the dtype of the operation.
    fn held(&self, x: FlexTensor) -> FlexTensor {
        match self.dtype {
            ComputeDtype::F32 => x,
            ComputeDtype::Bf16 => in_bf16(&x),
        }
    }
}

impl Differentiable<Flex, 2, 1> for SwiGlu {
    /// The inputs.
    type Kept = [FlexTensor; 2];

    fn forward_tracked(&self, inputs: [FlexTensor; 2], _: [bool; 2]) -> ([FlexTensor; 1], Self::Kept) {
        (Operation::<Flex, _, _>::forward(self, inputs.clone()), inputs.map(|input| self.held(input)))
    }

    fn backward(&self, kept: Self::Kept, upstream: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let [gate, up] = kept.map(in_f32);
        let (d_gate, d_up) = backward(gate, &up, upstream);
        [Some(d_gate), Some(d_up)]
    }
}

fn forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let shape = gate.layout().shape().clone();
    // Halves of one product are read where they lie.
    let (gate, up) = (Rows::of(gate), Rows::of(up));
    let [rows, width] = shape.dims();
    let mut out = vec![0.0; rows * width];
    let at_once = rows_at_once(width);
    let (gate, up) = (&gate, &up);
    out.par_chunks_mut((at_once * width).max(1)).enumerate().for_each(|(block, out)| {
        let first = block * at_once;
        vectorized!(|out: &mut [f32], gate: &Rows, up: &Rows, first: usize, width: usize| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let row = first + row;
                for ((out, &gate), up) in out.iter_mut().zip(gate.row(row)).zip(up.row(row)) {
                    *out = gate / (1.0 + exp(-gate)) * up;
                }
            }
        });
    });
    tensor(out, shape)
}

/// With `s = sigmoid(gate)`: `d gate = upstream up s (1 + gate (1 - s))`, `d up = upstream gate s`. They take the
/// places of `gate` and `upstream`, unless other tensors share these.
fn backward(gate: FlexTensor, up: &FlexTensor, upstream: FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut d_gate, mut d_up, up) = (owned(gate), owned(upstream), Floats::of(up));
    let block = rows_at_once(1);
    let blocks = d_gate.storage_mut::<f32>().par_chunks_mut(block);
    let blocks =
        blocks.zip(d_up.storage_mut::<f32>().par_chunks_mut(block)).zip(up.slice().par_chunks(block));
    blocks.for_each(|((gate, upstream), up)| {
        vectorized!(|gate: &mut [f32], upstream: &mut [f32], up: &[f32]| {
            for ((gate, upstream), up) in gate.iter_mut().zip(upstream).zip(up) {
                let (g, u, sigmoid) = (*gate, *upstream, sigmoid(*gate));
                *gate = u * up * sigmoid * (1.0 + g * (1.0 - sigmoid));
                *upstream = u * g * sigmoid;
            }
        });
    });
    (d_gate, d_up)
}
