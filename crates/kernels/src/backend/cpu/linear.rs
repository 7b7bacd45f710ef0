//! The linear map on the CPU. Its gradients come out row-major, ready for the optimizer: autodiff's own product would
//! give the transpose of a transposed weight's gradient, to be copied into place.

use super::{Floats, Matrix, Threads, gemm_nt_vec, gemm_vec, tensor};
use crate::backend::{Differentiable, Operation};
use crate::linear::Linear;
use burn::backend::Flex;
use burn_flex::FlexTensor;

impl Operation<Flex, 2, 1> for Linear {
    fn forward(&self, [x, weight]: [FlexTensor; 2]) -> [FlexTensor; 1] {
        let [rows, input] = dims(&x);
        let [output, _] = dims(&weight);
        let (x, weight) = (Floats::of(&x), Floats::of(&weight));
        let out = gemm_nt_vec(x.slice(), weight.slice(), [rows, input, output], Threads::Pool);
        [tensor(out, [rows, output])]
    }
}

impl Differentiable<Flex, 2, 1> for Linear {
    /// `x` where the weight wants a gradient, the weight where `x` does.
    type Kept = [Option<FlexTensor>; 2];

    fn forward_tracked(&self, inputs: [FlexTensor; 2], tracked: [bool; 2]) -> ([FlexTensor; 1], Self::Kept) {
        let [x, weight] = inputs.clone();
        let [tracks_x, tracks_weight] = tracked;
        (self.forward(inputs), [tracks_weight.then_some(x), tracks_x.then_some(weight)])
    }

    fn backward(
        &self,
        [x, weight]: Self::Kept,
        upstream: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        [weight.map(|weight| gradient_of_x(&upstream, &weight)), x.map(|x| gradient_of_weight(&upstream, &x))]
    }
}

/// `upstream W`
fn gradient_of_x(upstream: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let [rows, output] = dims(upstream);
    let [_, input] = dims(weight);
    let (upstream, weight) = (Floats::of(upstream), Floats::of(weight));
    let upstream = Matrix::new(upstream.slice(), rows, output);
    let weight = Matrix::new(weight.slice(), output, input);
    tensor(gemm_vec(upstream, weight, Threads::Pool), [rows, input])
}

/// `upstream^T x`
fn gradient_of_weight(upstream: &FlexTensor, x: &FlexTensor) -> FlexTensor {
    let [rows, output] = dims(upstream);
    let [_, input] = dims(x);
    let (upstream, x) = (Floats::of(upstream), Floats::of(x));
    let upstream = Matrix::new(upstream.slice(), rows, output);
    let x = Matrix::new(x.slice(), rows, input);
    tensor(gemm_vec(upstream.transposed(), x, Threads::Pool), [output, input])
}

fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}
