//! Matrix products of strided slices, by the `gemm` crate; its raw pointers end here.
#![allow(
    unsafe_code,
    reason = "gemm takes pointers and strides; this file checks that they stay inside slices"
)]

use std::ops::Range;

/// A matrix inside a slice: element `(i, j)` lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that follow each other without gaps.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that begin `row_stride` elements apart.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row_stride, 1), "{rows} x {columns} leave the slice");
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// Some of the columns, without moving anything.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.columns,
            "{range:?} of {} columns",
            self.columns
        );
        let first = (range.start * self.column_stride).min(self.values.len());
        Self { values: &self.values[first..], columns: range.len(), ..self }
    }

    /// The transpose, without moving anything.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to be written: rows of contiguous columns.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows that follow each other without gaps.
    pub(crate) fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that begin `row_stride` elements apart.
    pub(crate) fn strided(values: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row_stride, 1), "{rows} x {columns} leave the slice");
        assert!(row_stride >= columns || rows <= 1, "rows must not overlap");
        Self { values, rows, columns, row_stride }
    }
}

fn fits(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row_stride + (columns - 1) * column_stride < len
}

/// What becomes of the values that the result finds in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

impl Store {
    /// For a sum in parts, of which one begins at `first`: the first replaces, the others add.
    pub(crate) fn of_part(first: usize) -> Self {
        if first == 0 { Self::Replace } else { Self::Add }
    }
}

/// Who computes a product. Results are the same to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread: inside a parallel loop.
    One,
    /// The pool, where the product is worth it.
    Pool,
}

/// Multiplications below which waking another thread costs more than it saves.
pub(super) const WORTH_SHARING: usize = 1 << 21;

/// `out = scale * lhs rhs`, or `out += scale * lhs rhs`.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn product(
    out: MatrixMut<'_>,
    store: Store,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    threads: Threads,
) {
    let (m, n, k) = (lhs.rows, rhs.columns, lhs.columns);
    assert!(rhs.rows == k && out.rows == m && out.columns == n, "shapes of a product must fit");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        // gemm leaves the result alone here.
        if store == Store::Replace {
            out.values.chunks_mut(out.row_stride).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    let threads = match threads {
        Threads::Pool if m * n * k >= WORTH_SHARING => gemm::Parallelism::Rayon(0),
        Threads::Pool | Threads::One => gemm::Parallelism::None,
    };
    let keep = if store == Store::Add { 1.0 } else { 0.0 };
    // SAFETY: the constructors checked that every element of the three matrices lies inside its slice; `out` is
    // borrowed mutably, so it overlaps neither operand, and its rows do not overlap each other.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.values.as_mut_ptr(),
            1,
            out.row_stride as isize,
            store == Store::Add,
            lhs.values.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}
