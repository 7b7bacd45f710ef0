//! AdamW on moments in 8 bits on the CPU: one pass over parameter, gradient and codes, in place, in parallel. A block is
//! dequantised, updated and quantised again while it lies in the nearest cache.

use super::{Floats, flex, largest, owned, vectorized};
use crate::adamw::AdamWStep;
use crate::adamw_int8::{AdamWInt8State, BLOCK, CODES_IN_WORD, DynamicMap, Int8Moment, SIGNED, UNSIGNED};
use crate::backend::Int8Moments;
use burn::backend::Flex;
use burn::tensor::{Int, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Blocks that one task takes, so that starting it costs nothing.
const BLOCKS_AT_ONCE: usize = 64;

/// Words of a block's codes.
const WORDS: usize = BLOCK / CODES_IN_WORD;

impl Int8Moments for Flex {
    fn adamw_int8(state: AdamWInt8State, gradient: Tensor<1>, step: AdamWStep) -> AdamWInt8State {
        let AdamWInt8State { parameter, mean, square } = state;
        let (mut parameter, gradient) = (owned(flex(parameter)), Floats::of(&flex(gradient)));
        let (mut mean, mut square) = (Moment::of(mean), Moment::of(square));
        update(parameter.storage_mut(), mean.parts(), square.parts(), gradient.slice(), step);
        AdamWInt8State {
            parameter: Tensor::from_primitive::<Flex>(parameter),
            mean: mean.into_tensors(),
            square: square.into_tensors(),
        }
    }
}

/// An [`Int8Moment`] as tensors of this backend.
struct Moment {
    codes: FlexTensor,
    absmax: FlexTensor,
    length: usize,
}

impl Moment {
    fn of(Int8Moment { codes, absmax, length }: Int8Moment) -> Self {
        let codes = Tensor::<1, Int>::try_into_primitive::<Flex>(codes)
            .expect("the dispatcher lets only tensors of Flex through");
        Self { codes, absmax: owned(flex(absmax)), length }
    }

    /// Codes and largest magnitudes.
    fn parts(&mut self) -> (&mut [i32], &mut [f32]) {
        (self.codes.storage_mut(), self.absmax.storage_mut())
    }

    fn into_tensors(self) -> Int8Moment {
        Int8Moment {
            codes: Tensor::from_primitive::<Flex>(self.codes),
            absmax: Tensor::from_primitive::<Flex>(self.absmax),
            length: self.length,
        }
    }
}

/// The factors of an update in f32.
#[derive(Clone, Copy)]
struct Factors {
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    clip: f32,
    keep: f32,
    step: f32,
    epsilon: f32,
}

/// The blocks of one task, or of all: a parameter and its gradient, and the codes and magnitudes of both moments.
struct Blocks<'a> {
    parameter: &'a mut [f32],
    mean: (&'a mut [i32], &'a mut [f32]),
    square: (&'a mut [i32], &'a mut [f32]),
    gradient: &'a [f32],
}

fn update(
    parameter: &mut [f32],
    mean: (&mut [i32], &mut [f32]),
    square: (&mut [i32], &mut [f32]),
    gradient: &[f32],
    step: AdamWStep,
) {
    let AdamWStep { beta1, beta2, clip, keep, step, epsilon } = step;
    let factors = Factors {
        beta1: beta1 as f32,
        // 1 - beta in f64: 1 - 0.999 loses three digits in f32.
        rest1: (1.0 - beta1) as f32,
        beta2: beta2 as f32,
        rest2: (1.0 - beta2) as f32,
        clip: clip as f32,
        keep: keep as f32,
        step: step as f32,
        epsilon: epsilon as f32,
    };
    let moment = |(codes, absmax): (_, _)| {
        let codes = <[i32]>::par_chunks_mut(codes, BLOCKS_AT_ONCE * WORDS);
        codes.zip(<[f32]>::par_chunks_mut(absmax, BLOCKS_AT_ONCE))
    };
    parameter
        .par_chunks_mut(BLOCKS_AT_ONCE * BLOCK)
        .zip(gradient.par_chunks(BLOCKS_AT_ONCE * BLOCK))
        .zip(moment(mean).zip(moment(square)))
        .for_each(|((parameter, gradient), (mean, square))| {
            let blocks = Blocks { parameter, mean, square, gradient };
            vectorized!(|blocks: Blocks<'_>, factors: Factors| {
                update_blocks(blocks, factors);
            });
        });
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
fn update_blocks(blocks: Blocks<'_>, factors: Factors) {
    let Blocks { parameter, mean: (means, mean_max), square: (squares, square_max), gradient } = blocks;
    let codes = means.chunks_exact_mut(WORDS).zip(squares.chunks_exact_mut(WORDS));
    let absmax = mean_max.iter_mut().zip(square_max);
    let numbers = parameter.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
    for (((parameter, gradient), (mean_codes, square_codes)), (mean_max, square_max)) in
        numbers.zip(codes).zip(absmax)
    {
        let mut mean = dequantised(mean_codes, *mean_max, &SIGNED);
        let mut square = dequantised(square_codes, *square_max, &UNSIGNED);
        let Factors { beta1, rest1, beta2, rest2, clip, keep, step, epsilon } = factors;
        let moments = mean.iter_mut().zip(&mut square);
        for ((parameter, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * clip;
            *mean = *mean * beta1 + gradient * rest1;
            *square = *square * beta2 + gradient * gradient * rest2;
            *parameter = *parameter * keep - *mean / (square.sqrt() + epsilon) * step;
        }
        let length = parameter.len();
        *mean_max = quantise(&mut mean, length, mean_codes, &SIGNED);
        *square_max = quantise(&mut square, length, square_codes, &UNSIGNED);
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
fn dequantised(codes: &[i32], absmax: f32, map: &DynamicMap) -> [f32; BLOCK] {
    let mut values = [0.0; BLOCK];
    for (values, codes) in values.as_chunks_mut::<CODES_IN_WORD>().0.iter_mut().zip(codes) {
        for (value, code) in values.iter_mut().zip(codes.to_le_bytes()) {
            *value = map.values[usize::from(code)] * absmax;
        }
    }
    values
}

/// Writes the codes of the first `length` values and 0 for the others; the largest magnitude of these values.
#[inline(always)]
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
fn quantise(values: &mut [f32; BLOCK], length: usize, codes: &mut [i32], map: &DynamicMap) -> f32 {
    // What lies behind the end counts for nothing.
    values[length..].fill(0.0);
    let absmax = largest(&values.map(f32::abs));
    // Of a block of zeros every share is 0.
    let inverse = 1.0 / absmax.max(f32::MIN_POSITIVE);
    let mut bytes = [0; BLOCK];
    for (byte, &value) in bytes.iter_mut().zip(values.iter()) {
        *byte = map.code(value, inverse);
    }
    for (word, &bytes) in codes.iter_mut().zip(bytes.as_chunks().0) {
        *word = i32::from_le_bytes(bytes);
    }
    absmax
}
