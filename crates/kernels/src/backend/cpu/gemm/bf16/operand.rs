//! Operands of products in bfloat16, and the order in which tiles read them.

// M rows, N columns, K inner dimension, K2 = K / 2 pairs, the last one padded with 0

use super::super::matrix::{Matrix, area};
use super::super::microkernel::padded as lanes_of;
use super::super::transpose::transpose;
use super::super::{MR, NR};
use super::pairs::{interleaved, neighbours};
use super::tile::{Number, Rows};
use half::bf16;
use pulp::bytemuck::{cast_slice, cast_slice_mut, try_cast_slice};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::{Deref, Range};

/// A matrix of f32, which is rounded where it is packed, or of bfloat16.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand<'a> {
    F32(Matrix<'a>),
    Bf16(Matrix<'a, bf16>),
}

impl<'a> From<Matrix<'a>> for Operand<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::F32(matrix)
    }
}

impl<'a> From<Matrix<'a, bf16>> for Operand<'a> {
    fn from(matrix: Matrix<'a, bf16>) -> Self {
        Self::Bf16(matrix)
    }
}

/// Evaluates the expression with the matrix of an operand under its name, whichever numbers it has.
macro_rules! with_matrix {
    ($operand:expr, |$matrix:ident| $body:expr) => {
        match $operand {
            Operand::F32($matrix) => $body,
            Operand::Bf16($matrix) => $body,
        }
    };
}

impl Operand<'_> {
    pub(super) fn rows(&self) -> usize {
        with_matrix!(self, |matrix| matrix.rows)
    }

    pub(super) fn columns(&self) -> usize {
        with_matrix!(self, |matrix| matrix.columns)
    }

    /// The transpose, without moving anything.
    pub(crate) fn transposed(self) -> Self {
        match self {
            Self::F32(matrix) => matrix.transposed().into(),
            Self::Bf16(matrix) => matrix.transposed().into(),
        }
    }
}

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u32>>> = RefCell::default();
}

/// Pairs of a product, in a buffer of the thread that began it, which takes it back.
struct Buffer {
    pairs: Vec<u32>,
    length: usize,
}

impl Buffer {
    /// So many pairs, whatever they are.
    fn of(length: usize) -> Self {
        let found = BUFFERS.with_borrow_mut(|buffers| {
            let large_enough = buffers.iter().position(|buffer| buffer.len() >= length);
            // Else one gives way: there are as many as products at the same time, each as large as it must be.
            let found = large_enough.map(|index| buffers.swap_remove(index));
            if found.is_none() {
                buffers.pop();
            }
            found
        });
        Self { pairs: found.unwrap_or_else(|| vec![0; length]), length }
    }

    fn pairs(&mut self) -> &mut [u32] {
        &mut self.pairs[..self.length]
    }
}

impl Deref for Buffer {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.pairs[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let pairs = std::mem::take(&mut self.pairs);
        // A thread that ends has no place for it.
        let _ = BUFFERS.try_with(|buffers| buffers.borrow_mut().push(pairs));
    }
}

/// Pairs that a task packs at least.
const TASK: usize = 1 << 14;

/// Numbers that lie beside each other and are read at once where the next ones lie in another line.
const LONG: usize = 4 * NR;

/// Packs chunks of a buffer, on all threads if they are `shared`; `pack` gets the place of each.
fn fill(pairs: &mut [u32], chunk: usize, shared: bool, pack: impl Fn(usize, &mut [u32]) + Sync) {
    if shared {
        pairs.par_chunks_mut(chunk).enumerate().for_each(|(index, chunk)| pack(index, chunk));
    } else {
        pairs.chunks_mut(chunk).enumerate().for_each(|(index, chunk)| pack(index, chunk));
    }
}

/// The left operand in pairs.
pub(super) struct Left<'a> {
    pairs: Pairs<'a>,
    rows: usize,
    /// K2
    depth: usize,
}

