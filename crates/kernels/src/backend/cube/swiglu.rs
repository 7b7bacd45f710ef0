//! The gate of a feed-forward layer: one kernel forward, one backward, which computes the sigmoid again.

// N rows, F columns

use super::launch::{addresses, empty_beside, in_bf16, in_f32, of_elements};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::ComputeDtype;
use crate::swiglu::SwiGlu;
use burn::backend::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 2, 1> for SwiGlu {
    fn forward(&self, [gate, up]: [CubeTensor; 2]) -> [CubeTensor; 1] {
        [held(self.dtype, forward(gate, up))]
    }
}

impl Differentiable<Cube, 2, 1> for SwiGlu {
    /// The inputs, in the dtype of the operation.
    type Kept = [CubeTensor; 2];

    fn forward_tracked(&self, inputs: [CubeTensor; 2], _: [bool; 2]) -> ([CubeTensor; 1], Self::Kept) {
        (Operation::<Cube, _, _>::forward(self, inputs.clone()), inputs.map(|input| held(self.dtype, input)))
    }

    fn backward(&self, kept: Self::Kept, upstream: CubeTensor, _: [bool; 2]) -> [Option<CubeTensor>; 2] {
        let [gate, up] = kept.map(in_f32);
        backward(gate, up, in_f32(upstream)).map(Some)
    }
}

fn held(dtype: ComputeDtype, x: CubeTensor) -> CubeTensor {
    match dtype {
        ComputeDtype::F32 => x,
        ComputeDtype::Bf16 => in_bf16(x),
    }
}

fn forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [rows, width] = gate.meta.shape().dims();
    let out = empty_beside(&gate, [rows, width]);
    let (count, dim) = of_elements(&gate, rows, width);
    let address = addresses([&gate, &up, &out]);
    swiglu::launch(
        &gate.client.clone(),
        count,
        dim,
        address,
        gate.into_tensor_arg(),
        up.into_tensor_arg(),
        out.clone().into_tensor_arg(),
    );
    out
}

/// The gradients of `gate` and `up`.
fn backward(gate: CubeTensor, up: CubeTensor, upstream: CubeTensor) -> [CubeTensor; 2] {
    let [rows, width] = gate.meta.shape().dims();
    let [d_gate, d_up] = [(); 2].map(|()| empty_beside(&gate, [rows, width]));
    let (count, dim) = of_elements(&gate, rows, width);
    let address = addresses([&gate, &up, &upstream, &d_gate]);
    swiglu_backward::launch(
        &gate.client.clone(),
        count,
        dim,
        address,
        gate.into_tensor_arg(),
        up.into_tensor_arg(),
        upstream.into_tensor_arg(),
        d_gate.clone().into_tensor_arg(),
        d_up.clone().into_tensor_arg(),
    );
    [d_gate, d_up]
}

/// `silu(gate) up`
#[cube(launch, address_type = "dynamic")]
pub(super) fn swiglu(gate: &Tensor<f32>, up: &Tensor<f32>, out: &mut Tensor<f32>) {
    let column = ABSOLUTE_POS_X as usize;
    if column < gate.shape(1) {
        for row in range_stepped(CUBE_POS_Y as usize, gate.shape(0), CUBE_COUNT_Y as usize) {
            let g = gate[row * gate.stride(0) + column * gate.stride(1)];
            let u = up[row * up.stride(0) + column * up.stride(1)];
            let at = row * out.stride(0) + column;
            out[at] = g / (1.0f32 + (-g).exp()) * u;
        }
    }
}

/// With `s = sigmoid(gate)`: `d gate = upstream up s (1 + gate (1 - s))`, `d up = upstream gate s`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn swiglu_backward(
    gate: &Tensor<f32>,
    up: &Tensor<f32>,
    upstream: &Tensor<f32>,
    d_gate: &mut Tensor<f32>,
    d_up: &mut Tensor<f32>,
) {
    let column = ABSOLUTE_POS_X as usize;
    if column < gate.shape(1) {
        for row in range_stepped(CUBE_POS_Y as usize, gate.shape(0), CUBE_COUNT_Y as usize) {
            let g = gate[row * gate.stride(0) + column * gate.stride(1)];
            let u = up[row * up.stride(0) + column * up.stride(1)];
            let gradient = upstream[row * upstream.stride(0) + column * upstream.stride(1)];
            let s = 1.0f32 / (1.0f32 + (-g).exp());
            let at = row * d_gate.stride(0) + column;
            d_gate[at] = gradient * u * s * (1.0f32 + g * (1.0f32 - s));
            let at = row * d_up.stride(0) + column;
            d_up[at] = gradient * g * s;
        }
    }
}
