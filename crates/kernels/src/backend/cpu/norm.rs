//! RMS normalisation on the CPU: one pass over a row forward, two backward, rows in parallel.

// N rows, D columns

use super::{Floats, dot, lanewise, owned, rows_at_once, tensor, total, vectorized};
use crate::backend::{Differentiable, Operation, keep_inputs};
use crate::norm::RmsNorm;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 1> for RmsNorm {
    fn forward(&self, [x, gamma]: [FlexTensor; 2]) -> [FlexTensor; 1] {
        [forward(&x, &gamma, self.eps)]
    }
}

impl Differentiable<Flex, 2, 1> for RmsNorm {
    /// The inputs.
    type Kept = [FlexTensor; 2];

    fn forward_tracked(&self, inputs: [FlexTensor; 2], _: [bool; 2]) -> ([FlexTensor; 1], Self::Kept) {
        keep_inputs::<Flex, _, _, _>(self, inputs)
    }

    fn backward(
        &self,
        [x, gamma]: Self::Kept,
        upstream: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (d_x, d_gamma) = backward(&x, &gamma, upstream, self.eps);
        [Some(d_x), Some(d_gamma)]
    }
}

/// `y = x r gamma` with `r = 1 / sqrt(mean(x^2) + eps)`.
fn forward(x: &FlexTensor, gamma: &FlexTensor, eps: f64) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let (x, gamma) = (Floats::of(x), Floats::of(gamma));
    let (x, gamma) = (x.slice(), gamma.slice());
    let width = gamma.len();
    let mut out = vec![0.0; x.len()];
    let block = rows_at_once(width) * width;
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
        vectorized!(|out: &mut [f32], x: &[f32], gamma: &[f32], eps: f64| {
            let width = gamma.len();
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let scale = inverse_rms(x, eps);
                for ((out, x), gamma) in out.iter_mut().zip(x).zip(gamma) {
                    *out = x * scale * gamma;
                }
            }
        });
    });
    tensor(out, shape)
}

/// `dx = r (g - x r^2 mean(g x))` with `g = dy gamma`; `dgamma = sum over rows of dy x r`. `dx` takes the place of
/// `dy`, unless another tensor shares that.
fn backward(x: &FlexTensor, gamma: &FlexTensor, upstream: FlexTensor, eps: f64) -> (FlexTensor, FlexTensor) {
    let gamma_shape = gamma.layout().shape().clone();
    let (x, gamma, mut d_x) = (Floats::of(x), Floats::of(gamma), owned(upstream));
    let (x, gamma) = (x.slice(), gamma.slice());
    let width = gamma.len();
    let block = rows_at_once(width) * width;
    // A sum over rows for each block; the blocks are then added in their order.
    let partial: Vec<Vec<f32>> = d_x
        .storage_mut::<f32>()
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .map(|(upstream, x)| {
            let mut d_gamma = vec![0.0; width];
            let sums = d_gamma.as_mut_slice();
            vectorized!(|upstream: &mut [f32], sums: &mut [f32], x: &[f32], gamma: &[f32], eps: f64| {
                let width = gamma.len();
                for (upstream, x) in upstream.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let scale = inverse_rms(x, eps);
                    let product = total(lanewise(width, |i| upstream[i] * gamma[i] * x[i]));
                    let pull = product * scale * scale / width as f32;
                    for i in 0..width {
                        sums[i] += upstream[i] * x[i] * scale;
                        upstream[i] = scale * (upstream[i] * gamma[i] - x[i] * pull);
                    }
                }
            });
            d_gamma
        })
        .collect();
    let mut d_gamma = vec![0.0; width];
    for partial in partial {
        for (sum, part) in d_gamma.iter_mut().zip(partial) {
            *sum += part;
        }
    }
    (d_x, tensor(d_gamma, gamma_shape))
}

#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f64) -> f32 {
    (dot(x, x) / x.len() as f32 + eps as f32).sqrt().recip()
}
