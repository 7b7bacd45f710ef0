//! A result that tasks write by parts, on several threads.
#![allow(
    unsafe_code,
    reason = "parts are columns of rows, which no safe slice expresses; this file hands out parts that are disjoint, and checks \
              that what is written lies inside them"
)]

use super::matrix::{MatrixMut, area};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// A result, not yet divided. Elements may be uninitialised until they are written.
pub(super) struct Parts<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
    #[cfg(debug_assertions)]
    claims: Claims,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long. Threads that share it get at elements through
// `part` alone, whose callers see to it that no two of them have the same ones.
unsafe impl Sync for Parts<'_> {}

/// How parts get to threads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sharing {
    /// One after the other, on the calling thread.
    Here,
    /// Each is a task of the pool.
    Each,
    /// A task of the pool takes so many at least.
    Runs(usize),
}

impl<'a> Parts<'a> {
    pub(super) fn of(out: MatrixMut<'a>) -> Self {
        let MatrixMut { values, rows, columns, row_stride } = out;
        Self::at(values.as_mut_ptr(), [rows, columns], row_stride)
    }

    fn at(first: *mut f32, [rows, columns]: [usize; 2], row_stride: usize) -> Self {
        Self {
            first,
            rows,
            columns,
            row_stride,
            borrowed: PhantomData,
            #[cfg(debug_assertions)]
            claims: Claims::default(),
        }
    }

    /// A new matrix, row-major, as `fill` writes it.
    ///
    /// # Panics
    /// When there are no numbers for so many elements.
    ///
    /// # Safety
    /// `fill` writes every element.
    pub(super) unsafe fn collect(rows: usize, columns: usize, fill: impl FnOnce(&mut Parts<'_>)) -> Vec<f32> {
        let length = area(rows, columns);
        let mut values = Vec::with_capacity(length);
        let mut parts = Parts::at(values.as_mut_ptr(), [rows, columns], columns);
        fill(&mut parts);
        #[cfg(debug_assertions)]
        assert_eq!(parts.claims.area(), length, "parts are all of a new result");
        // SAFETY: so many elements were allocated, and the caller sees to it that all were written.
        unsafe { values.set_len(length) };
        values
    }

    /// Divides the result into parts of `tall` rows and `wide` columns, the last ones smaller, and runs the task on
    /// each.
    pub(super) fn share(
        &mut self,
        [tall, wide]: [usize; 2],
        sharing: Sharing,
        task: impl Fn(Part<'_>) + Sync,
    ) {
        let across = self.columns.div_ceil(wide);
        let range = |index: usize, step: usize, end: usize| index * step..end.min((index + 1) * step);
        let run = |index: usize| {
            let rows = range(index / across, tall, self.rows);
            let columns = range(index % across, wide, self.columns);
            // SAFETY: cells of a grid are disjoint, and each index comes once.
            task(unsafe { self.part(rows, columns) });
        };
        let all = 0..self.rows.div_ceil(tall) * across;
        match sharing {
            Sharing::Here => all.for_each(run),
            Sharing::Each => all.into_par_iter().with_max_len(1).for_each(run),
            Sharing::Runs(least) => all.into_par_iter().with_min_len(least).for_each(run),
        }
    }

    /// These rows and columns, for one task to write. With debug assertions it panics where another part has some of
    /// them.
    ///
    /// # Safety
    /// No other part of the result has any of these elements.
    unsafe fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Part<'_> {
        inside("rows", &rows, self.rows);
        inside("columns", &columns, self.columns);
        #[cfg(debug_assertions)]
        self.claims.add(&rows, &columns);
        // SAFETY: the assertions and the constructors keep the element inside what is borrowed.
        let first = unsafe { self.first.add(rows.start * self.row_stride + columns.start) };
        Part { first, row_stride: self.row_stride, rows, columns, borrowed: PhantomData }
    }
}

/// What a task has of the result: nothing else reads or writes these elements while it is there.
pub(super) struct Part<'a> {
    first: *mut f32,
    row_stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    borrowed: PhantomData<&'a mut [f32]>,
}

