//! The linear map on the CPU. Its gradients come out row-major, ready for the optimizer: autodiff's own product would
//! give the transpose of a transposed weight's gradient, to be copied into place.

use super::{Numbers, Threads, compute_dtype, gemm_nt_vec, product_vec, tensor};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::ComputeDtype;
use crate::linear::Linear;
use burn::backend::Flex;
use burn_flex::FlexTensor;

impl Operation<Flex, 2, 1> for Linear {
    fn forward(&self, [x, weight]: [FlexTensor; 2]) -> [FlexTensor; 1] {
        let [rows, input] = dims(&x);
        let [output, _] = dims(&weight);
        let dtype = compute_dtype(&x);
        let (x, weight) = (Numbers::of(&x), Numbers::of(&weight));
        let out = match dtype {
            ComputeDtype::F32 => {
                gemm_nt_vec(&x.floats(), &weight.floats(), [rows, input, output], Threads::Pool)
            }
            ComputeDtype::Bf16 => {
                let weight = weight.matrix(0, output, input).transposed();
                product_vec(dtype, x.matrix(0, rows, input), weight, Threads::Pool)
            }
        };
        [tensor(out, [rows, output])]
    }
}

/// What the backward reads.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Where the weight wants a gradient.
    x: Option<FlexTensor>,
    /// Where `x` does.
    weight: Option<FlexTensor>,
    dtype: ComputeDtype,
}

impl Differentiable<Flex, 2, 1> for Linear {
    type Kept = Kept;

    fn forward_tracked(&self, inputs: [FlexTensor; 2], tracked: [bool; 2]) -> ([FlexTensor; 1], Kept) {
        let [x, weight] = inputs.clone();
        let [tracks_x, tracks_weight] = tracked;
        let dtype = compute_dtype(&x);
        let kept = Kept { x: tracks_weight.then_some(x), weight: tracks_x.then_some(weight), dtype };
        (Operation::<Flex, _, _>::forward(self, inputs), kept)
    }

    fn backward(&self, kept: Kept, upstream: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let Kept { x, weight, dtype } = kept;
        [
            weight.map(|weight| gradient_of_x(&upstream, &weight, dtype)),
            x.map(|x| gradient_of_weight(&upstream, &x, dtype)),
        ]
    }
}

/// `upstream W`
fn gradient_of_x(upstream: &FlexTensor, weight: &FlexTensor, dtype: ComputeDtype) -> FlexTensor {
    let [rows, output] = dims(upstream);
    let [_, input] = dims(weight);
    let (upstream, weight) = (Numbers::of(upstream), Numbers::of(weight));
    let upstream = upstream.matrix(0, rows, output);
    let out = product_vec(dtype, upstream, weight.matrix(0, output, input), Threads::Pool);
    tensor(out, [rows, input])
}

/// `upstream^T x`
fn gradient_of_weight(upstream: &FlexTensor, x: &FlexTensor, dtype: ComputeDtype) -> FlexTensor {
    let [rows, output] = dims(upstream);
    let [_, input] = dims(x);
    let (upstream, x) = (Numbers::of(upstream), Numbers::of(x));
    let upstream = upstream.matrix(0, rows, output).transposed();
    let out = product_vec(dtype, upstream, x.matrix(0, rows, input), Threads::Pool);
    tensor(out, [output, input])
}

fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}
