//! Panels of f32, and rows as they are.
#![allow(unsafe_code, reason = "the tile may add to a result that is not initialised; here it replaces")]

// D inner dimension

use crate::backend::cpu::gemm::NR;
use crate::backend::cpu::gemm::matrix::{Matrix, Store, area};
use crate::backend::cpu::gemm::microkernel::{Rows, padded, times_panel};
use crate::backend::cpu::gemm::shared_output::Part;
use crate::backend::cpu::gemm::transpose::transpose;
use rayon::prelude::*;

/// `[panel][D][outputs of the panel]`
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    width: usize,
}

impl Panels {
    pub(super) fn pack(rows: &[&[f32]], width: usize) -> Self {
        let mut values = vec![0.0; area(padded(rows.len()), width)];
        let panels = values.par_chunks_mut((NR * width).max(1));
        panels.zip(rows.par_chunks(NR)).for_each(|(panel, rows)| transpose(panel, padded(rows.len()), rows));
        Self { values, width }
    }
}

/// Rows of x as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    x: &'a [f32],
    width: usize,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(x: &'a [f32], width: usize) -> Self {
        Self { x, width }
    }
}

impl super::Panels for Panels {
    type Inputs<'a> = Inputs<'a>;

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn times(&self, index: usize, x: &Inputs<'_>, rows: usize, out: &mut Part<'_>) {
        let panel = |index: usize| {
            let start = index * NR * self.width;
            self.values.get(start..self.values.len().min(start + NR * self.width))
        };
        let next = panel(index + 1);
        let panel = panel(index).expect("a panel of this weight");
        let x = Rows::InPlace(Matrix::new(x.x, rows, x.width));
        let columns = 0..out.columns().len();
        // SAFETY: nothing is added to what is there.
        unsafe { times_panel(x, [panel, next.unwrap_or(panel)], out, &columns, Store::Replace) };
    }
}