impl Part<'_> {
    /// The rows of the result that this is.
    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of the result that this is.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Where some of the part's own rows and columns, counted from 0, begin, and how far apart rows are.
    pub(super) fn place(&mut self, rows: &Range<usize>, columns: &Range<usize>) -> (*mut f32, usize) {
        inside("rows", rows, self.rows.len());
        inside("columns", columns, self.columns.len());
        // SAFETY: the assertions keep the element inside the part, which lies inside the result.
        (unsafe { self.first.add(rows.start * self.row_stride + columns.start) }, self.row_stride)
    }

    /// Writes rows of the part from `row` on, counted from 0: as many numbers of each as the part has columns.
    pub(super) fn put<const N: usize>(&mut self, row: usize, values: &[[f32; N]]) {
        let count = self.columns.len();
        assert!(count <= N, "numbers for all columns");
        let (place, stride) = self.place(&(row..row + values.len()), &(0..count));
        for (row, values) in values.iter().enumerate() {
            // SAFETY: `place` checked that these rows lie inside the part, which nothing else has.
            unsafe { place.add(row * stride).copy_from_nonoverlapping(values.as_ptr(), count) };
        }
    }
}

fn inside(what: &str, range: &Range<usize>, end: usize) {
    assert!(
        range.start < range.end && range.end <= end,
        "{what} {range:?} of a part lie inside the {end} that there are"
    );
}

/// The parts that were handed out, by their rows and columns.
#[cfg(debug_assertions)]
#[derive(Default)]
struct Claims(std::sync::Mutex<Vec<[Range<usize>; 2]>>);

#[cfg(debug_assertions)]
impl Claims {
    fn add(&self, rows: &Range<usize>, columns: &Range<usize>) {
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        let mut claims = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for [other_rows, other_columns] in claims.iter() {
            assert!(
                !meet(rows, other_rows) || !meet(columns, other_columns),
                "parts overlap: rows {rows:?} of columns {columns:?}, rows {other_rows:?} of columns {other_columns:?}"
            );
        }
        claims.push([rows.clone(), columns.clone()]);
    }

    fn area(&self) -> usize {
        let claims = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        claims.iter().map(|[rows, columns]| rows.len() * columns.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Parts, Sharing};
    use crate::backend::cpu::MatrixMut;

    #[test]
    fn parts_are_all_of_a_result_and_nothing_between_its_rows() {
        for sharing in [Sharing::Here, Sharing::Each, Sharing::Runs(2)] {
            let mut values = vec![7.0; 5 * 9 - 2];
            Parts::of(MatrixMut::strided(&mut values, 5, 7, 9)).share([2, 3], sharing, |mut part| {
                let number = part.rows().start as f32 + 0.25 * part.columns().start as f32;
                let rows = part.rows().len();
                part.put(0, &vec![[number; 4]; rows]);
            });
            for (row, line) in values.chunks(9).enumerate() {
                let first = (row / 2 * 2) as f32;
                let expected = [0.0, 0.0, 0.0, 0.75, 0.75, 0.75, 1.5].map(|column| first + column);
                assert_eq!(line[..7], expected, "row {row}");
                assert!(line[7..].iter().all(|&gap| gap == 7.0), "row {row}");
            }
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "parts overlap: rows 1..3 of columns 3..5, rows 0..2 of columns 0..4")]
    fn a_wrong_split_is_found() {
        let mut values = [0.0; 15];
        let parts = Parts::of(MatrixMut::new(&mut values, 3, 5));
        let take = |rows, columns| {
            // SAFETY: not kept on purpose; nothing is written through the parts.
            unsafe { parts.part(rows, columns) }
        };
        let _first = take(0..2, 0..4);
        let _beside = take(0..2, 4..5);
        let _wrong = take(1..3, 3..5);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "parts are all of a new result")]
    fn a_split_that_forgets_elements_is_found() {
        // SAFETY: not kept on purpose; it panics before anything is read.
        let _ = unsafe {
            Parts::collect(3, 5, |parts| {
                let _part = parts.part(0..3, 0..4);
            })
        };
    }

    #[test]
    #[should_panic(expected = "rows 1..3 of a part lie inside the 2 that there are")]
    fn a_part_does_not_write_beside_itself() {
        let mut values = [0.0; 15];
        Parts::of(MatrixMut::new(&mut values, 3, 5)).share([2, 5], Sharing::Here, |mut part| {
            part.put(1, &[[0.0; 5]; 2]);
        });
    }

    #[test]
    #[should_panic(expected = "elements are more than there can be")]
    fn a_result_with_more_elements_than_there_are_numbers_is_refused() {
        let half = 1 << (usize::BITS / 2);
        // SAFETY: the product of both is 0 when it wraps, and nothing is written.
        let _ = unsafe { Parts::collect(half, half, |_| ()) };
    }
}
