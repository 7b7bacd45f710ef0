//! The register tile of products in f32: up to [`MR`] rows times a panel, [`NR`](super::NR) columns packed for it.
//! Each element is one chain of fused multiply-adds in the order of the inner dimension, the same on every machine
//! that fuses; [`Store::Add`] continues the chain, so that an inner dimension in parts gives the bits of the whole.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "tiles read through pointers, so that no check stands between two multiplications; only what is inlined \
              into the entry is compiled for its instruction set"
)]

// K inner dimension

use super::MR;
use super::matrix::{Matrix, Store};
use super::prefetch::Ahead;
use super::shared_output::Part;
use crate::backend::cpu::arch;
use pulp::{MemMask, Simd, WithSimd};
use std::ops::Range;

/// Columns of a vector: panels are padded to whole ones.
pub(super) const VECTOR: usize = 16;

/// Columns of a panel of so many, padded to whole vectors.
pub(super) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(VECTOR)
}

/// Rows of the next tile where so many are left: 8, 4, 2 or 1.
#[inline(always)]
pub(super) fn tallest(left: usize) -> usize {
    1 << left.min(MR).ilog2()
}

/// The left operand: rows and K columns.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// As they lie, in rows.
    InPlace(Matrix<'a>),
    /// So many rows as `[tile][K][MR]`.
    Packed(usize, &'a [f32]),
}

impl<'a> Rows<'a> {
    fn len(&self) -> usize {
        match self {
            Self::InPlace(rows) => rows.rows,
            Self::Packed(count, _) => *count,
        }
    }

    /// `height` rows from `row` on, which lie in one tile of [`MR`].
    #[inline(always)]
    fn tile(&self, row: usize, height: usize, depth: usize) -> Matrix<'a> {
        match self {
            Self::InPlace(rows) => rows.rows(row..row + height),
            Self::Packed(_, values) => {
                let tile = &values[row / MR * MR * depth..][..MR * depth];
                Matrix::new(tile, depth, MR).transposed().rows(row % MR..row % MR + height)
            }
        }
    }
}

/// All rows times a panel `[K][columns of the panel]`, into these columns of the part, counted from 0. Meanwhile
/// `next` is brought closer: what is wanted after this panel, or the panel itself.
///
/// # Safety
/// With [`Store::Add`] the columns are initialised.
pub(super) unsafe fn times_panel(
    rows: Rows<'_>,
    [panel, next]: [&[f32]; 2],
    out: &mut Part<'_>,
    columns: &Range<usize>,
    store: Store,
) {
    let (lanes, count) = (padded(columns.len()), rows.len());
    assert!(panel.len().is_multiple_of(lanes) && !panel.is_empty(), "a panel of these columns");
    let depth = panel.len() / lanes;
    assert!(
        matches!(rows, Rows::Packed(..)) || rows.tile(0, 0, depth).columns == depth,
        "as deep as the panel"
    );
    let (place, stride) = out.place(&(0..count), columns);
    arch().dispatch(Tiles { rows, panel, next, depth, lanes, place, stride, width: columns.len(), store });
}

