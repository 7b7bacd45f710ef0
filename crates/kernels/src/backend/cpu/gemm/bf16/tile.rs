//! The register tile of products in bfloat16: up to [`MR`](super::super::MR) rows times a panel, in pairs along the
//! inner dimension. The later number of a pair is added first, as AVX512-BF16 does. [`Store::Add`] continues the sums, so
//! that an inner dimension in parts gives the bits of the whole.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "instructions that the portable layer does not know; tiles read through pointers, so that no check stands \
              between two multiplications; only what is inlined into `vectorized!` is compiled for its instruction set"
)]

use super::super::MR;
use super::super::matrix::{Matrix, Store};
use super::super::microkernel::{padded, tallest};
use super::super::shared_output::Part;
use super::pairs::Pairs;
use crate::backend::cpu::vectorized;
use half::bf16;
use std::ops::Range;

/// A number of an operand.
pub(crate) trait Number: Copy + Sync + Pairs {
    /// The bits of the nearest bfloat16, ties to even, in the lower half; NaN stays one.
    fn rounded(self) -> u32;
}

impl Number for f32 {
    #[inline(always)]
    fn rounded(self) -> u32 {
        let bits = self.to_bits();
        let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        if self.is_nan() { (bits >> 16) | 0x40 } else { nearest }
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn rounded(self) -> u32 {
        self.to_bits().into()
    }
}

/// Rows of pairs, a tile of up to [`MR`] at a time.
pub(in super::super) trait Rows {
    /// How many there are.
    fn count(&self) -> usize;

    /// `height` of them from `row` on, which is a multiple of it.
    fn tile(&self, row: usize, height: usize) -> Matrix<'_, u32>;
}

impl Rows for Matrix<'_, u32> {
    fn count(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn tile(&self, row: usize, height: usize) -> Matrix<'_, u32> {
        self.rows(row..row + height)
    }
}

/// All rows times a panel `[pairs][columns of the panel, padded]`, into these columns of the part, counted from 0.
///
/// # Safety
/// With [`Store::Add`] the columns are initialised.
pub(in super::super) unsafe fn times_panel(
    rows: &impl Rows,
    panel: &[u32],
    out: &mut Part<'_>,
    columns: &Range<usize>,
    store: Store,
) {
    let (place, stride) = out.place(&(0..rows.count()), columns);
    let mut row = 0;
    while row < rows.count() {
        let height = tallest(rows.count() - row);
        // SAFETY: `place` checked that these rows and columns lie inside the part, which nothing else has; the caller
        // sees to it that they are initialised where they are added to.
        let place = unsafe { place.add(row * stride) };
        add_products(&Tile {
            rows: rows.tile(row, height),
            panel,
            place,
            stride,
            width: columns.len(),
            store,
        });
        row += height;
    }
}

/// `place` is the first of `width` columns of as many rows as `rows` has, `stride` apart, all inside one part of the
/// result, and initialised if they are added to.
struct Tile<'a> {
    rows: Matrix<'a, u32>,
    panel: &'a [u32],
    place: *mut f32,
    stride: usize,
    width: usize,
    store: Store,
}

fn add_products(tile: &Tile<'_>) {
    let lanes = padded(tile.width);
    assert!(
        tile.rows.rows <= MR && tile.panel.len() == tile.rows.columns * lanes,
        "rows and a panel of a tile"
    );
    #[cfg(target_arch = "x86_64")]
    if crate::backend::cpu::arch::has!("avx512f", "avx512bf16") {
        // SAFETY: the machine has the instructions.
        return unsafe { x86::add_products(tile) };
    }
    add_products_portably(tile);
}

