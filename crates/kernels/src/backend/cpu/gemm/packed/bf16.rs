//! Panels of bfloat16: pairs of neighbours along the inner dimension, as AVX512-BF16 multiplies them. Other machines
//! widen the same numbers to f32.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "the tile may add to a result that is not initialised; here it replaces; only what is inlined into `vectorized!` is compiled for its instruction set"
)]

// D inner dimension, D2 = D / 2 pairs, the last one padded with 0

use crate::backend::cpu::gemm::NR;
use crate::backend::cpu::gemm::bf16::tile::{Number, times_panel};
use crate::backend::cpu::gemm::matrix::{Matrix, Store, area};
use crate::backend::cpu::gemm::microkernel::padded;
use crate::backend::cpu::gemm::shared_output::Part;
use crate::backend::cpu::vectorized;
use rayon::prelude::*;

/// `[panel][D2][outputs of the panel]`, the earlier number of a pair in the lower half.
#[derive(Debug)]
pub(super) struct Panels {
    pairs: Vec<u32>,
    /// D2
    width: usize,
}

impl Panels {
    pub(super) fn pack(rows: &[&[f32]], width: usize) -> Self {
        /// Lines that are filled for all outputs before the next ones: they stay in the first-level cache.
        const LINES: usize = 32;
        let width = width.div_ceil(2);
        let mut pairs = vec![0; area(padded(rows.len()), width)];
        let panels = pairs.par_chunks_mut((NR * width).max(1));
        rows.par_chunks(NR).zip(panels).for_each(|(rows, panel)| {
            let lanes = padded(rows.len());
            for (block, panel) in panel.chunks_mut(LINES * lanes).enumerate() {
                for (lane, row) in rows.iter().enumerate() {
                    let neighbours = row[block * LINES * 2..].chunks(2);
                    for (value, neighbours) in panel[lane..].iter_mut().step_by(lanes).zip(neighbours) {
                        *value = pair(neighbours);
                    }
                }
            }
        });
        Self { pairs, width }
    }
}

/// Two neighbours, or the last one alone.
#[inline(always)]
fn pair(x: &[f32]) -> u32 {
    x[0].rounded() | x.get(1).map_or(0, |x| x.rounded()) << 16
}

/// What the format holds of some numbers.
pub(super) fn round(values: &mut [f32]) {
    for x in values {
        *x = f32::from_bits(x.rounded() << 16);
    }
}

/// Rows of x, `[M, D2]`.
#[derive(Debug)]
pub(super) struct Inputs {
    pairs: Vec<u32>,
}

impl Inputs {
    pub(super) fn new(x: &[f32], width: usize) -> Self {
        let half = width.div_ceil(2);
        let mut pairs = vec![0; x.len() / width * half];
        let rows = crate::backend::cpu::rows_at_once(width);
        pairs.par_chunks_mut(rows * half).zip(x.par_chunks(rows * width)).for_each(|(pairs, x)| {
            vectorized!(|pairs: &mut [u32], x: &[f32], width: usize, half: usize| {
                for (pairs, x) in pairs.chunks_exact_mut(half).zip(x.chunks_exact(width)) {
                    let (whole, rest) = x.as_chunks::<2>();
                    for (pair, [low, high]) in pairs.iter_mut().zip(whole) {
                        *pair = low.rounded() | high.rounded() << 16;
                    }
                    if !rest.is_empty() {
                        pairs[half - 1] = pair(rest);
                    }
                }
            });
        });
        Self { pairs }
    }
}

impl super::Panels for Panels {
    type Inputs<'a> = Inputs;

    fn bytes(&self) -> usize {
        size_of_val(self.pairs.as_slice())
    }

    fn times(&self, panel: usize, x: &Inputs, rows: usize, out: &mut Part<'_>) {
        let panel = {
            let start = panel * NR * self.width;
            &self.pairs[start..(start + NR * self.width).min(self.pairs.len())]
        };
        let columns = 0..out.columns().len();
        let x = Matrix::new(x.pairs.as_slice(), rows, self.width);
        // SAFETY: nothing is added to what is there.
        unsafe { times_panel(&x, panel, out, &columns, Store::Replace) };
    }
}
