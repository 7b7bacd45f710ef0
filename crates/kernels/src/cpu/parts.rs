//! A result that tasks write by parts, on several threads.
#![allow(
    unsafe_code,
    reason = "parts are columns of rows, which no safe slice expresses; this file checks that they lie inside the result, \
              and its callers that they are disjoint"
)]

use super::matrix::{MatrixMut, Store};
use std::marker::PhantomData;
use std::ops::Range;

/// Elements may be uninitialised until they are written.
pub(super) struct Parts<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long, and whoever reads or writes through it sees to it
// that no two threads have the same elements.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    pub(super) fn of(out: MatrixMut<'a>) -> Self {
        let MatrixMut { values, rows, columns, row_stride } = out;
        Self { first: values.as_mut_ptr(), rows, columns, row_stride, borrowed: PhantomData }
    }

    /// A new matrix, row-major, as `fill` writes it.
    ///
    /// # Safety
    /// `fill` writes every element.
    pub(super) unsafe fn collect(rows: usize, columns: usize, fill: impl FnOnce(Parts<'_>)) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows * columns);
        fill(Parts { first: values.as_mut_ptr(), rows, columns, row_stride: columns, borrowed: PhantomData });
        // SAFETY: so many elements were allocated, and the caller sees to it that all were written.
        unsafe { values.set_len(rows * columns) };
        values
    }

    /// Where a part begins, and how far apart its rows are.
    pub(super) fn place(&self, rows: &Range<usize>, columns: &Range<usize>) -> (*mut f32, usize) {
        assert!(
            rows.start < rows.end && rows.end <= self.rows,
            "rows {rows:?} of a part lie inside the result's {}",
            self.rows
        );
        assert!(
            columns.start < columns.end && columns.end <= self.columns,
            "columns {columns:?} of a part lie inside the result's {}",
            self.columns
        );
        // SAFETY: the assertions and the constructors keep the element inside what is borrowed.
        (unsafe { self.first.add(rows.start * self.row_stride + columns.start) }, self.row_stride)
    }

    /// Writes the first `columns.len()` numbers of each row.
    ///
    /// # Safety
    /// No other thread reads or writes these elements at the same time.
    pub(super) unsafe fn put<const N: usize>(&self, row: usize, columns: &Range<usize>, values: &[[f32; N]]) {
        assert!(columns.len() <= N, "numbers for all columns");
        let (place, stride) = self.place(&(row..row + values.len()), columns);
        let count = columns.len();
        for (row, values) in values.iter().enumerate() {
            // SAFETY: `place` checked that the part lies inside the result, and the caller keeps others away from it.
            unsafe { place.add(row * stride).copy_from_nonoverlapping(values.as_ptr(), count) };
        }
    }

    /// Writes zeros everywhere, if what is there is to be replaced.
    pub(super) fn clear(self, store: Store) {
        if store == Store::Add || self.columns == 0 {
            return;
        }
        for row in 0..self.rows {
            // SAFETY: the result is borrowed exclusively, and nobody else has `self`.
            let place = unsafe { self.first.add(row * self.row_stride) };
            // SAFETY: the constructors checked that a row has so many elements.
            unsafe { place.write_bytes(0, self.columns) };
        }
    }
}
