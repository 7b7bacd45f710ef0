//! Products of matrices that lie in the cache: register tiles over the operands as they are, without packing. Where
//! `gemm` would spend its time on copying operands into panels, this is several times faster.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "tiles read through pointers, so that no check stands between two multiplications; only what is inlined \
              into the entry is compiled for its instruction set"
)]

use super::matrix::{Matrix, MatrixMut, Store};
use crate::backend::cpu::arch;
use pulp::{MemMask, Simd, WithSimd};

/// `out = lhs rhs`, or `out += lhs rhs`, on the calling thread. The columns of `rhs` must be adjacent.
///
/// Each element is one chain of fused multiply-adds in the order of the inner dimension, the same on every machine
/// that fuses; `+=` continues the chain, so that an inner dimension in two parts gives the bits of the whole.
///
/// # Panics
/// When the shapes do not fit, or `rhs` is a transpose.
pub(crate) fn gemm_small(out: MatrixMut<'_>, store: Store, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    assert!(
        rhs.rows == lhs.columns && out.rows == lhs.rows && out.columns == rhs.columns,
        "shapes of a product must fit"
    );
    assert!(rhs.column_stride == 1 || rhs.columns <= 1, "the right operand lies in rows");
    arch().dispatch(Product { out, store, lhs, rhs });
}

struct Product<'a> {
    out: MatrixMut<'a>,
    store: Store,
    lhs: Matrix<'a>,
    rhs: Matrix<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (rows, columns) = (self.out.rows, self.out.columns);
        // Accumulators, a broadcast for each row and a vector have to fit the registers: 8 x 2, 4 x 4 or 3 x 8 of 32,
        // and 4 x 2 of 16. Few rows do little arithmetic with what they read, so they read it in long runs.
        let roomy = S::REGISTER_COUNT >= 32;
        let vectors = match rows {
            ..=3 if roomy => 8,
            4 if roomy => 4,
            _ => 2,
        };
        let mut column = 0;
        while column < columns {
            let width = (columns - column).min(vectors * S::F32_LANES);
            match width.div_ceil(S::F32_LANES) {
                1 if roomy => self.strip::<S, 8, 1>(simd, column, width),
                2 if roomy => self.strip::<S, 8, 2>(simd, column, width),
                1 => self.strip::<S, 4, 1>(simd, column, width),
                2 => self.strip::<S, 4, 2>(simd, column, width),
                3 => self.strip::<S, 4, 3>(simd, column, width),
                4 => self.strip::<S, 4, 4>(simd, column, width),
                5 => self.strip::<S, 3, 5>(simd, column, width),
                6 => self.strip::<S, 3, 6>(simd, column, width),
                7 => self.strip::<S, 3, 7>(simd, column, width),
                _ => self.strip::<S, 3, 8>(simd, column, width),
            }
            column += width;
        }
    }
}

impl Product<'_> {
    /// All rows of `width` columns (more than `N - 1` vectors, at most `N`) from `column` on, `MR` rows at a time.
    #[inline(always)]
    fn strip<S: Simd, const MR: usize, const N: usize>(&mut self, simd: S, column: usize, width: usize) {
        let rows = self.out.rows;
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                left if left >= MR => self.tile::<S, MR, N>(simd, row, column, width),
                4.. => self.tile::<S, 4, N>(simd, row, column, width),
                // The group of many a model: queries that share a key.
                3 => self.tile::<S, 3, N>(simd, row, column, width),
                2 => self.tile::<S, 2, N>(simd, row, column, width),
                _ => self.tile::<S, 1, N>(simd, row, column, width),
            };
        }
    }

    /// `M` rows, which it returns, and `width` columns (more than `N - 1` vectors, at most `N`) from `(row, column)`
    /// on.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
        width: usize,
    ) -> usize {
        let Self { out, store, lhs, rhs } = self;
        assert!(row + M <= out.rows && column + width <= out.columns, "a tile lies inside the result");
        assert!((N - 1) * S::F32_LANES < width && width <= N * S::F32_LANES, "a tile has N vectors");
        // As a plain mask: pulp's own reaches memory through a function pointer.
        let mask: MemMask<S::m32s> =
            simd.mask_between_m32s(0, (width - (N - 1) * S::F32_LANES) as u32).mask().into();
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: the constructors of the matrices checked that every element (i, j) within their rows and columns
        // lies inside its slice, `gemm_small` that rows and columns fit each other, and the assertions above
        // that the tile lies inside the result. Vectors before the last are whole by the second of them, and the
        // mask closes the lanes of the last one beyond the tile's width, so no address outside a row is touched.
        unsafe {
            let load = |at: *const f32, n: usize| {
                if n + 1 == N {
                    simd.mask_load_ptr_f32s(mask, at)
                } else {
                    at.cast::<S::f32s>().read_unaligned()
                }
            };
            if *store == Store::Add {
                for (m, sums) in sums.iter_mut().enumerate() {
                    let out = out.values.as_ptr().add((row + m) * out.row_stride + column);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = load(out.add(n * S::F32_LANES), n);
                    }
                }
            }
            let mut left = lhs.values.as_ptr().wrapping_add(row * lhs.row_stride);
            let mut right = rhs.values.as_ptr().wrapping_add(column);
            for _ in 0..lhs.columns {
                let mut factors = [simd.splat_f32s(0.0); M];
                for (m, factor) in factors.iter_mut().enumerate() {
                    *factor = simd.splat_f32s(*left.add(m * lhs.row_stride));
                }
                for n in 0..N {
                    let vector = load(right.add(n * S::F32_LANES), n);
                    for (sums, factor) in sums.iter_mut().zip(factors) {
                        sums[n] = simd.mul_add_e_f32s(factor, vector, sums[n]);
                    }
                }
                left = left.wrapping_add(lhs.column_stride);
                right = right.wrapping_add(rhs.row_stride);
            }
            for (m, sums) in sums.into_iter().enumerate() {
                let out = out.values.as_mut_ptr().add((row + m) * out.row_stride + column);
                for (n, sum) in sums.into_iter().enumerate() {
                    let at = out.add(n * S::F32_LANES);
                    if n + 1 == N {
                        simd.mask_store_ptr_f32s(mask, at, sum);
                    } else {
                        at.cast::<S::f32s>().write_unaligned(sum);
                    }
                }
            }
        }
        M
    }
}