/// As [`add_products`], on a machine without the instructions.
fn add_products_portably(tile: &Tile<'_>) {
    let Tile { rows, panel, place, stride, width, store } = *tile;
    for row in 0..rows.rows {
        let inputs = &rows.values[row * rows.row_stride..];
        let step = rows.column_stride;
        // SAFETY: the tile's columns, which nothing else has; where they are replaced, they are written before they are
        // read.
        let sums = unsafe {
            let first = place.add(row * stride);
            if store == Store::Replace {
                first.write_bytes(0, width);
            }
            std::slice::from_raw_parts_mut(first, width)
        };
        vectorized!(|panel: &[u32], inputs: &[u32], step: usize, sums: &mut [f32]| {
            let lanes = padded(sums.len());
            for (weights, &input) in panel.chunks_exact(lanes).zip(inputs.iter().step_by(step)) {
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum = later(weight).mul_add(later(input), *sum);
                    *sum = earlier(weight).mul_add(earlier(input), *sum);
                }
            }
        });
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

    use super::super::super::microkernel::VECTOR;
    use super::{Store, Tile};
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    };
    use std::mem::transmute;

    /// As [`add_products`](super::add_products), whose assertion holds.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn add_products(tile: &Tile<'_>) {
        match (tile.rows.rows, tile.width.div_ceil(VECTOR)) {
            (8, 3) => part::<8, 3>(tile),
            (8, 2) => part::<8, 2>(tile),
            (8, _) => part::<8, 1>(tile),
            (4, 3) => part::<4, 3>(tile),
            (4, 2) => part::<4, 2>(tile),
            (4, _) => part::<4, 1>(tile),
            (2, 3) => part::<2, 3>(tile),
            (2, 2) => part::<2, 2>(tile),
            (2, _) => part::<2, 1>(tile),
            (_, 3) => part::<1, 3>(tile),
            (_, 2) => part::<1, 2>(tile),
            (_, _) => part::<1, 1>(tile),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn part<const M: usize, const N: usize>(tile: &Tile<'_>) {
        let Tile { rows, panel, place, stride, width, store } = *tile;
        let depth = rows.columns;
        assert!(panel.len() == depth * N * VECTOR && rows.rows == M, "a tile has M rows and N vectors");
        let mut masks = [0_u16; N];
        for (n, mask) in masks.iter_mut().enumerate() {
            let count = width.saturating_sub(n * VECTOR).min(VECTOR);
            *mask = ((1_u32 << count) - 1) as u16;
        }
        let mut products = [[_mm512_setzero_ps(); N]; M];
        // SAFETY: `weights` moves through the lines of N vectors that the panel has for each pair of the rows by the
        // assertion; the constructors of `Matrix` checked that its elements lie inside its slice, and element
        // `k < depth` of row `m < M` is one of them by the same. Pairs of bfloat16 are 32 bits of any value. The tile's
        // columns are its own; masks close the lanes beyond them.
        unsafe {
            if store == Store::Add {
                for (m, products) in products.iter_mut().enumerate() {
                    for (n, product) in products.iter_mut().enumerate() {
                        let at = place.wrapping_add(m * stride + n * VECTOR);
                        *product = _mm512_maskz_loadu_ps(masks[n], at);
                    }
                }
            }
            let (mut weights, mut inputs) = (panel.as_ptr(), rows.values.as_ptr());
            for _ in 0..depth {
                let mut vectors = [_mm512_setzero_si512(); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = _mm512_loadu_si512(weights.add(n * VECTOR).cast());
                }
                for (m, products) in products.iter_mut().enumerate() {
                    let input = inputs.add(m * rows.row_stride).read_unaligned();
                    let input = _mm512_set1_epi32(input.cast_signed());
                    for (product, &vector) in products.iter_mut().zip(&vectors) {
                        *product = _mm512_dpbf16_ps(
                            *product,
                            transmute::<__m512i, __m512bh>(vector),
                            transmute::<__m512i, __m512bh>(input),
                        );
                    }
                }
                weights = weights.wrapping_add(N * VECTOR);
                inputs = inputs.wrapping_add(rows.column_stride);
            }
            for (m, products) in products.into_iter().enumerate() {
                for (n, product) in products.into_iter().enumerate() {
                    let at = place.wrapping_add(m * stride + n * VECTOR);
                    _mm512_mask_storeu_ps(at, masks[n], product);
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{Store, Tile, add_products, add_products_portably};
    use crate::backend::cpu::gemm::matrix::Matrix;
    use crate::test_inputs;
    use ruminate_testkit as testkit;

    /// On a machine that has them; elsewhere there is nothing to compare.
    #[test]
    fn the_instructions_agree_with_the_portable_form() {
        for (height, width, depth) in [(8, 48, 70), (4, 33, 7), (2, 16, 1), (1, 5, 147)] {
            let lanes = super::padded(width);
            let bits = |count, seed| -> Vec<u32> {
                let values = test_inputs::values(2 * count, seed);
                let (pairs, _) = values.as_chunks::<2>();
                pairs.iter().map(|[a, b]| (a.to_bits() >> 16) | (b.to_bits() & 0xffff_0000)).collect()
            };
            let (panel, left) = (bits(depth * lanes, 1), bits(height * depth, 2));
            for store in [Store::Replace, Store::Add] {
                let run = |products: fn(&Tile<'_>)| {
                    let mut out = test_inputs::values(height * width, 3);
                    products(&Tile {
                        rows: Matrix::new(&left, height, depth),
                        panel: &panel,
                        place: out.as_mut_ptr(),
                        stride: width,
                        width,
                        store,
                    });
                    out
                };
                let (chosen, portable) = (run(add_products), run(add_products_portably));
                testkit::assert_close(&chosen, &portable, 1e-6 * test_inputs::magnitude(&portable));
            }
        }
    }
}
