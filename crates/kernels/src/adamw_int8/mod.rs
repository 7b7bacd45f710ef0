//! AdamW whose moments are held in 8 bits (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", arXiv
//! 2110.02861): a code of a dynamic map for each element, and the largest magnitude of each block of 256. An update
//! dequantises a block, computes as [`adamw`](crate::adamw()) does in f32, and quantises it again; the parameter
//! moves by the moments before they are rounded, as in bitsandbytes.

// n elements of one parameter, B blocks of them, the last one filled up with elements that count for nothing

mod map;

pub(crate) use map::{DynamicMap, SIGNED, UNSIGNED};

use crate::adamw::{AdamWState, AdamWStep, reference as in_float32};
use crate::backend::{Form, adamw_int8_of_backend, form};
use crate::read::{Place, floats, ints};
use burn::tensor::{DType, Device, Int, IntDType, Tensor, TensorData};

/// Elements of a block, as in bitsandbytes.
pub(crate) const BLOCK: usize = 256;

/// Codes that lie in one integer of a tensor, the first in the lowest bits: not every backend has tensors of bytes.
pub(crate) const CODES_IN_WORD: usize = 4;

/// One moment of a parameter in 8 bits: about 1.016 bytes for each element.
#[derive(Clone, Debug)]
pub struct Int8Moment {
    /// `[B * 256 / 4]`, i32
    pub(crate) codes: Tensor<1, Int>,
    /// `[B]`, f32
    pub(crate) absmax: Tensor<1>,
    /// n
    pub(crate) length: usize,
}

/// A parameter and its moments.
#[derive(Clone, Debug)]
pub struct AdamWInt8State {
    /// The parameter, `[n]`.
    pub parameter: Tensor<1>,
    /// Running mean of gradients, in codes of the signed map.
    pub mean: Int8Moment,
    /// Running mean of their squares, in codes of the unsigned map.
    pub square: Int8Moment,
}

impl Int8Moment {
    /// The moment of `length` zeros.
    pub fn zeros(length: usize, device: &Device) -> Self {
        let blocks = Self::blocks_of(length);
        let words = [blocks * BLOCK / CODES_IN_WORD];
        Self {
            codes: Tensor::zeros(words, (device, DType::I32)),
            absmax: Tensor::zeros([blocks], device),
            length,
        }
    }

    /// The moment with these codes, `[n]`, and largest magnitudes of blocks, `[ceil(n / 256)]`.
    ///
    /// # Panics
    /// Where there is not one magnitude for each block of codes.
    pub fn from_parts(codes: &[u8], absmax: Vec<f32>, device: &Device) -> Self {
        let (length, blocks) = (codes.len(), Self::blocks_of(codes.len()));
        assert_eq!(absmax.len(), blocks, "one magnitude for each block of {BLOCK} of {length} codes");
        let mut padded = codes.to_vec();
        padded.resize(blocks * BLOCK, 0);
        let words: Vec<i32> = padded.as_chunks().0.iter().map(|&codes| i32::from_le_bytes(codes)).collect();
        let count = [words.len()];
        Self {
            codes: Tensor::from_data(TensorData::new(words, count), (device, DType::I32)),
            absmax: Tensor::from_data(TensorData::new(absmax, [blocks]), device),
            length,
        }
    }

    /// The code of each element, `[n]`, read from the device.
    pub fn codes(&self) -> Vec<u8> {
        let words = ints(self.codes.clone(), Place::Weights);
        let mut codes: Vec<u8> = words.into_iter().flat_map(i32::to_le_bytes).collect();
        codes.truncate(self.length);
        codes
    }

    /// The largest magnitude of each block, `[ceil(n / 256)]`, read from the device.
    pub fn absmax(&self) -> Vec<f32> {
        floats(self.absmax.clone(), Place::Weights)
    }

    /// Its elements, n.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it is of a parameter without elements.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its blocks, `ceil(n / 256)`.
    pub fn blocks(&self) -> usize {
        Self::blocks_of(self.length)
    }

    /// The blocks of a moment with so many elements.
    pub fn blocks_of(length: usize) -> usize {
        length.div_ceil(BLOCK)
    }
}

