//! Products of matrices of any size and any strides, blocked for the caches. A task has a part of the result, and packs
//! what it reads: of the right operand one panel at a time, which stays in the second-level cache while all rows of the
//! part pass by, of the left one its rows, unless they can be read as they lie.
//!
//! Every element is a sum in the same order however the result is shared out.
#![allow(unsafe_code, reason = "results are not initialised before their parts are written")]

// M rows, N columns, K inner dimension

use super::matrix::{Matrix, MatrixMut, Store, Threads, WORTH_SHARING, area};
use super::microkernel::{Rows, VECTOR, padded, times_panel};
use super::shared_output::{Part, Parts, Sharing};
use super::transpose::transpose;
use super::{KC, MC, MR, NR, PACKED_KC};
use crate::backend::cpu::{sized, vectorized};
use std::cell::RefCell;

/// Rows below which a part is not divided: its panels would cost more than its products.
const FEW_ROWS: usize = 64;

/// `out = lhs rhs`, or `out += lhs rhs`.
///
/// # Panics
/// When the shapes do not fit, or neither rows nor columns of an operand are contiguous.
pub(crate) fn gemm(out: MatrixMut<'_>, store: Store, lhs: Matrix<'_>, rhs: Matrix<'_>, threads: Threads) {
    assert!(out.rows == lhs.rows && out.columns == rhs.columns, "shapes of a product must fit");
    let job = Job::new(store, lhs, rhs);
    if lhs.columns == 0 {
        return out.store_nothing(store);
    }
    job.share(&mut Parts::of(out), threads);
}

/// `lhs rhs`, row-major.
///
/// # Panics
/// As [`gemm`].
pub(crate) fn gemm_vec(lhs: Matrix<'_>, rhs: Matrix<'_>, threads: Threads) -> Vec<f32> {
    let job = Job::new(Store::Replace, lhs, rhs);
    if lhs.columns == 0 {
        return vec![0.0; area(lhs.rows, rhs.columns)];
    }
    // SAFETY: the parts of a product are all of it, and a part writes all of its elements.
    unsafe { Parts::collect(lhs.rows, rhs.columns, |out| job.share(out, threads)) }
}

/// A product.
struct Job<'a> {
    store: Store,
    lhs: Matrix<'a>,
    rhs: Matrix<'a>,
    packs_rows: bool,
}

