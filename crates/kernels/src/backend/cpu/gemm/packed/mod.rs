//! A weight packed once for many products `x W^T`: outputs lie in panels, so that a product streams each panel from
//! front to back, and a few rows of x share what was read. Three formats of numbers, one driver.

#![allow(unsafe_code, reason = "results are not initialised before their parts are written")]

// M rows, D inner dimension, O outputs

mod bf16;
mod full;
mod int8;
#[cfg(test)]
mod tests;

use super::NR;
use super::matrix::{MatrixMut, Store, Threads, area};
use super::shared_output::{Part, Parts, Sharing};
use crate::prepared::Precision;

/// Bytes of a weight below which waking another thread costs more than it saves.
const WORTH_SHARING: usize = if cfg!(miri) { 1 << 10 } else { 1 << 17 };

/// Bytes of a weight that a task takes at least.
const TASK: usize = if cfg!(miri) { 1 << 9 } else { 1 << 16 };

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
        let out = MatrixMut::new(out, rows, self.outputs);
        if self.adds_nothing(x, rows) {
            return out.store_nothing(Store::Replace);
        }
        self.fill(&mut Parts::of(out), x, rows, threads);
    }

    /// `x W^T` `[M, O]`
    pub(crate) fn times_of(&self, x: &[f32], rows: usize, threads: Threads) -> Vec<f32> {
        if self.adds_nothing(x, rows) {
            return vec![0.0; area(rows, self.outputs)];
        }
        // SAFETY: panels have all outputs, and each is multiplied with all rows.
        unsafe { Parts::collect(rows, self.outputs, |out| self.fill(out, x, rows, threads)) }
    }

    /// Whether `x` `[M, D]` has nothing to multiply.
    fn adds_nothing(&self, x: &[f32], rows: usize) -> bool {
        assert!(x.len() == area(rows, self.width), "shapes of a product must fit");
        x.is_empty()
    }

    /// Writes all of `out`, `[M, O]`, where M and D are at least 1.
    fn fill(&self, out: &mut Parts<'_>, x: &[f32], rows: usize, threads: Threads) {
        match &self.panels {
            Format::Full(panels) => self.run(panels, out, &full::Inputs::new(x, self.width), rows, threads),
            Format::Bf16(panels) => self.run(panels, out, &bf16::Inputs::new(x, self.width), rows, threads),
            Format::Int8(panels) => self.run(panels, out, &int8::Inputs::new(x, self.width), rows, threads),
        }
    }

    fn run<P: Panels>(
        &self,
        panels: &P,
        out: &mut Parts<'_>,
        x: &P::Inputs<'_>,
        rows: usize,
        threads: Threads,
    ) {
        let (count, bytes) = (self.outputs.div_ceil(NR), panels.bytes());
        let sharing = if threads == Threads::Pool && bytes * rows >= WORTH_SHARING {
            Sharing::Runs((TASK * count / bytes.max(1)).max(1))
        } else {
            Sharing::Here
        };
        // A part is the outputs of a panel, for all rows.
        out.share([rows, NR], sharing, |mut part| {
            panels.times(part.columns().start / NR, x, rows, &mut part);
        });
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

/// Panels in one format.
trait Panels: Sync {
    /// Rows of x as this format wants them.
    type Inputs<'a>: Sync;

    /// Bytes of all panels.
    fn bytes(&self) -> usize;

    /// Multiplies all rows by the outputs of a panel, into the part of the result that has those columns.
    fn times(&self, panel: usize, x: &Self::Inputs<'_>, rows: usize, out: &mut Part<'_>);
}
