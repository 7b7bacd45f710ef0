//! AdamW on the CPU: one pass over four arrays, in place, in parallel.

use super::{Floats, dot, owned, rows_at_once, tensor, vectorized};
use crate::adamw::{AdamWStep, SumOfSquares};
use crate::backend::Operation;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 4, 3> for AdamWStep {
    fn forward(&self, [parameter, mean, square, gradient]: [FlexTensor; 4]) -> [FlexTensor; 3] {
        update([parameter, mean, square], &gradient, *self)
    }
}

impl Operation<Flex, 1, 1> for SumOfSquares {
    fn forward(&self, [values]: [FlexTensor; 1]) -> [FlexTensor; 1] {
        [sum_of_squares(&values)]
    }
}

/// Parameter, mean and square after one update.
fn update(state: [FlexTensor; 3], gradient: &FlexTensor, step: AdamWStep) -> [FlexTensor; 3] {
    let gradient = Floats::of(gradient);
    let [mut parameter, mut mean, mut square] = state.map(owned);
    let block = rows_at_once(1);
    let moments = mean
        .storage_mut::<f32>()
        .par_chunks_mut(block)
        .zip(square.storage_mut::<f32>().par_chunks_mut(block));
    let AdamWStep { beta1, beta2, clip, keep, step, epsilon } = step;
    // 1 - beta in f64: 1 - 0.999 loses three digits in f32.
    let [rest1, rest2] = [(1.0 - beta1) as f32, (1.0 - beta2) as f32];
    let [beta1, beta2, clip, keep, step, epsilon] =
        [beta1, beta2, clip, keep, step, epsilon].map(|factor| factor as f32);
    let factors = [rest1, rest2, beta1, beta2, clip, keep, step, epsilon];
    parameter
        .storage_mut::<f32>()
        .par_chunks_mut(block)
        .zip(moments)
        .zip(gradient.slice().par_chunks(block))
        .for_each(|((parameter, (mean, square)), gradient)| {
            vectorized!(|parameter: &mut [f32],
                         mean: &mut [f32],
                         square: &mut [f32],
                         gradient: &[f32],
                         factors: [f32; 8]| {
                let [rest1, rest2, beta1, beta2, clip, keep, step, epsilon] = factors;
                let moments = mean.iter_mut().zip(square);
                for ((parameter, (mean, square)), gradient) in parameter.iter_mut().zip(moments).zip(gradient)
                {
                    let gradient = gradient * clip;
                    *mean = *mean * beta1 + gradient * rest1;
                    *square = *square * beta2 + gradient * gradient * rest2;
                    *parameter = *parameter * keep - *mean / (square.sqrt() + epsilon) * step;
                }
            });
        });
    [parameter, mean, square]
}

/// Blocks of fixed size, each in lanes; the blocks' sums are added in f64, in their order.
fn sum_of_squares(values: &FlexTensor) -> FlexTensor {
    let values = Floats::of(values);
    let blocks: Vec<f32> = values
        .slice()
        .par_chunks(rows_at_once(1))
        .map(|block| vectorized!(|block: &[f32]| -> f32 { dot(block, block) }))
        .collect();
    let sum: f64 = blocks.into_iter().map(f64::from).sum();
    tensor(vec![sum as f32], [1])
}
