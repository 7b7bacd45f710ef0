//! Rotary position embedding (Su et al. 2021) in the two layouts that checkpoints use. The angles come from
//! the caller, who knows the positions and the scaling rule.

// B batch, T tokens, H heads, W width of a head, R rotated columns

#[cfg(test)]
mod tests;

use crate::backend::{Form, operation};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::{Arc, OnceLock};

/// Cosines and sines of the rotation angles, one row per token, one column per frequency. Kept on the host; a device
/// other than the CPU gets them at the first use.
#[derive(Clone, Debug)]
pub struct Angles {
    table: Arc<Table>,
}

/// `[B * T, R / 2]` each, and what was uploaded of them.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
    pub(crate) frequencies: usize,
    uploaded: OnceLock<[Tensor<4>; 2]>,
}

/// Which columns make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// `(x[2i], x[2i + 1])`, DeepSeek's; the result has all first members, then all second ones.
    Interleaved,
    /// `(x[i], x[i + R / 2])`, that of Llama and Qwen.
    Halves,
}

impl Angles {
    /// # Shapes
    /// - `cos`, `sin`: B * T rows of R / 2 `frequencies`
    pub fn new(cos: Vec<f32>, sin: Vec<f32>, frequencies: usize) -> Self {
        assert!(
            cos.len() == sin.len() && cos.len().is_multiple_of(frequencies.max(1)),
            "rows of frequencies"
        );
        Self { table: Arc::new(Table { cos, sin, frequencies, uploaded: OnceLock::new() }) }
    }

    /// Rotated columns (R).
    pub fn width(&self) -> usize {
        2 * self.table.frequencies
    }
}

impl Table {
    /// Cosines and sines, `[B, T, 1, R / 2]` each, uploaded at the first call.
    pub(crate) fn tensors(&self, [batch, tokens]: [usize; 2], device: &Device) -> [Tensor<4>; 2] {
        let Self { cos, sin, frequencies, uploaded } = self;
        let upload = |values: &Vec<f32>| {
            Tensor::from_data(TensorData::new(values.clone(), [batch, tokens, 1, *frequencies]), device)
        };
        uploaded.get_or_init(|| [cos, sin].map(upload)).clone()
    }
}

/// Rotates the pairs `(x[2i], x[2i + 1])` of the last R columns, DeepSeek's layout, and returns them
/// **de-interleaved**: all first members, then all second members. Columns before them stay.
///
/// Queries and keys go through the same permutation, so their products are those of the interleaved form;
/// transformers does the same.
///
/// # Shapes
/// - `x`: `[B, T, H, W]`, result: `[B, T, H, W]`
pub fn rotate_interleaved(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    rotate(x, angles, Pairs::Interleaved)
}

/// Rotates the pairs `(x[i], x[i + R / 2])` of the last R columns, the layout of Llama and Qwen. Columns before them
/// stay.
///
/// # Shapes
/// - `x`: `[B, T, H, W]`, result: `[B, T, H, W]`
pub fn rotate_halves(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    rotate(x, angles, Pairs::Halves)
}

fn rotate(x: Tensor<4>, angles: &Angles, pairs: Pairs) -> Tensor<4> {
    match Rotation::form(&x) {
        Form::Reference => reference(x, angles, pairs),
        Form::Fused => fused(x, angles, pairs),
    }
}

/// The operation of [`rotate_halves`] and [`rotate_interleaved`].
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    pub(crate) table: Arc<Table>,
    pub(crate) pairs: Pairs,
}

operation!(Rotation(x: Tensor<4>) -> (out: Tensor<4>));

fn fused(x: Tensor<4>, angles: &Angles, pairs: Pairs) -> Tensor<4> {
    Rotation { table: Arc::clone(&angles.table), pairs }.fused(x)
}

pub(crate) fn reference(x: Tensor<4>, angles: &Angles, pairs: Pairs) -> Tensor<4> {
    let [batch, tokens, heads, width] = x.dims();
    let half = angles.table.frequencies;
    let still = width - 2 * half;
    let turning = x.clone().narrow(3, still, 2 * half);
    let [first, second] = match pairs {
        Pairs::Interleaved => {
            let pairs = turning.reshape([batch, tokens, heads, half, 2]);
            [0, 1].map(|member| pairs.clone().narrow(4, member, 1).reshape([batch, tokens, heads, half]))
        }
        Pairs::Halves => [0, half].map(|start| turning.clone().narrow(3, start, half)),
    };
    let [cos, sin] = angles.table.tensors([batch, tokens], &x.device());
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    let mut parts = vec![turned_first, turned_second];
    if still > 0 {
        parts.insert(0, x.narrow(3, 0, still));
    }
    Tensor::cat(parts, 3)
}
