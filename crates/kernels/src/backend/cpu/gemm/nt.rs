//! `x W^T`, what a linear map is. For a few rows of x, as decoding has them (a token per slot), the weight is read
//! once, as it lies: `gemm` would first copy its transpose into panels, which costs more than so few rows give back.

#![allow(
    clippy::inline_always,
    reason = "only what is inlined into the entry is compiled for its instruction set"
)]

// M rows, D inner dimension, O outputs

use super::blocked::{gemm, gemm_vec};
use super::matrix::{Matrix, MatrixMut, Store, Threads, WORTH_SHARING, area};
use crate::backend::cpu::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows up to which this beats the product with packed panels.
const FEW_ROWS: usize = 48;

/// Side of a tile: 4 x 4 sums and 8 operands fit the 32 registers of AVX-512.
const SIDE: usize = 4;

/// Outputs of a task.
const OUTPUTS: usize = 64;

/// `out = x W^T` for `x` `[M, D]`, `weight` `[O, D]`, `out` `[M, O]`: by whichever way is the faster for so many rows.
///
/// # Panics
/// When a slice has not exactly the elements of its shape, however many rows there are.
pub(crate) fn gemm_nt(
    out: &mut [f32],
    x: &[f32],
    weight: &[f32],
    [rows, width, outputs]: [usize; 3],
    threads: Threads,
) {
    assert_fits(x, weight, [rows, width, outputs]);
    assert!(out.len() == area(rows, outputs), "shapes of a product must fit");
    if rows <= FEW_ROWS {
        return few_rows(out, x, weight, [rows, width, outputs], threads);
    }
    let (x, weight) = (Matrix::new(x, rows, width), Matrix::new(weight, outputs, width));
    gemm(MatrixMut::new(out, rows, outputs), Store::Replace, x, weight.transposed(), threads);
}

/// `x W^T` `[M, O]`, as [`gemm_nt`].
///
/// # Panics
/// As [`gemm_nt`].
pub(crate) fn gemm_nt_vec(
    x: &[f32],
    weight: &[f32],
    [rows, width, outputs]: [usize; 3],
    threads: Threads,
) -> Vec<f32> {
    assert_fits(x, weight, [rows, width, outputs]);
    if rows <= FEW_ROWS {
        let mut out = vec![0.0; area(rows, outputs)];
        few_rows(&mut out, x, weight, [rows, width, outputs], threads);
        return out;
    }
    let (x, weight) = (Matrix::new(x, rows, width), Matrix::new(weight, outputs, width));
    gemm_vec(x, weight.transposed(), threads)
}

fn assert_fits(x: &[f32], weight: &[f32], [rows, width, outputs]: [usize; 3]) {
    let fits = x.len() == area(rows, width) && weight.len() == area(outputs, width);
    assert!(fits, "shapes of a product must fit");
}

/// Each element is a sum in the same order whatever the other rows are and however many threads there are. The slices
/// have the elements of their shapes.
fn few_rows(
    out: &mut [f32],
    x: &[f32],
    weight: &[f32],
    [rows, width, outputs]: [usize; 3],
    threads: Threads,
) {
    if out.is_empty() || width == 0 {
        return out.fill(0.0);
    }
    // Tasks own outputs, so the sums come out transposed.
    let mut transposed = vec![0.0; outputs * rows];
    let of_outputs = |(sums, weight): (&mut [f32], &[f32])| {
        arch().dispatch(Tiles { out: sums, x, weight, rows, width });
    };
    let (block, weights) = (OUTPUTS * rows, OUTPUTS * width);
    if threads == Threads::Pool && rows * weight.len() >= WORTH_SHARING {
        transposed.par_chunks_mut(block).zip(weight.par_chunks(weights)).for_each(of_outputs);
    } else {
        transposed.chunks_mut(block).zip(weight.chunks(weights)).for_each(of_outputs);
    }
    for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
        for (out, sums) in out.iter_mut().zip(transposed.chunks_exact(rows)) {
            *out = sums[row];
        }
    }
}