/// [`adamw`](crate::adamw()) on moments in 8 bits. In place where nothing else holds the tensors; a block depends on
/// nothing outside of it, so that no result depends on threads.
///
/// # Panics
/// Where parameter, gradient and moments are not of one length.
pub fn adamw_int8(state: AdamWInt8State, gradient: Tensor<1>, step: AdamWStep) -> AdamWInt8State {
    let lengths = [state.parameter.dims()[0], gradient.dims()[0], state.mean.len(), state.square.len()];
    assert!(
        lengths.iter().all(|&length| length == lengths[0]),
        "parameter, gradient and moments: {lengths:?}"
    );
    match form(&gradient) {
        Form::Reference => reference(state, gradient, step),
        Form::Fused => adamw_int8_of_backend(state, gradient, step),
    }
}

fn reference(state: AdamWInt8State, gradient: Tensor<1>, step: AdamWStep) -> AdamWInt8State {
    let AdamWInt8State { parameter, mean, square } = state;
    let (mean, square) = (dequantised(mean, &SIGNED), dequantised(square, &UNSIGNED));
    let AdamWState { parameter, mean, square } =
        in_float32(AdamWState { parameter, mean, square }, gradient, step);
    AdamWInt8State { parameter, mean: quantised(mean, &SIGNED), square: quantised(square, &UNSIGNED) }
}

/// The elements of a moment, `[n]`.
fn dequantised(moment: Int8Moment, map: &DynamicMap) -> Tensor<1> {
    let Int8Moment { codes, absmax, length } = moment;
    let blocks = absmax.dims()[0];
    let codes = codes.reshape([-1, 1]); // [words, 1]
    let bytes = (0..CODES_IN_WORD)
        .map(|byte| codes.clone().bitwise_right_shift_scalar(8 * byte as i64).bitwise_and_scalar(255))
        .collect();
    let codes = Tensor::cat(bytes, 1).reshape([blocks * BLOCK]);
    let values = Tensor::<1>::from_floats(map.values, &absmax.device()).select(0, codes);
    let values = values.reshape([blocks, BLOCK]) * absmax.reshape([blocks, 1]);
    values.reshape([blocks * BLOCK]).slice(0..length)
}

/// The reverse: the nearest value of the map for each element of `[n]`, relative to its block's largest magnitude.
fn quantised(values: Tensor<1>, map: &DynamicMap) -> Int8Moment {
    let device = values.device();
    let [length] = values.dims();
    let blocks = length.div_ceil(BLOCK);
    let values = Tensor::zeros([blocks * BLOCK], &device).slice_assign(0..length, values);
    let values: Tensor<2> = values.reshape([blocks, BLOCK]);
    let absmax = values.clone().abs().max_dim(1); // [B, 1]
    let share = values.clone().abs() * absmax.clone().clamp_min(f32::MIN_POSITIVE).recip();
    let decade = map.from[1..]
        .iter()
        .map(|&from| share.clone().greater_elem(from).int())
        .reduce(|sum, next| sum + next)
        .expect("a map has several decades")
        .reshape([blocks * BLOCK]);
    let of_decade = |table: [f32; map::DECADES]| {
        Tensor::<1>::from_floats(table, &device).select(0, decade.clone()).reshape([blocks, BLOCK])
    };
    let cell = share.clone() * of_decade(map.scale) + of_decade(map.offset);
    let cell = cell.min_pair(of_decade(map.last));
    let cell = cell.mask_fill(share.clone().lower_equal_elem(map.smallest), 0.0);
    let cell = cell.mask_fill(share.greater_elem(map.one), map.last[map::DECADES - 1] + 1.0);
    let below = cell.clone().clamp_max(map.zero).neg();
    let code = cell.mask_where(values.lower_elem(0.0), below).add_scalar(map.zero).round();
    // [words, 4] to [words]
    let codes: Tensor<2, Int> = code.int().cast(IntDType::I32).reshape([-1, CODES_IN_WORD as i64]);
    let words = (0..CODES_IN_WORD)
        .map(|byte| codes.clone().slice([0..blocks * BLOCK / CODES_IN_WORD, byte..byte + 1]))
        .enumerate()
        .map(|(byte, codes)| codes.bitwise_left_shift_scalar(8 * byte as i64))
        .reduce(Tensor::bitwise_or)
        .expect("a word has several codes");
    Int8Moment {
        codes: words.reshape([blocks * BLOCK / CODES_IN_WORD]),
        absmax: absmax.reshape([blocks]),
        length,
    }
}

#[cfg(test)]
mod tests;
