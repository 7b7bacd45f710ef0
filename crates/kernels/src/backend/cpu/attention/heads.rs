//! Tensors of heads as the fused loops read them: rows of adjacent columns, wherever they begin.

// B batch, T tokens, H heads, W width of a head

use crate::backend::cpu::Matrix;
use burn_flex::FlexTensor;
use std::ops::Range;

/// A `[B, T, H, W]` tensor; a view is read in its place as long as the columns of a head are adjacent.
pub(crate) struct Heads {
    tensor: FlexTensor,
    start: usize,
    strides: [usize; 3],
    pub(crate) shape: [usize; 4],
}

impl Heads {
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        let readable = matches!(tensor.layout().strides(), &[b, t, h, 1] if b >= 0 && t >= 0 && h >= 0);
        let tensor = if readable { tensor.clone() } else { tensor.to_contiguous() };
        let layout = tensor.layout();
        let shape = std::array::from_fn(|axis| layout.shape()[axis]);
        let strides = std::array::from_fn(|axis| layout.strides()[axis] as usize);
        Self { start: layout.start_offset(), strides, shape, tensor }
    }

    /// One head at consecutive places of a row of the batch: `[places, W]`.
    pub(super) fn places(&self, row: usize, head: usize, places: Range<usize>) -> Matrix<'_> {
        let [_, _, _, width] = self.shape;
        Matrix::strided(self.rest(row, places.start, head), places.len(), width, self.strides[1])
    }

    /// The columns of one head at one place.
    pub(crate) fn columns(&self, row: usize, place: usize, head: usize) -> &[f32] {
        let [_, _, _, width] = self.shape;
        &self.rest(row, place, head)[..width]
    }

    fn rest(&self, row: usize, place: usize, head: usize) -> &[f32] {
        let [by_row, by_place, by_head] = self.strides;
        &self.tensor.storage()[self.start + row * by_row + place * by_place + head * by_head..]
    }
}