/// `place` is the first of `width` columns of as many rows as `rows` has, `stride` apart, all inside one part of the
/// result.
struct Tiles<'a> {
    rows: Rows<'a>,
    panel: &'a [f32],
    next: &'a [f32],
    depth: usize,
    lanes: usize,
    place: *mut f32,
    stride: usize,
    width: usize,
    store: Store,
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // 8 x 3 sums, 3 vectors of weights and a broadcast fit 32 registers; 4 x 2 fit 16.
        let (tall, wide) = if S::REGISTER_COUNT >= 32 { (8, 3) } else { (4, 2) };
        let (count, vectors) = (self.rows.len(), self.lanes / S::F32_LANES);
        let mut row = 0;
        while row < count {
            let height = tallest(count - row).min(tall);
            let rows = self.rows.tile(row, height, self.depth);
            let mut first = 0;
            while first < vectors {
                let count = (vectors - first).min(wide);
                match (height, count) {
                    (8, 3) => self.part::<S, 8, 3>(simd, rows, row, first),
                    (8, 2) => self.part::<S, 8, 2>(simd, rows, row, first),
                    (8, _) => self.part::<S, 8, 1>(simd, rows, row, first),
                    (4, 3) => self.part::<S, 4, 3>(simd, rows, row, first),
                    (4, 2) => self.part::<S, 4, 2>(simd, rows, row, first),
                    (4, _) => self.part::<S, 4, 1>(simd, rows, row, first),
                    (2, 3) => self.part::<S, 2, 3>(simd, rows, row, first),
                    (2, 2) => self.part::<S, 2, 2>(simd, rows, row, first),
                    (2, _) => self.part::<S, 2, 1>(simd, rows, row, first),
                    (_, 3) => self.part::<S, 1, 3>(simd, rows, row, first),
                    (_, 2) => self.part::<S, 1, 2>(simd, rows, row, first),
                    (_, _) => self.part::<S, 1, 1>(simd, rows, row, first),
                }
                first += count;
            }
            row += height;
        }
    }
}

impl Tiles<'_> {
    /// `M` rows, row `row` of the result and those after it, and `N` vectors of columns from `first` on.
    #[inline(always)]
    fn part<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        rows: Matrix<'_>,
        row: usize,
        first: usize,
    ) {
        let Self { panel, next, depth, lanes, place, stride, width, store, .. } = *self;
        let start = first * S::F32_LANES;
        assert!(start + N * S::F32_LANES <= lanes, "vectors of the panel");
        assert!(rows.rows == M && rows.columns == depth, "rows of the tile");
        let whole = start + N * S::F32_LANES <= width;
        let mut masks = [MemMask::from(simd.mask_between_m32s(0, 0).mask()); N];
        for (n, mask) in masks.iter_mut().enumerate() {
            let count = width.saturating_sub(start + n * S::F32_LANES).min(S::F32_LANES);
            *mask = simd.mask_between_m32s(0, count as u32).mask().into();
        }
        let mut products = [[simd.splat_f32s(0.0); N]; M];
        // A line for each of the inner dimension: a few tiles bring all of the next panel.
        let mut ahead = Ahead::of(next, row / MR * depth);
        // SAFETY: `right` moves through the panel's `depth` lines of `lanes` numbers, of which the first assertion
        // says that they hold the vectors read; the constructors of `Matrix` checked that its elements lie inside its
        // slice, and element `k < depth` of row `m < M` is one of them by the second. `place` is where a part of the
        // result begins that has these rows and `width` columns and that nothing else has; masks close the lanes
        // beyond them.
        unsafe {
            let place = place.wrapping_add(row * stride + start);
            if store == Store::Add {
                for (m, products) in products.iter_mut().enumerate() {
                    for (n, product) in products.iter_mut().enumerate() {
                        let at = place.wrapping_add(m * stride + n * S::F32_LANES);
                        *product = if whole {
                            at.cast::<S::f32s>().read_unaligned()
                        } else {
                            simd.mask_load_ptr_f32s(masks[n], at)
                        };
                    }
                }
            }
            let mut right = panel.as_ptr().add(start);
            let mut left = rows.values.as_ptr();
            for _ in 0..depth {
                let mut vectors = [simd.splat_f32s(0.0); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = right.add(n * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for (m, products) in products.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*left.add(m * rows.row_stride));
                    for (product, vector) in products.iter_mut().zip(vectors) {
                        *product = simd.mul_add_e_f32s(factor, vector, *product);
                    }
                }
                ahead.bring();
                right = right.wrapping_add(lanes);
                left = left.wrapping_add(rows.column_stride);
            }
            for (m, products) in products.into_iter().enumerate() {
                for (n, product) in products.into_iter().enumerate() {
                    let at = place.wrapping_add(m * stride + n * S::F32_LANES);
                    if whole {
                        at.cast::<S::f32s>().write_unaligned(product);
                    } else {
                        simd.mask_store_ptr_f32s(masks[n], at, product);
                    }
                }
            }
        }
    }
}
