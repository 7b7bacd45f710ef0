//! Panels of bfloat16: pairs of neighbours along the inner dimension, as AVX512-BF16 multiplies them. Other machines
//! widen the same numbers to f32.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "instructions that the portable layer does not know; tiles read through pointers, so that no check stands \
              between two multiplications"
)]

// D inner dimension, D2 = D / 2 pairs, the last one padded with 0

use super::Sums;
use crate::backend::cpu::gemm::matrix::area;
use crate::backend::cpu::gemm::microkernel::{padded, tallest};
use crate::backend::cpu::gemm::shared_output::Part;
use crate::backend::cpu::gemm::{MR, NR};
use crate::backend::cpu::vectorized;
use rayon::prelude::*;

/// `[panel][D2][outputs of the panel]`, the earlier number of a pair in the lower half.
#[derive(Debug)]
pub(super) struct Panels {
    pairs: Vec<u32>,
    /// D2
    width: usize,
}

impl Panels {
    pub(super) fn pack(rows: &[&[f32]], width: usize) -> Self {
        /// Lines that are filled for all outputs before the next ones: they stay in the first-level cache.
        const LINES: usize = 32;
        let width = width.div_ceil(2);
        let mut pairs = vec![0; area(padded(rows.len()), width)];
        let panels = pairs.par_chunks_mut((NR * width).max(1));
        rows.par_chunks(NR).zip(panels).for_each(|(rows, panel)| {
            let lanes = padded(rows.len());
            for (block, panel) in panel.chunks_mut(LINES * lanes).enumerate() {
                for (lane, row) in rows.iter().enumerate() {
                    let neighbours = row[block * LINES * 2..].chunks(2);
                    for (value, neighbours) in panel[lane..].iter_mut().step_by(lanes).zip(neighbours) {
                        *value = pair(neighbours);
                    }
                }
            }
        });
        Self { pairs, width }
    }
}

/// Two neighbours, or the last one alone.
#[inline(always)]
fn pair(x: &[f32]) -> u32 {
    rounded(x[0]) | x.get(1).map_or(0, |&x| rounded(x)) << 16
}

/// What the format holds of some numbers.
pub(super) fn round(values: &mut [f32]) {
    for x in values {
        *x = f32::from_bits(rounded(*x) << 16);
    }
}

/// Rows of x, `[M, D2]`.
#[derive(Debug)]
pub(super) struct Inputs {
    pairs: Vec<u32>,
}

impl Inputs {
    pub(super) fn new(x: &[f32], width: usize) -> Self {
        let half = width.div_ceil(2);
        let mut pairs = vec![0; x.len() / width * half];
        let rows = crate::backend::cpu::rows_at_once(width);
        pairs.par_chunks_mut(rows * half).zip(x.par_chunks(rows * width)).for_each(|(pairs, x)| {
            vectorized!(|pairs: &mut [u32], x: &[f32], width: usize, half: usize| {
                for (pairs, x) in pairs.chunks_exact_mut(half).zip(x.chunks_exact(width)) {
                    let (whole, rest) = x.as_chunks::<2>();
                    for (pair, [low, high]) in pairs.iter_mut().zip(whole) {
                        *pair = rounded(*low) | rounded(*high) << 16;
                    }
                    if !rest.is_empty() {
                        pairs[half - 1] = pair(rest);
                    }
                }
            });
        });
        Self { pairs }
    }
}

/// The upper half of the number, rounded to nearest even; NaN stays one.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if x.is_nan() { (bits >> 16) | 0x40 } else { nearest }
}

impl super::Panels for Panels {
    type Inputs<'a> = Inputs;

    fn bytes(&self) -> usize {
        size_of_val(self.pairs.as_slice())
    }

    fn times(&self, panel: usize, x: &Inputs, rows: usize, out: &mut Part<'_>) {
        let mut sums: Sums = [[0.0; NR]; MR];
        let mut row = 0;
        while row < rows {
            let height = tallest(rows - row);
            self.products(panel, x, row, height, &mut sums);
            out.put(row, &sums[..height]);
            row += height;
        }
    }
}

impl Panels {
    /// The products of a tile. Those of outputs that the panel does not have mean nothing.
    pub(super) fn products(&self, panel: usize, x: &Inputs, row: usize, height: usize, sums: &mut Sums) {
        #[cfg(target_arch = "x86_64")]
        if crate::backend::cpu::arch::has!("avx512f", "avx512bf16") {
            let (panel, x) = (self.panel(panel), self.rows(x, row, height));
            // SAFETY: the machine has the instructions.
            return unsafe { x86::tile(panel, x, self.width, height, sums) };
        }
        self.portable_tile(panel, x, row, height, sums);
    }