#[derive(Default)]
struct Scratch {
    /// `[k][columns of the panel]`
    panel: Vec<f32>,
    /// `[tile][k][MR]`
    rows: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<'a> Job<'a> {
    fn new(store: Store, lhs: Matrix<'a>, rhs: Matrix<'a>) -> Self {
        let in_lines = |matrix: &Matrix<'_>| matrix.column_stride == 1 || matrix.row_stride == 1;
        assert!(in_lines(&lhs) && in_lines(&rhs), "rows or columns are contiguous");
        assert!(rhs.rows == lhs.columns, "shapes of a product must fit");
        Self { store, lhs, rhs, packs_rows: lhs.column_stride != 1 }
    }

    /// Writes every element of `out`, which has the rows of `lhs` and the columns of `rhs`. The inner dimension is at
    /// least 1.
    fn share(&self, out: &mut Parts<'_>, threads: Threads) {
        let (m, n, k) = (self.lhs.rows, self.rhs.columns, self.lhs.columns);
        if m == 0 || n == 0 {
            return;
        }
        let multiplications = m.saturating_mul(n).saturating_mul(k);
        let (threads, sharing) = if threads == Threads::Pool && multiplications >= WORTH_SHARING {
            (rayon::current_num_threads(), Sharing::Each)
        } else {
            (1, Sharing::Here)
        };
        out.share(self.parts(threads), sharing, |part| self.run(part));
    }

    /// Rows and columns of a part when the result is divided among so many threads, as far as it is large enough:
    /// rows of whole tiles, columns of whole panels.
    fn parts(&self, threads: usize) -> [usize; 2] {
        let (m, n) = (self.lhs.rows, self.rhs.columns);
        let panels = n.div_ceil(NR);
        let (tall, wide) = if self.packs_rows {
            // A part packs its rows once, and panels for them: it has many rows, and all columns if that makes parts
            // enough.
            let count = m.div_ceil(MC).next_multiple_of(threads).min(m.div_ceil(FEW_ROWS));
            (m.div_ceil(count), panels.div_ceil(threads.div_ceil(count)))
        } else {
            // It packs its panels once: it has all rows, if there are panels enough. The last parts even out.
            let wanted = if threads > 1 { 2 * threads } else { 1 };
            let wide = panels.div_ceil(wanted);
            ((m / wanted.div_ceil(panels.div_ceil(wide))).max(FEW_ROWS), wide)
        };
        [tall.next_multiple_of(MR), wide * NR]
    }

    fn run(&self, mut part: Part<'_>) {
        SCRATCH.with_borrow_mut(|Scratch { panel, rows }| {
            let depth = self.lhs.columns;
            let most = if self.packs_rows { PACKED_KC } else { KC };
            let step = depth.div_ceil(depth.div_ceil(most));
            let first_column = part.columns().start;
            let mut store = self.store;
            for first in (0..depth).step_by(step) {
                let inner = first..depth.min(first + step);
                let lhs = self.lhs.rows(part.rows()).columns(inner.clone());
                if self.packs_rows {
                    pack_rows(rows, lhs);
                }
                for columns in part.columns().step_by(NR) {
                    let columns = columns..part.columns().end.min(columns + NR);
                    let panel = pack_panel(panel, self.rhs.rows(inner.clone()).columns(columns.clone()));
                    let rows =
                        if self.packs_rows { Rows::Packed(lhs.rows, rows) } else { Rows::InPlace(lhs) };
                    let columns = columns.start - first_column..columns.end - first_column;
                    // SAFETY: if these elements are added to, the first stretch of the inner dimension has written
                    // them.
                    unsafe { times_panel(rows, [panel, panel], &mut part, &columns, store) };
                }
                store = Store::Add;
            }
        });
    }
}

/// `[K][columns]`, padded to whole vectors by zeros.
fn pack_panel<'a>(panel: &'a mut Vec<f32>, rhs: Matrix<'_>) -> &'a [f32] {
    let lanes = padded(rhs.columns);
    let panel = sized(panel, rhs.rows * lanes);
    let to = &mut *panel;
    if rhs.column_stride == 1 {
        vectorized!(|to: &mut [f32], rhs: Matrix<'_>, lanes: usize| {
            for (row, line) in to.chunks_exact_mut(lanes).enumerate() {
                copy::<VECTOR>(line, rhs.row(row));
            }
        });
    } else {
        let columns = rhs.transposed();
        let mut lines = [[].as_slice(); NR];
        lines.iter_mut().zip(0..columns.rows).for_each(|(line, column)| *line = columns.row(column));
        transpose(to, lanes, &lines[..columns.rows]);
    }
    if rhs.columns < lanes {
        panel.chunks_exact_mut(lanes).for_each(|line| line[rhs.columns..].fill(0.0));
    }
    panel
}

/// `[tile][K][MR]` of a matrix whose columns are contiguous; the rows that the last tile lacks mean nothing.
fn pack_rows(packed: &mut Vec<f32>, lhs: Matrix<'_>) {
    /// Columns that are copied for all tiles before the next ones: they stay in the first-level cache.
    const COLUMNS: usize = 16;
    let (columns, depth) = (lhs.transposed(), lhs.columns);
    let packed = sized(packed, lhs.rows.next_multiple_of(MR) * depth);
    vectorized!(|packed: &mut [f32], columns: Matrix<'_>, depth: usize| {
        for first in (0..depth).step_by(COLUMNS) {
            for (index, tile) in packed.chunks_exact_mut(MR * depth).enumerate() {
                let rows = index * MR..columns.columns.min((index + 1) * MR);
                let lines = tile.as_chunks_mut::<MR>().0[first..].iter_mut().take(COLUMNS);
                for (column, line) in lines.enumerate() {
                    copy::<MR>(line, &columns.row(first + column)[rows.clone()]);
                }
            }
        }
    });
}

/// Copies numbers to the begin of a line, `N` at a time.
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn copy<const N: usize>(to: &mut [f32], from: &[f32]) {
    let (whole, rest) = from.as_chunks::<N>();
    for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(whole) {
        *to = *from;
    }
    for (to, from) in to[whole.len() * N..].iter_mut().zip(rest) {
        *to = *from;
    }
}
