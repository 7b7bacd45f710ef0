//! Products of matrices in bfloat16: both operands are rounded to it, products are summed in f32. Blocked as the
//! products in f32 are, with pairs of neighbours along the inner dimension in the place of single numbers, as
//! AVX512-BF16 multiplies them; other machines widen the same numbers.
//!
//! Every element is a sum in the same order however the result is shared out.
#![allow(unsafe_code, reason = "results are not initialised before their parts are written")]

// M rows, N columns, K inner dimension, K2 = K / 2 pairs, the last one padded with 0

mod operand;
mod pairs;
pub(super) mod tile;

use super::matrix::{MatrixMut, Store, Threads, WORTH_SHARING, area};
use super::shared_output::{Part, Parts, Sharing};
use super::{MR, NR};
pub(crate) use operand::Operand;
use operand::{Left, Right};
pub(crate) use tile::Number;
use tile::times_panel;

/// Pairs of the inner dimension that are multiplied before sums are stored: a panel of them, 27 KiB, stays in the
/// first-level cache beside the rows that it meets.
const KC: usize = if cfg!(miri) { 3 } else { 144 };

/// Rows below which a part is not divided.
const FEW_ROWS: usize = 64;

/// `out = lhs rhs`, or `out += lhs rhs`, of operands rounded to bfloat16.
///
/// # Panics
/// When the shapes do not fit, or neither rows nor columns of an operand are contiguous.
pub(crate) fn gemm_bf16<'a>(
    out: MatrixMut<'_>,
    store: Store,
    lhs: impl Into<Operand<'a>>,
    rhs: impl Into<Operand<'a>>,
    threads: Threads,
) {
    let (lhs, rhs) = (lhs.into(), rhs.into());
    assert!(out.rows == lhs.rows() && out.columns == rhs.columns(), "shapes of a product must fit");
    assert!(rhs.rows() == lhs.columns(), "shapes of a product must fit");
    if lhs.columns() == 0 {
        return out.store_nothing(store);
    }
    Job::new(store, lhs, rhs, threads).share(&mut Parts::of(out));
}

/// `lhs rhs` of operands rounded to bfloat16, row-major.
///
/// # Panics
/// As [`gemm_bf16`].
pub(crate) fn gemm_bf16_vec<'a>(
    lhs: impl Into<Operand<'a>>,
    rhs: impl Into<Operand<'a>>,
    threads: Threads,
) -> Vec<f32> {
    let (lhs, rhs) = (lhs.into(), rhs.into());
    assert!(rhs.rows() == lhs.columns(), "shapes of a product must fit");
    let [rows, columns] = [lhs.rows(), rhs.columns()];
    if lhs.columns() == 0 {
        return vec![0.0; area(rows, columns)];
    }
    let job = Job::new(Store::Replace, lhs, rhs, threads);
    // SAFETY: the parts of a product are all of it, and a part writes all of its elements.
    unsafe { Parts::collect(rows, columns, |out| job.share(out)) }
}

/// A product whose operands are packed.
struct Job<'a> {
    store: Store,
    lhs: Left<'a>,
    rhs: Right,
    threads: usize,
}

impl<'a> Job<'a> {
    fn new(store: Store, lhs: Operand<'a>, rhs: Operand<'_>, threads: Threads) -> Self {
        let multiplications = lhs.rows().saturating_mul(rhs.columns()).saturating_mul(lhs.columns());
        let shared = threads == Threads::Pool && multiplications >= WORTH_SHARING;
        let threads = if shared { rayon::current_num_threads() } else { 1 };
        Self { store, lhs: Left::pack(lhs, shared), rhs: Right::pack(rhs, shared), threads }
    }

    /// Writes every element of `out`, which has the rows of `lhs` and the columns of `rhs`.
    fn share(&self, out: &mut Parts<'_>) {
        let (rows, columns) = (self.lhs.rows(), self.rhs.columns());
        if rows == 0 || columns == 0 {
            return;
        }
        // As in f32: a part has all rows if there are panels enough for all threads; the last parts even out.
        let panels = columns.div_ceil(NR);
        let wanted = if self.threads > 1 { 2 * self.threads } else { 1 };
        let wide = panels.div_ceil(wanted);
        let tall = (rows / wanted.div_ceil(panels.div_ceil(wide))).max(FEW_ROWS);
        let sharing = if self.threads > 1 { Sharing::Each } else { Sharing::Here };
        out.share([tall.next_multiple_of(MR), wide * NR], sharing, |part| self.run(part));
    }