    /// The tile on a machine without the instructions.
    pub(super) fn portable_tile(&self, panel: usize, x: &Inputs, row: usize, height: usize, sums: &mut Sums) {
        let (panel, x, width) = (self.panel(panel), self.rows(x, row, height), self.width);
        vectorized!(|panel: &[u32], x: &[u32], width: usize, sums: &mut Sums| {
            portable(panel, x, width, sums);
        });
    }

    fn panel(&self, panel: usize) -> &[u32] {
        let start = panel * NR * self.width;
        &self.pairs[start..(start + NR * self.width).min(self.pairs.len())]
    }

    fn rows<'a>(&self, x: &'a Inputs, row: usize, height: usize) -> &'a [u32] {
        &x.pairs[row * self.width..(row + height) * self.width]
    }
}

/// The later number of a pair is added first, as the instruction does.
#[inline(always)]
fn portable(panel: &[u32], x: &[u32], width: usize, sums: &mut Sums) {
    let lanes = panel.len() / width;
    for (sums, x) in sums.iter_mut().zip(x.chunks_exact(width)) {
        let sums = &mut sums[..lanes];
        sums.fill(0.0);
        for (weights, &input) in panel.chunks_exact(lanes).zip(x) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = later(weight).mul_add(later(input), *sum);
                *sum = earlier(weight).mul_add(earlier(input), *sum);
            }
        }
    }
}

#[inline(always)]
fn earlier(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

#[inline(always)]
fn later(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The tile by AVX512-BF16.

    use super::Sums;
    use crate::backend::cpu::gemm::microkernel::VECTOR;
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_setzero_si512,
    };
    use std::mem::transmute;

    /// As [`portable`](super::portable).
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn tile(panel: &[u32], x: &[u32], width: usize, height: usize, sums: &mut Sums) {
        match (height, panel.len() / width / VECTOR) {
            (8, 3) => part::<8, 3>(panel, x, width, sums),
            (8, 2) => part::<8, 2>(panel, x, width, sums),
            (8, _) => part::<8, 1>(panel, x, width, sums),
            (4, 3) => part::<4, 3>(panel, x, width, sums),
            (4, 2) => part::<4, 2>(panel, x, width, sums),
            (4, _) => part::<4, 1>(panel, x, width, sums),
            (2, 3) => part::<2, 3>(panel, x, width, sums),
            (2, 2) => part::<2, 2>(panel, x, width, sums),
            (2, _) => part::<2, 1>(panel, x, width, sums),
            (_, 3) => part::<1, 3>(panel, x, width, sums),
            (_, 2) => part::<1, 2>(panel, x, width, sums),
            (_, _) => part::<1, 1>(panel, x, width, sums),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn part<const M: usize, const N: usize>(panel: &[u32], x: &[u32], width: usize, sums: &mut Sums) {
        assert!(panel.len() == width * N * VECTOR && x.len() == width * M, "a tile has M rows and N vectors");
        let mut products = [[_mm512_setzero_ps(); N]; M];
        // SAFETY: `weights` moves through the `width` lines of N vectors that the panel has by the assertion, and
        // element `k < width` of row `m < M` lies inside `x` by the same. Pairs of bfloat16 are 32 bits of any value.
        unsafe {
            let mut weights = panel.as_ptr();
            for k in 0..width {
                let mut vectors = [_mm512_setzero_si512(); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = _mm512_loadu_si512(weights.add(n * VECTOR).cast());
                }
                for (m, products) in products.iter_mut().enumerate() {
                    let input = _mm512_set1_epi32(x.as_ptr().add(m * width + k).read().cast_signed());
                    for (product, &vector) in products.iter_mut().zip(&vectors) {
                        *product = _mm512_dpbf16_ps(
                            *product,
                            transmute::<__m512i, __m512bh>(vector),
                            transmute::<__m512i, __m512bh>(input),
                        );
                    }
                }
                weights = weights.wrapping_add(N * VECTOR);
            }
        }
        for (sums, products) in sums.iter_mut().zip(products) {
            for (sums, product) in sums.as_chunks_mut::<VECTOR>().0.iter_mut().zip(products) {
                *sums = pulp::cast::<__m512, [f32; VECTOR]>(product);
            }
        }
    }
}
