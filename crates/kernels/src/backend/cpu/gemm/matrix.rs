//! Matrices inside slices: where their elements lie, and that they lie there.

use std::ops::Range;

/// A matrix inside a slice: element `(i, j)` lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T = f32> {
    pub(super) values: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows that follow each other without gaps.
    #[inline]
    pub(crate) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that begin `row_stride` elements apart.
    #[inline]
    pub(crate) fn strided(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row_stride, 1), "{rows} x {columns} leave the slice");
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// Some of the rows, without moving anything.
    #[inline]
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        self.transposed().columns(range).transposed()
    }

    /// Some of the columns, without moving anything.
    #[inline]
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.columns,
            "{range:?} of {} columns",
            self.columns
        );
        // Without rows there is nothing that bounds columns.
        let first = range.start.saturating_mul(self.column_stride).min(self.values.len());
        Self { values: &self.values[first..], columns: range.len(), ..self }
    }

    /// The transpose, without moving anything.
    #[inline]
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// All elements of a matrix whose rows follow each other without gaps, row-major.
    pub(crate) fn values(&self) -> &'a [T] {
        assert!(self.column_stride == 1 && self.row_stride == self.columns, "rows without gaps");
        &self.values[..area(self.rows, self.columns)]
    }

    /// Row `row` where its elements are adjacent.
    pub(super) fn row(&self, row: usize) -> &'a [T] {
        debug_assert_eq!(self.column_stride, 1, "elements of a row are adjacent");
        &self.values[row * self.row_stride..][..self.columns]
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

    /// What becomes of the matrix when nothing is added up for it: zeros, unless that is to be added to what is there.
    pub(super) fn store_nothing(self, store: Store) {
        if store == Store::Add || self.columns == 0 {
            return;
        }
        for row in self.values.chunks_mut(self.row_stride.max(self.columns)).take(self.rows) {
            row[..self.columns].fill(0.0);
        }
    }
}

/// Whether the last element, and so every one, lies inside a slice of so many.
#[inline]
fn fits(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let last_row = (rows - 1).checked_mul(row_stride);
    let last_column = (columns - 1).checked_mul(column_stride);
    let last = last_row.zip(last_column).and_then(|(row, column)| row.checked_add(column));
    last.is_some_and(|last| last < len)
}

/// How many elements a matrix has: what is allocated, or compared with the length of a slice.
///
/// # Panics
/// When `usize` has no such number. It would wrap in release builds, and a product that large be taken for a small one.
pub(super) fn area(rows: usize, columns: usize) -> usize {
    rows.checked_mul(columns)
        .unwrap_or_else(|| panic!("{rows} x {columns} elements are more than there can be"))
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
///
/// An interpreter (Miri) should see threads, too, at sizes that it gets through.
pub(super) const WORTH_SHARING: usize = if cfg!(miri) { 1 << 9 } else { 1 << 21 };

#[cfg(test)]
mod tests {
    use super::{Matrix, MatrixMut, Store};

    /// A number whose product with itself is 0 where it wraps.
    const HALF: usize = 1 << (usize::BITS / 2);

    #[test]
    #[should_panic(expected = "leave the slice")]
    fn a_last_element_beyond_all_numbers_is_not_taken_for_the_first() {
        let _ = Matrix::strided(&[0.0], HALF + 1, 1, HALF);
    }

    #[test]
    #[should_panic(expected = "leave the slice")]
    fn nor_is_one_whose_row_and_column_are_together() {
        let _ = MatrixMut::strided(&mut [0.0], 2, 2, usize::MAX);
    }

    #[test]
    fn without_rows_or_columns_any_size_fits() {
        for (rows, columns) in [(0, usize::MAX), (usize::MAX, 0)] {
            let matrix = Matrix::<f32>::new(&[], rows, columns);
            assert_eq!((matrix.rows, matrix.columns), (rows, columns));
            assert_eq!(matrix.rows(rows..rows).columns, columns);
            assert_eq!(matrix.columns(columns..columns).rows, rows);
        }
    }

    #[test]
    fn nothing_replaces_all_of_a_matrix_and_adds_nothing() {
        for (store, left) in [(Store::Replace, 0.0), (Store::Add, 7.0)] {
            let mut values = [7.0; 8];
            MatrixMut::strided(&mut values, 2, 3, 5).store_nothing(store);
            assert_eq!(values, [left, left, left, 7.0, 7.0, left, left, left]);
            MatrixMut::strided(&mut values, 1, 8, 0).store_nothing(store);
            assert_eq!(values, if store == Store::Add { [7.0; 8] } else { [0.0; 8] });
            MatrixMut::new(&mut [], 3, 0).store_nothing(store);
        }
    }
}
