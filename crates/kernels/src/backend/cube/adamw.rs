//! AdamW: one kernel for a parameter and both of its moments, in place where nothing else holds them.

// n elements of one parameter

use super::launch::{addresses, along, owned};
use crate::adamw::AdamWStep;
use crate::backend::Operation;
use burn::backend::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 4, 3> for AdamWStep {
    fn forward(&self, [parameter, mean, square, gradient]: [CubeTensor; 4]) -> [CubeTensor; 3] {
        let state = [parameter, mean, square].map(owned);
        let [n] = gradient.meta.shape().dims();
        let (count, dim) = along(&gradient, n);
        let address = addresses([&state[0], &state[1], &state[2], &gradient]);
        let [parameter, mean, square] = state.clone();
        adamw::launch(
            &gradient.client.clone(),
            count,
            dim,
            address,
            parameter.into_tensor_arg(),
            mean.into_tensor_arg(),
            square.into_tensor_arg(),
            gradient.into_tensor_arg(),
            self.beta1 as f32,
            (1.0 - self.beta1) as f32,
            self.beta2 as f32,
            (1.0 - self.beta2) as f32,
            self.clip as f32,
            self.keep as f32,
            self.step as f32,
            self.epsilon as f32,
        );
        state
    }
}

/// `m = beta1 m + rest1 g`, `v = beta2 v + rest2 g^2`, `p = keep p - step m / (sqrt(v) + epsilon)` with `g = clip gradient`.
#[allow(clippy::too_many_arguments, reason = "numbers of one update, which a kernel takes one by one")]
#[cube(launch, address_type = "dynamic")]
pub(super) fn adamw(
    parameter: &mut Tensor<f32>,
    mean: &mut Tensor<f32>,
    square: &mut Tensor<f32>,
    gradient: &Tensor<f32>,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    clip: f32,
    keep: f32,
    step: f32,
    epsilon: f32,
) {
    let units = CUBE_COUNT * CUBE_DIM as usize;
    for i in range_stepped(ABSOLUTE_POS, gradient.shape(0), units) {
        let g = gradient[i * gradient.stride(0)] * clip;
        let (at_mean, at_square) = (i * mean.stride(0), i * square.stride(0));
        let m = mean[at_mean] * beta1 + g * rest1;
        let v = square[at_square] * beta2 + g * g * rest2;
        let at = i * parameter.stride(0);
        let p = parameter[at];
        mean[at_mean] = m;
        square[at_square] = v;
        parameter[at] = p * keep - m / (v.sqrt() + epsilon) * step;
    }
}
