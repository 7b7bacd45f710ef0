//! A weight packed once for many products `x W^T`: outputs lie in panels, so that a product streams each panel from
//! front to back, and a few rows of x share what was read. Three formats of numbers, one driver.

#![allow(
    unsafe_code,
    reason = "tasks own columns of the result, which no safe slice expresses; this file checks that they are disjoint"
)]

// M rows, D inner dimension, O outputs

mod bf16;
mod full;
mod int8;
#[cfg(test)]
mod tests;

use super::gemm::Threads;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Outputs of a panel: three vectors of AVX-512. With eight rows they fill 24 of its 32 registers with sums.
const PANEL: usize = 48;

/// Outputs of a vector: panels are padded to whole ones.
const VECTOR: usize = 16;

/// The most rows of a tile.
const TALL: usize = 8;

/// The products of a tile, by row.
type Sums = [[f32; PANEL]; TALL];

/// Bytes of a weight below which waking another thread costs more than it saves.
const WORTH_SHARING: usize = 1 << 17;

/// Bytes of a weight that a task takes at least.
const TASK: usize = 1 << 16;

/// How the numbers of a packed weight are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As they are: products are exact up to the order of their sums.
    #[default]
    F32,
    /// Weights and inputs rounded to bfloat16, products summed in f32. Half the bytes, twice the multiplications an
    /// instruction where a CPU has AVX512-BF16.
    Bf16,
    /// Weights and inputs as 8-bit integers with a scale for each output (each row) and block of 64 inputs, products
    /// summed exactly in integers within a block. A quarter of the bytes, four times the multiplications an
    /// instruction where a CPU has AVX512-VNNI.
    Int8,
}

/// `[O, D]` in panels.
#[derive(Debug)]
pub(crate) struct Packed {
    panels: Format,
    outputs: usize,
    width: usize,
}

#[derive(Debug)]
enum Format {
    Full(full::Panels),
    Bf16(bf16::Panels),
    Int8(int8::Panels),
}

impl Packed {
    /// Packs a weight given as its rows: O of them, D numbers each.
    pub(crate) fn new(rows: &[&[f32]], precision: Precision) -> Self {
        let width = rows.first().map_or(0, |row| row.len());
        assert!(rows.iter().all(|row| row.len() == width), "rows of a weight are equally long");
        let panels = match precision {
            Precision::F32 => Format::Full(full::Panels::pack(rows, width)),
            Precision::Bf16 => Format::Bf16(bf16::Panels::pack(rows, width)),
            Precision::Int8 => Format::Int8(int8::Panels::pack(rows, width)),
        };
        Self { panels, outputs: rows.len(), width }
    }

    /// O
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = x W^T` for `x` `[M, D]`, `out` `[M, O]`. Each element is computed in the same order whatever the other
    /// rows are and however many threads there are.
    pub(crate) fn times(&self, out: &mut [f32], x: &[f32], rows: usize, threads: Threads) {
        assert!(
            x.len() == rows * self.width && out.len() == rows * self.outputs,
            "shapes of a product must fit"
        );
        if self.width == 0 || out.is_empty() {
            return out.fill(0.0);
        }
        match &self.panels {
            Format::Full(panels) => self.run(panels, out, &full::Inputs::new(x, self.width), rows, threads),
            Format::Bf16(panels) => self.run(panels, out, &bf16::Inputs::new(x, self.width), rows, threads),
            Format::Int8(panels) => self.run(panels, out, &int8::Inputs::new(x, self.width), rows, threads),
        }
    }

    fn run<P: Panels>(&self, panels: &P, out: &mut [f32], x: &P::Inputs<'_>, rows: usize, threads: Threads) {
        let columns = Columns::new(out, rows, self.outputs);
        let panel = |index: usize| {
            let first = index * PANEL;
            let count = (self.outputs - first).min(PANEL);
            let mut sums: Sums = [[0.0; PANEL]; TALL];
            let mut row = 0;
            while row < rows {
                let height = tallest(rows - row).min(P::TALLEST);
                panels.tile(index, x, row, height, &mut sums);
                for (m, sums) in sums.iter().take(height).enumerate() {
                    // SAFETY: a task has panels of its own, and those are columns of the result that no other has.
                    unsafe { columns.write(row + m, first, &sums[..count]) };
                }
                row += height;
            }
        };
        let (count, bytes) = (self.outputs.div_ceil(PANEL), panels.bytes());
        if threads == Threads::Pool && bytes * rows >= WORTH_SHARING {
            let at_least = (TASK * count / bytes.max(1)).max(1);
            (0..count).into_par_iter().with_min_len(at_least).for_each(panel);
        } else {
            (0..count).for_each(panel);
        }
    }
}

/// Replaces every number of a weight's row by what the precision holds of it.
pub(crate) fn round(row: &mut [f32], precision: Precision) {
    match precision {
        Precision::F32 => {}
        Precision::Bf16 => bf16::round(row),
        Precision::Int8 => int8::round(row),
    }
}

/// Rows of the next tile where so many are left: 8, 4, 2 or 1.
fn tallest(left: usize) -> usize {
    1 << left.min(TALL).ilog2()
}

/// Panels in one format.
trait Panels: Sync {
    /// Rows of x as this format wants them.
    type Inputs<'a>: Sync;
    /// The most rows of a tile, at most [`TALL`].
    const TALLEST: usize;

    /// Bytes of all panels.
    fn bytes(&self) -> usize;

    /// The products of `height` (1, 2, 4 or 8) rows from `row` on with the outputs of a panel. Sums of outputs that a
    /// panel does not have mean nothing.
    fn tile(&self, panel: usize, x: &Self::Inputs<'_>, row: usize, height: usize, sums: &mut Sums);
}

/// Fills a weight's panels: `[panel][line][outputs of the panel]`, a line being what `join` makes of `group` neighbours
/// along the inner dimension.
fn interleave<T: Copy + Send>(
    rows: &[&[f32]],
    values: &mut [T],
    lines: usize,
    group: usize,
    join: impl Fn(&[f32]) -> T + Sync,
) {
    /// Lines that are filled for all outputs before the next ones: they stay in the first-level cache.
    const LINES: usize = 32;
    rows.par_chunks(PANEL).zip(values.par_chunks_mut((PANEL * lines).max(1))).for_each(|(rows, panel)| {
        let lanes = padded(rows.len());
        for (block, panel) in panel.chunks_mut(LINES * lanes).enumerate() {
            for (lane, row) in rows.iter().enumerate() {
                let groups = row[block * LINES * group..].chunks(group);
                for (value, group) in panel[lane..].iter_mut().step_by(lanes).zip(groups) {
                    *value = join(group);
                }
            }
        }
    });
}

/// Outputs of a panel of so many, padded to whole vectors.
fn padded(outputs: usize) -> usize {
    outputs.next_multiple_of(VECTOR)
}

/// A result that tasks write by columns.
struct Columns<'a> {
    out: *mut f32,
    rows: usize,
    columns: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long, and `write` has its caller see to it that
// no two threads write the same columns.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    fn new(out: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(out.len(), rows * columns, "the result has all columns of all rows");
        Self { out: out.as_mut_ptr(), rows, columns, borrowed: PhantomData }
    }

    /// # Safety
    /// No other thread writes these columns at the same time.
    unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        assert!(row < self.rows && column + values.len() <= self.columns, "a tile lies inside the result");
        // SAFETY: the assertion keeps the place inside the borrowed slice, and the caller keeps others away from it.
        unsafe {
            let place = self.out.add(row * self.columns + column);
            place.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }
}