    fn run(&self, mut part: Part<'_>) {
        let depth = self.lhs.depth();
        let step = depth.div_ceil(depth.div_ceil(KC));
        let (rows, first_column) = (part.rows(), part.columns().start);
        let mut store = self.store;
        for first in (0..depth).step_by(step) {
            let inner = first..depth.min(first + step);
            for columns in part.columns().step_by(NR) {
                let columns = columns..part.columns().end.min(columns + NR);
                let panel = self.rhs.panel(columns.start / NR, &inner);
                let columns = columns.start - first_column..columns.end - first_column;
                let lhs = self.lhs.rows_of(rows.clone(), inner.clone());
                // SAFETY: if these elements are added to, they were there before, or the first stretch of the inner
                // dimension has written them.
                unsafe { times_panel(&lhs, panel, &mut part, &columns, store) };
            }
            store = Store::Add;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Operand, gemm_bf16, gemm_bf16_vec};
    use crate::backend::cpu::{Matrix, MatrixMut, Store, Threads};
    use crate::test_inputs;
    use half::bf16;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    fn turned<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
        (0..columns * rows).map(|at| values[at % rows * columns + at / rows]).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_product_is_that_of_the_rounded_numbers_however_they_lie_and_on_any_threads(
            // Beyond one stretch of the inner dimension, and enough for several parts.
            [m, n] in prop::array::uniform2(prop_oneof![1_usize..20, 60_usize..150]),
            k in prop_oneof![1_usize..40, 1530_usize..1545],
            seed in 0_u32..1000,
        ) {
            let (lhs, rhs) = (test_inputs::values(m * k, seed), test_inputs::values(k * n, seed + 1));
            let held = |values: &[f32]| values.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>();
            let (rounded_lhs, rounded_rhs) = (held(&lhs), held(&rhs));
            let expected: Vec<f32> = (0..m * n)
                .map(|at| {
                    let terms = (0..k).map(|l| {
                        f64::from(rounded_lhs[at / n * k + l]) * f64::from(rounded_rhs[l * n + at % n])
                    });
                    terms.sum::<f64>() as f32
                })
                .collect();
            let (turned_lhs, turned_rhs) = (turned(&lhs, m, k), turned(&rhs, k, n));
            let (turned_rounded_lhs, turned_rounded_rhs) =
                (turned(&rounded_lhs, m, k), turned(&rounded_rhs, k, n));
            let lefts: [Operand<'_>; 4] = [
                Matrix::new(&lhs, m, k).into(),
                Matrix::new(&turned_lhs, k, m).transposed().into(),
                Matrix::new(&rounded_lhs, m, k).into(),
                Matrix::new(&turned_rounded_lhs, k, m).transposed().into(),
            ];
            let rights: [Operand<'_>; 4] = [
                Matrix::new(&rhs, k, n).into(),
                Matrix::new(&turned_rhs, n, k).transposed().into(),
                Matrix::new(&rounded_rhs, k, n).into(),
                Matrix::new(&turned_rounded_rhs, n, k).transposed().into(),
            ];
            let first = gemm_bf16_vec(lefts[0], rights[0], Threads::One);
            testkit::assert_close(&first, &expected, 1e-5 * test_inputs::magnitude(&expected).max(1.0));
            for lhs in lefts {
                for rhs in rights {
                    prop_assert_eq!(&gemm_bf16_vec(lhs, rhs, Threads::Pool), &first);
                }
            }
            let mut sums = first.clone();
            gemm_bf16(MatrixMut::new(&mut sums, m, n), Store::Add, lefts[1], rights[0], Threads::Pool);
            let doubled: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
            testkit::assert_close(&sums, &doubled, 3e-5 * test_inputs::magnitude(&expected).max(1.0));
        }
    }

    #[test]
    fn without_an_inner_dimension_there_is_nothing_to_add() {
        let none = Matrix::<f32>::new(&[], 2, 0);
        assert_eq!(gemm_bf16_vec(none, Matrix::<f32>::new(&[], 0, 3), Threads::Pool), [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "shapes of a product must fit")]
    fn operands_of_different_inner_dimensions_are_refused() {
        let _ = gemm_bf16_vec(Matrix::new(&[1.0; 6], 2, 3), Matrix::new(&[1.0; 4], 2, 2), Threads::One);
    }
}