enum Pairs<'a> {
    /// `[M, K2]` as they lie.
    InPlace(Matrix<'a, u32>),
    /// `[M, K2]`
    Rows(Buffer),
    /// `[tile][K2][MR]`, of rows that do not lie in rows.
    Tiles(Buffer),
}

impl<'a> Left<'a> {
    /// Packs an operand, on all threads if it is `shared`.
    pub(super) fn pack(lhs: Operand<'a>, shared: bool) -> Self {
        let (rows, depth) = (lhs.rows(), lhs.columns().div_ceil(2));
        if let Operand::Bf16(lhs) = lhs
            && let Some(pairs) = in_place(lhs)
        {
            return Self { pairs: Pairs::InPlace(pairs), rows, depth };
        }
        let pairs = with_matrix!(lhs, |lhs| {
            let in_tiles = lhs.column_stride != 1;
            assert!(!in_tiles || lhs.row_stride == 1, "rows or columns are contiguous");
            let height = if in_tiles { MR } else { 1 };
            let mut pairs = Buffer::of(area(rows.next_multiple_of(height), depth));
            // So many tiles, or rows, for a task: of rows that lie in columns many neighbours are read at once.
            let at_once = (TASK / (height * depth)).max(if in_tiles { LONG / MR } else { 1 });
            fill(pairs.pairs(), at_once * height * depth, shared, |index, to| {
                let first = index * at_once * height;
                let lhs = lhs.rows(first..rows.min(first + at_once * height));
                if in_tiles {
                    tiles(to, lhs, depth);
                } else {
                    to.chunks_exact_mut(depth).enumerate().for_each(|(row, to)| neighbours(to, lhs.row(row)));
                }
            });
            if in_tiles { Pairs::Tiles(pairs) } else { Pairs::Rows(pairs) }
        });
        Self { pairs, rows, depth }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// K2
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Some rows, from a multiple of [`MR`] on, and some of their pairs.
    pub(super) fn rows_of(&self, rows: Range<usize>, inner: Range<usize>) -> Part<'_> {
        Part { left: self, rows, inner }
    }
}

/// Some rows of the left operand, and some of their pairs.
pub(super) struct Part<'a> {
    left: &'a Left<'a>,
    rows: Range<usize>,
    inner: Range<usize>,
}

impl Rows for Part<'_> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    #[allow(
        clippy::inline_always,
        reason = "what a call leaves in memory would be read while the sums of the tile before are on their way there"
    )]
    #[inline(always)]
    fn tile(&self, row: usize, height: usize) -> Matrix<'_, u32> {
        let (row, depth) = (self.rows.start + row, self.left.depth);
        let rows = match &self.left.pairs {
            Pairs::InPlace(pairs) => pairs.rows(row..row + height),
            Pairs::Rows(pairs) => Matrix::new(&pairs[row * depth..], height, depth),
            Pairs::Tiles(pairs) => {
                let tile = &pairs[row / MR * MR * depth..][..MR * depth];
                Matrix::new(tile, depth, MR).transposed().rows(row % MR..row % MR + height)
            }
        };
        rows.columns(self.inner.clone())
    }
}

