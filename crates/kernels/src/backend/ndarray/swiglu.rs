//! The gate of a feed-forward layer, element by element.

use super::{NdArrayTensor, shape, tensor, values};
use crate::backend::{Differentiable, Operation, keep_inputs};
use crate::compute_dtype::ComputeDtype;
use crate::swiglu::SwiGlu;
use burn::backend::NdArray;

impl Operation<NdArray, 2, 1> for SwiGlu {
    fn forward(&self, [gate, up]: [NdArrayTensor; 2]) -> [NdArrayTensor; 1] {
        assert_eq!(self.dtype, ComputeDtype::F32, "this backend has no bfloat16");
        let gated = values(&gate).into_iter().zip(values(&up)).map(|(gate, up)| gate * sigmoid(gate) * up);
        [tensor(gated.collect(), shape(&gate))]
    }
}

impl Differentiable<NdArray, 2, 1> for SwiGlu {
    /// The inputs.
    type Kept = [NdArrayTensor; 2];

    fn forward_tracked(&self, inputs: [NdArrayTensor; 2], _: [bool; 2]) -> ([NdArrayTensor; 1], Self::Kept) {
        keep_inputs::<NdArray, _, _, _>(self, inputs)
    }

    /// With `s = sigmoid(gate)`: `d gate = upstream up s (1 + gate (1 - s))`, `d up = upstream gate s`.
    fn backward(
        &self,
        [gate, up]: Self::Kept,
        upstream: NdArrayTensor,
        _: [bool; 2],
    ) -> [Option<NdArrayTensor>; 2] {
        let rows = values(&gate).into_iter().zip(values(&up)).zip(values(&upstream));
        let (d_gate, d_up) = rows
            .map(|((gate, up), upstream)| {
                let s = sigmoid(gate);
                (upstream * up * s * (1.0 + gate * (1.0 - s)), upstream * gate * s)
            })
            .unzip();
        [Some(tensor(d_gate, shape(&gate))), Some(tensor(d_up, shape(&up)))]
    }
}

fn sigmoid(x: f32) -> f32 {
    (1.0 + (-x).exp()).recip()
}
