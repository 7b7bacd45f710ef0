//! Panels of f32: each output is one chain of fused multiply-adds in the order of the inner dimension, the same on
//! every machine that fuses.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "tiles read through pointers, so that no check stands between two multiplications; only what is inlined \
              into the entry is compiled for its instruction set"
)]

// D inner dimension

use super::{PANEL, Sums, interleave, padded};
use pulp::{Arch, Simd, WithSimd};

/// `[panel][D][outputs of the panel]`
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    width: usize,
}

impl Panels {
    pub(super) fn pack(rows: &[&[f32]], width: usize) -> Self {
        let mut values = vec![0.0; padded(rows.len()) * width];
        interleave(rows, &mut values, width, 1, |x| x[0]);
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
    const TALLEST: usize = 8;

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn tile(&self, panel: usize, x: &Inputs<'_>, row: usize, height: usize, sums: &mut Sums) {
        let start = panel * PANEL * self.width;
        let end = (start + PANEL * self.width).min(self.values.len());
        let x = &x.x[row * x.width..(row + height) * x.width];
        Arch::new().dispatch(Tile { panel: &self.values[start..end], x, width: self.width, height, sums });
    }
}

struct Tile<'a> {
    panel: &'a [f32],
    x: &'a [f32],
    width: usize,
    height: usize,
    sums: &'a mut Sums,
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // 8 x 3 sums, 3 vectors of weights and a broadcast fit 32 registers; 4 x 2 fit 16.
        let (tall, wide) = if S::REGISTER_COUNT >= 32 { (8, 3) } else { (4, 2) };
        let vectors = self.panel.len() / self.width / S::F32_LANES;
        for row in (0..self.height).step_by(tall) {
            let mut first = 0;
            while first < vectors {
                let count = (vectors - first).min(wide);
                match (self.height.min(tall), count) {
                    (8, 3) => self.part::<S, 8, 3>(simd, row, first),
                    (8, 2) => self.part::<S, 8, 2>(simd, row, first),
                    (8, _) => self.part::<S, 8, 1>(simd, row, first),
                    (4, 3) => self.part::<S, 4, 3>(simd, row, first),
                    (4, 2) => self.part::<S, 4, 2>(simd, row, first),
                    (4, _) => self.part::<S, 4, 1>(simd, row, first),
                    (2, 3) => self.part::<S, 2, 3>(simd, row, first),
                    (2, 2) => self.part::<S, 2, 2>(simd, row, first),
                    (2, _) => self.part::<S, 2, 1>(simd, row, first),
                    (_, 3) => self.part::<S, 1, 3>(simd, row, first),
                    (_, 2) => self.part::<S, 1, 2>(simd, row, first),
                    (_, _) => self.part::<S, 1, 1>(simd, row, first),
                }
                first += count;
            }
        }
    }
}

impl Tile<'_> {
    /// `M` rows from `row` on, `N` vectors of outputs from `first` on.
    #[inline(always)]
    fn part<S: Simd, const M: usize, const N: usize>(&mut self, simd: S, row: usize, first: usize) {
        let Self { panel, x, width, sums, .. } = self;
        let (width, outputs) = (*width, panel.len() / *width);
        let start = first * S::F32_LANES;
        assert!(
            start + N * S::F32_LANES <= outputs && panel.len() == outputs * width,
            "vectors of the panel"
        );
        assert!((row + M) * width <= x.len(), "rows of the input");
        let mut products = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: `weights` moves through the panel's `width` lines of `outputs` numbers, of which the first assertion
        // says that they hold the vectors read; element `k < width` of row `row + m`, `m < M`, lies inside `x` by the
        // second.
        unsafe {
            let mut weights = panel.as_ptr().add(start);
            let inputs = x.as_ptr().add(row * width);
            for k in 0..width {
                let mut vectors = [simd.splat_f32s(0.0); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = weights.add(n * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for (m, products) in products.iter_mut().enumerate() {
                    let input = simd.splat_f32s(*inputs.add(m * width + k));
                    for (product, vector) in products.iter_mut().zip(vectors) {
                        *product = simd.mul_add_e_f32s(input, vector, *product);
                    }
                }
                weights = weights.wrapping_add(outputs);
            }
        }
        for (sums, products) in sums[row..].iter_mut().zip(products) {
            let (sums, _) = S::as_mut_simd_f32s(&mut sums[start..]);
            sums[..N].copy_from_slice(&products);
        }
    }
}