/// Rows of bfloat16 that are pairs already.
fn in_place(matrix: Matrix<'_, bf16>) -> Option<Matrix<'_, u32>> {
    let Matrix { values, rows, columns, row_stride, column_stride } = matrix;
    let even = columns.is_multiple_of(2) && (row_stride.is_multiple_of(2) || rows == 1);
    if rows == 0 || column_stride != 1 || !even {
        return None;
    }
    let values = &values[..(rows - 1) * row_stride + columns];
    Some(Matrix::strided(try_cast_slice(values).ok()?, rows, columns / 2, row_stride / 2))
}

/// The right operand in pairs, `[panel][K2][columns of the panel]`, padded to whole vectors by what means nothing.
pub(super) struct Right {
    pairs: Buffer,
    columns: usize,
    /// K2
    depth: usize,
}

thread_local! {
    /// `[columns of a panel, K2]`
    static COLUMNS: RefCell<Vec<u32>> = RefCell::default();
}

impl Right {
    /// Packs an operand, on all threads if it is `shared`.
    pub(super) fn pack(rhs: Operand<'_>, shared: bool) -> Self {
        let (columns, depth) = (rhs.columns(), rhs.rows().div_ceil(2));
        let mut pairs = Buffer::of(area(lanes_of(columns), depth));
        with_matrix!(rhs, |rhs| {
            if rhs.column_stride == 1 {
                fill(pairs.pairs(), LONG * depth, shared, |index, panels| {
                    let rhs = rhs.columns(index * LONG..columns.min((index + 1) * LONG));
                    for pair in 0..depth {
                        for (index, panel) in panels.chunks_mut(NR * depth).enumerate() {
                            let lanes = panel.len() / depth;
                            let columns = index * NR..rhs.columns.min((index + 1) * NR);
                            line(&mut panel[pair * lanes..(pair + 1) * lanes], rhs, pair, columns);
                        }
                    }
                });
                return Self { pairs, columns, depth };
            }
            assert!(rhs.row_stride == 1, "rows or columns are contiguous");
            let rhs = rhs.transposed();
            fill(pairs.pairs(), NR * depth, shared, |index, panel| {
                let rhs = rhs.rows(index * NR..columns.min((index + 1) * NR));
                let lanes = panel.len() / depth;
                COLUMNS.with_borrow_mut(|columns| {
                    columns.resize(columns.len().max(rhs.rows * depth), 0);
                    let columns = &mut columns[..rhs.rows * depth];
                    for (row, to) in columns.chunks_exact_mut(depth).enumerate() {
                        neighbours(to, rhs.row(row));
                    }
                    // Moved, never computed with: any 32 bits come through.
                    let rows: Vec<&[f32]> = columns.chunks_exact(depth).map(cast_slice).collect();
                    transpose(cast_slice_mut(panel), lanes, &rows);
                });
            });
        });
        Self { pairs, columns, depth }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Some of the pairs of a panel, `[pairs][columns of the panel]`.
    pub(super) fn panel(&self, index: usize, inner: &Range<usize>) -> &[u32] {
        let first = index * NR;
        let lanes = lanes_of((self.columns - first).min(NR));
        &self.pairs[first * self.depth..][inner.start * lanes..inner.end * lanes]
    }
}

/// `[K2][MR]` of each tile, of a matrix whose columns are contiguous.
fn tiles<T: Number>(to: &mut [u32], lhs: Matrix<'_, T>, depth: usize) {
    /// Rows whose pairs are made before they find their tiles: they stay in the first-level cache.
    const ROWS: usize = 512;
    let columns = lhs.transposed();
    let mut pairs = [0; ROWS];
    for (block, to) in to.chunks_mut(ROWS * depth).enumerate() {
        let rows = block * ROWS..columns.columns.min((block + 1) * ROWS);
        for pair in 0..depth {
            line(&mut pairs[..rows.len()], columns, pair, rows.clone());
            for (tile, pairs) in to.chunks_exact_mut(MR * depth).zip(pairs.as_chunks::<MR>().0) {
                tile.as_chunks_mut::<MR>().0[pair] = *pairs;
            }
        }
    }
}

/// Some columns of rows `2 pair` and `2 pair + 1`, as pairs.
fn line<T: Number>(to: &mut [u32], rows: Matrix<'_, T>, pair: usize, columns: Range<usize>) {
    let lower = &rows.row(2 * pair)[columns.clone()];
    if 2 * pair + 1 < rows.rows {
        interleaved(to, lower, &rows.row(2 * pair + 1)[columns]);
    } else {
        to.iter_mut().zip(lower).for_each(|(to, lower)| *to = lower.rounded());
    }
}
