//! Inputs of this crate's tests: numbers that look random and depend on a seed only.

use burn::tensor::{Device, Tensor, TensorData};

/// `count` values in (-1, 1).
pub(crate) fn values(count: usize, seed: u32) -> Vec<f32> {
    // Hashed by the fraction of a large sine: enough to leave no structure that a wrong index would keep.
    (0..count)
        .map(|i| ((i as f64 + 1.0) * 12.9898 + f64::from(seed) * 78.233).sin() * 43_758.545_3)
        .map(|x| (x.fract()) as f32)
        .collect()
}

/// The largest magnitude of some values, at least 0.1: what tolerances are a part of.
pub(crate) fn magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.1, |largest, x| x.abs().max(largest))
}

pub(crate) fn tensor<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values(shape.iter().product(), seed), shape), device)
}
