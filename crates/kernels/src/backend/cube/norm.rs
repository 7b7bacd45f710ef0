//! RMS normalisation: one kernel forward, two backward. A cube computes a row at a time. The inverse of a row's root mean
//! square is kept from the forward pass.

// N rows, D columns, P cubes that share the rows

use super::launch::{addresses, cube, cubes, empty_beside, units_of_row};
use super::reduce::{column_sums, cube_sum};
use crate::backend::{Differentiable, Operation};
use crate::norm::RmsNorm;
use burn::backend::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

/// Cubes that share the rows of a backward pass, each with a sum of its own for the gradient of `gamma`. They are added
/// one after the other.
const MOST_PARTIAL_SUMS: usize = 256;

impl Operation<Cube, 2, 1> for RmsNorm {
    fn forward(&self, [x, gamma]: [CubeTensor; 2]) -> [CubeTensor; 1] {
        let (out, _) = forward(x, gamma, self.eps);
        [out]
    }
}

impl Differentiable<Cube, 2, 1> for RmsNorm {
    /// `x`, `gamma`, and the `N` inverses.
    type Kept = [CubeTensor; 3];

    fn forward_tracked(&self, [x, gamma]: [CubeTensor; 2], _: [bool; 2]) -> ([CubeTensor; 1], Self::Kept) {
        let (out, inverse) = forward(x.clone(), gamma.clone(), self.eps);
        ([out], [x, gamma, inverse])
    }

    fn backward(&self, kept: Self::Kept, upstream: CubeTensor, _: [bool; 2]) -> [Option<CubeTensor>; 2] {
        backward(kept, upstream).map(Some)
    }
}

/// `y` `[N, D]`, and the inverse root mean square of each row, `[N]`.
fn forward(x: CubeTensor, gamma: CubeTensor, eps: f64) -> (CubeTensor, CubeTensor) {
    let [rows, width] = x.meta.shape().dims();
    let (out, inverse) = (empty_beside(&x, [rows, width]), empty_beside(&x, [rows]));
    let units = units_of_row(&x, width);
    let address = addresses([&x, &gamma, &out]);
    rms_norm::launch(
        &x.client.clone(),
        cubes(rows),
        cube(units),
        address,
        x.into_tensor_arg(),
        gamma.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        inverse.clone().into_tensor_arg(),
        eps as f32,
        units,
    );
    (out, inverse)
}

/// The gradients of `x` and `gamma`.
fn backward([x, gamma, inverse]: [CubeTensor; 3], upstream: CubeTensor) -> [CubeTensor; 2] {
    let [rows, width] = x.meta.shape().dims();
    let sharing = rows.min(MOST_PARTIAL_SUMS);
    let (d_x, d_gamma) = (empty_beside(&x, [rows, width]), empty_beside(&x, [width]));
    let partial = empty_beside(&x, [sharing, width]);
    let client = x.client.clone();
    let units = units_of_row(&x, width);
    let address = addresses([&x, &gamma, &upstream, &d_x, &partial]);
    rms_norm_backward::launch(
        &client,
        cubes(sharing),
        cube(units),
        address,
        x.into_tensor_arg(),
        gamma.into_tensor_arg(),
        inverse.into_tensor_arg(),
        upstream.into_tensor_arg(),
        d_x.clone().into_tensor_arg(),
        partial.clone().into_tensor_arg(),
        units,
    );
    column_sums::launch(
        &client,
        cubes(width.div_ceil(units)),
        cube(units),
        addresses([&partial]),
        partial.into_tensor_arg(),
        d_gamma.clone().into_tensor_arg(),
    );
    [d_x, d_gamma]
}

/// `y = x r gamma` with `r = 1 / sqrt(mean(x^2) + eps)`, which is kept.
#[cube(launch, address_type = "dynamic")]
pub(super) fn rms_norm(
    x: &Tensor<f32>,
    gamma: &Tensor<f32>,
    out: &mut Tensor<f32>,
    inverse: &mut Tensor<f32>,
    eps: f32,
    #[comptime] units: usize,
) {
    let (rows, width) = (x.shape(0), x.shape(1));
    let mut shared = Shared::<[f32]>::new_slice(units);
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let mut square = 0.0f32;
        for column in range_stepped(UNIT_POS as usize, width, units) {
            let value = x[row * x.stride(0) + column * x.stride(1)];
            square += value * value;
        }
        let mean = cube_sum(square, &mut shared, units) / width as f32;
        let scale = 1.0f32 / (mean + eps).sqrt();
        if UNIT_POS == 0 {
            inverse[row] = scale;
        }
        for column in range_stepped(UNIT_POS as usize, width, units) {
            let value = x[row * x.stride(0) + column * x.stride(1)];
            let at = row * out.stride(0) + column * out.stride(1);
            out[at] = value * scale * gamma[column * gamma.stride(0)];
        }
    }
}

/// With `g` the upstream gradient: `dx = r (g gamma - x r^2 mean(g gamma x))`. A cube adds `g x r` of its rows up in its row
/// of `partial`, `[P, D]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn rms_norm_backward(
    x: &Tensor<f32>,
    gamma: &Tensor<f32>,
    inverse: &Tensor<f32>,
    upstream: &Tensor<f32>,
    d_x: &mut Tensor<f32>,
    partial: &mut Tensor<f32>,
    #[comptime] units: usize,
) {
    let (rows, width) = (x.shape(0), x.shape(1));
    let mut shared = Shared::<[f32]>::new_slice(units);
    let sums = CUBE_POS * partial.stride(0);
    for column in range_stepped(UNIT_POS as usize, width, units) {
        partial[sums + column] = 0.0f32;
    }
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let scale = inverse[row];
        let mut product = 0.0f32;
        for column in range_stepped(UNIT_POS as usize, width, units) {
            let value = x[row * x.stride(0) + column * x.stride(1)];
            let gradient = upstream[row * upstream.stride(0) + column * upstream.stride(1)];
            product += gradient * gamma[column * gamma.stride(0)] * value;
        }
        let pull = cube_sum(product, &mut shared, units) * scale * scale / width as f32;
        for column in range_stepped(UNIT_POS as usize, width, units) {
            let value = x[row * x.stride(0) + column * x.stride(1)];
            let gradient = upstream[row * upstream.stride(0) + column * upstream.stride(1)];
            let scaled = gradient * gamma[column * gamma.stride(0)];
            let at = row * d_x.stride(0) + column * d_x.stride(1);
            d_x[at] = scale * (scaled - value * pull);
            partial[sums + column] += gradient * value * scale; // this unit's alone
        }
    }
}