/// `out[o, m] = sum_d weight[o, d] x[m, d]`
struct Tiles<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    rows: usize,
    width: usize,
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, x, weight, rows, width } = self;
        let outputs = weight.chunks(SIDE * width).zip(out.chunks_mut(SIDE * rows));
        for (weight, out) in outputs {
            for (start, x) in (0..rows).step_by(SIDE).zip(x.chunks(SIDE * width)) {
                let sums = tile(simd, weight, x, width);
                let (height, breadth) = (weight.len() / width, x.len() / width);
                for o in 0..height {
                    out[o * rows + start..][..breadth].copy_from_slice(&sums[o][..breadth]);
                }
            }
        }
    }
}

/// The products of up to [`SIDE`] rows with up to as many; rows that are missing repeat the first.
///
/// Plain loops throughout: a closure that is not inlined would be compiled for the baseline.
#[inline(always)]
fn tile<S: Simd>(simd: S, weight: &[f32], x: &[f32], width: usize) -> [[f32; SIDE]; SIDE] {
    let (mut weights, mut weight_rests) = ([[].as_slice(); SIDE], [[].as_slice(); SIDE]);
    let (mut inputs, mut input_rests) = ([[].as_slice(); SIDE], [[].as_slice(); SIDE]);
    for i in 0..SIDE {
        (weights[i], weight_rests[i]) = S::as_simd_f32s(row_or_first(weight, i, width));
        (inputs[i], input_rests[i]) = S::as_simd_f32s(row_or_first(x, i, width));
    }
    let [w0, w1, w2, w3] = weights;
    let [x0, x1, x2, x3] = inputs;
    let mut sums = [[simd.splat_f32s(0.0); SIDE]; SIDE];
    let weights = w0.iter().zip(w1).zip(w2).zip(w3);
    let inputs = x0.iter().zip(x1).zip(x2).zip(x3);
    for ((((&w0, &w1), &w2), &w3), (((&x0, &x1), &x2), &x3)) in weights.zip(inputs) {
        let (weights, inputs) = ([w0, w1, w2, w3], [x0, x1, x2, x3]);
        for o in 0..SIDE {
            for m in 0..SIDE {
                sums[o][m] = simd.mul_add_e_f32s(weights[o], inputs[m], sums[o][m]);
            }
        }
    }
    let mut out = [[0.0; SIDE]; SIDE];
    for o in 0..SIDE {
        for m in 0..SIDE {
            out[o][m] = simd.reduce_sum_f32s(sums[o][m]);
            for (weight, x) in weight_rests[o].iter().zip(input_rests[m]) {
                out[o][m] += weight * x;
            }
        }
    }
    out
}

#[inline(always)]
fn row_or_first(rows: &[f32], index: usize, width: usize) -> &[f32] {
    let start = if (index + 1) * width <= rows.len() { index * width } else { 0 };
    &rows[start..start + width]
}

#[cfg(test)]
mod tests {
    use super::{FEW_ROWS, gemm_nt, gemm_nt_vec};
    use crate::backend::cpu::Threads;

    /// A number whose product with itself is 0 where it wraps.
    const HALF: usize = 1 << (usize::BITS / 2);

    #[test]
    #[should_panic(expected = "elements are more than there can be")]
    fn empty_operands_of_a_result_beyond_all_numbers_are_refused() {
        let _ = gemm_nt_vec(&[], &[], [HALF, 0, HALF], Threads::One);
    }

    #[test]
    #[should_panic(expected = "shapes of a product must fit")]
    fn a_weight_of_longer_rows_is_refused_for_many_rows_as_for_few() {
        let rows = FEW_ROWS + 1;
        let _ = gemm_nt_vec(&vec![1.0; rows * 2], &[1.0; 9], [rows, 2, 3], Threads::One);
    }

    #[test]
    #[should_panic(expected = "shapes of a product must fit")]
    fn so_is_a_result_that_is_too_long() {
        let rows = FEW_ROWS + 1;
        let mut out = vec![0.0; rows * 3 + 1];
        gemm_nt(&mut out, &vec![1.0; rows * 2], &[1.0; 6], [rows, 2, 3], Threads::One);
    }
}
