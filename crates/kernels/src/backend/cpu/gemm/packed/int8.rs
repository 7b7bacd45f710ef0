//! Panels of 8-bit integers with a scale for each output and block of inputs; rows of x are rounded the same way when
//! they come. Within a block products are summed in integers, exactly, so every machine has the same bits.
//!
//! ```text
//! y[o] = sum_b s[o, b] t[b] sum_(d in b) w[o, d] x[d]        s, t: scales; w, x: integers from -127 to 127
//! ```
//!
//! AVX512-VNNI multiplies unsigned with signed numbers: weights are held with 128 added, and `128 sum_d x[d]` is
//! taken off where a block's sum begins.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "instructions that the portable layer does not know; tiles read through pointers, so that no check stands \
              between two multiplications"
)]

// M rows, D inner dimension, Q = D / 4 quads, B blocks

use crate::backend::cpu::gemm::matrix::area;
use crate::backend::cpu::gemm::microkernel::{padded, tallest};
use crate::backend::cpu::gemm::shared_output::Part;
use crate::backend::cpu::gemm::{MR, NR, Sums};
use crate::backend::cpu::vectorized;
use rayon::prelude::*;

/// Inputs of a block. Outliers spoil the resolution of their block only; smaller ones cost more scales.
const BLOCK: usize = 64;

/// Quads of a block.
const QUADS: usize = BLOCK / 4;

/// What is added to weights.
const BIAS: u8 = 128;

/// Weights four neighbours at a time, and their scales.
#[derive(Debug)]
pub(super) struct Panels {
    /// `[panel][Q][outputs of the panel]`, the earliest number in the lowest byte.
    quads: Vec<u32>,
    /// `[panel][B][outputs of the panel]`
    scales: Vec<f32>,
    /// Q
    width: usize,
}

impl Panels {
    pub(super) fn pack(rows: &[&[f32]], width: usize) -> Self {
        let (blocks, width) = (width.div_ceil(BLOCK), width.div_ceil(4));
        let mut quads = vec![u32::from_le_bytes([BIAS; 4]); area(padded(rows.len()), width)];
        let mut scales = vec![0.0; padded(rows.len()) * blocks];
        let sizes = [width, blocks].map(|line| (NR * line).max(1));
        let panels = quads.par_chunks_mut(sizes[0]).zip(scales.par_chunks_mut(sizes[1]));
        rows.par_chunks(NR).zip(panels).for_each(|(rows, (quads, scales))| {
            let lanes = padded(rows.len());
            for (output, row) in rows.iter().enumerate() {
                for (block, row) in row.chunks(BLOCK).enumerate() {
                    let mut integers = [0; BLOCK];
                    scales[block * lanes + output] = quantized_block(row, &mut integers);
                    let quads = quads[block * QUADS * lanes..].iter_mut().skip(output).step_by(lanes);
                    for (quad, integers) in quads.zip(integers.as_chunks::<4>().0) {
                        *quad = u32::from_le_bytes(integers.map(|x| x.cast_unsigned().wrapping_add(BIAS)));
                    }
                }
            }
        });
        Self { quads, scales, width }
    }
}

/// Integers of up to a block of numbers, and their scale: NaN where one of them is not finite.
#[inline(always)]
fn quantized(values: &[f32], integers: &mut [i8; BLOCK]) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // As integers the bits of magnitudes are in order, those of infinity and NaN last.
    let largest = values.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
    let largest = f32::from_bits(largest);
    // Of numbers near the smallest there is, the inverse would be infinite; they are 0 here.
    let inverse = if largest > 1e-36 { 127.0 / largest } else { 0.0 };
    for (integer, x) in integers.iter_mut().zip(values) {
        *integer = (x * inverse + ROUND).to_bits() as i8;
    }
    if largest.is_finite() { largest / 127.0 } else { f32::NAN }
}

fn quantized_block(values: &[f32], integers: &mut [i8; BLOCK]) -> f32 {
    vectorized!(|values: &[f32], integers: &mut [i8; BLOCK]| -> f32 { quantized(values, integers) })
}

/// What the format holds of a row of numbers.
pub(super) fn round(row: &mut [f32]) {
    for block in row.chunks_mut(BLOCK) {
        let mut integers = [0; BLOCK];
        let scale = quantized(block, &mut integers);
        for (x, integer) in block.iter_mut().zip(integers) {
            *x = f32::from(integer) * scale;
        }
    }
}

/// Rows of x.
#[derive(Debug)]
pub(super) struct Inputs {
    /// `[M, Q]`
    quads: Vec<i32>,
    /// `[M, B]`
    scales: Vec<f32>,
    /// `[M, B]`: where a block's sum begins.
    starts: Vec<i32>,
}

impl Inputs {
    pub(super) fn new(x: &[f32], width: usize) -> Self {
        let (rows, count, blocks) = (x.len() / width, width.div_ceil(4), width.div_ceil(BLOCK));
        let mut inputs = Self {
            quads: vec![0; rows * count],
            scales: vec![0.0; rows * blocks],
            starts: vec![0; rows * blocks],
        };
        let at_once = crate::backend::cpu::rows_at_once(width);
        let outputs = inputs
            .quads
            .par_chunks_mut(at_once * count)
            .zip(inputs.scales.par_chunks_mut(at_once * blocks))
            .zip(inputs.starts.par_chunks_mut(at_once * blocks));
        outputs.zip(x.par_chunks(at_once * width)).for_each(|(((quads, scales), starts), x)| {
            vectorized!(|quads: &mut [i32],
                         scales: &mut [f32],
                         starts: &mut [i32],
                         x: &[f32],
                         width: usize| {
                let (count, blocks) = (width.div_ceil(4), width.div_ceil(BLOCK));
                let rows = quads
                    .chunks_exact_mut(count)
                    .zip(scales.chunks_exact_mut(blocks))
                    .zip(starts.chunks_exact_mut(blocks));
                for (((quads, scales), starts), x) in rows.zip(x.chunks_exact(width)) {
                    for (block, x) in x.chunks(BLOCK).enumerate() {
                        let mut integers = [0; BLOCK];
                        scales[block] = quantized(x, &mut integers);
                        starts[block] =
                            -i32::from(BIAS) * integers.iter().map(|&x| i32::from(x)).sum::<i32>();
                        for (quad, integers) in
                            quads[block * QUADS..].iter_mut().zip(integers.as_chunks::<4>().0)
                        {
                            *quad = i32::from_le_bytes(integers.map(i8::cast_unsigned));
                        }
                    }
                }
            });
        });
        inputs
    }
}

/// The most rows of a tile: it has 4 x 3 sums of a block and as many of all blocks.
const TALLEST: usize = 4;

/// A panel and the rows of a tile.
#[derive(Clone, Copy)]
struct Tile<'a> {
    quads: &'a [u32],
    scales: &'a [f32],
    x: &'a [i32],
    x_scales: &'a [f32],
    x_starts: &'a [i32],
    width: usize,
    blocks: usize,
    height: usize,
}

impl super::Panels for Panels {
    type Inputs<'a> = Inputs;

    fn bytes(&self) -> usize {
        size_of_val(self.quads.as_slice()) + size_of_val(self.scales.as_slice())
    }

    fn times(&self, panel: usize, x: &Inputs, rows: usize, out: &mut Part<'_>) {
        let mut sums: Sums = [[0.0; NR]; MR];
        let mut row = 0;
        while row < rows {
            let height = tallest(rows - row).min(TALLEST);
            self.products(panel, x, row, height, &mut sums);
            out.put(row, &sums[..height]);
            row += height;
        }
    }
}

impl Panels {
    /// The products of a tile. Those of outputs that the panel does not have mean nothing.
    pub(super) fn products(&self, panel: usize, x: &Inputs, row: usize, height: usize, sums: &mut Sums) {
        #[cfg(target_arch = "x86_64")]
        if crate::backend::cpu::arch::has!("avx512f", "avx512vnni") {
            // SAFETY: the machine has the instructions.
            return unsafe { x86::tile(self.tile_of(panel, x, row, height), sums) };
        }
        self.portable_tile(panel, x, row, height, sums);
    }

    /// The tile on a machine without the instructions.
    pub(super) fn portable_tile(&self, panel: usize, x: &Inputs, row: usize, height: usize, sums: &mut Sums) {
        let tile = self.tile_of(panel, x, row, height);
        vectorized!(|tile: Tile<'_>, sums: &mut Sums| { portable(tile, sums) });
    }

    fn tile_of<'a>(&'a self, panel: usize, x: &'a Inputs, row: usize, height: usize) -> Tile<'a> {
        let (width, blocks) = (self.width, self.width.div_ceil(QUADS));
        let part = |line: usize, all: usize| panel * NR * line..((panel + 1) * NR * line).min(all);
        let rows = |line: usize| row * line..(row + height) * line;
        Tile {
            quads: &self.quads[part(width, self.quads.len())],
            scales: &self.scales[part(blocks, self.scales.len())],
            x: &x.quads[rows(width)],
            x_scales: &x.scales[rows(blocks)],
            x_starts: &x.starts[rows(blocks)],
            width,
            blocks,
            height,
        }
    }
}

#[inline(always)]
fn portable(tile: Tile<'_>, sums: &mut Sums) {
    let Tile { width, blocks, .. } = tile;
    let lanes = tile.quads.len() / width;
    for (m, sums) in sums.iter_mut().enumerate().take(tile.height) {
        let sums = &mut sums[..lanes];
        sums.fill(0.0);
        let quads = tile.quads.chunks(QUADS * lanes).zip(tile.scales.chunks_exact(lanes));
        let rows = tile.x[m * width..(m + 1) * width].chunks(QUADS);
        for (block, ((quads, scales), x)) in quads.zip(rows).enumerate() {
            let mut products = [tile.x_starts[m * blocks + block]; NR];
            for (quads, x) in quads.chunks_exact(lanes).zip(x) {
                let x = x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
                for (product, quad) in products.iter_mut().zip(quads) {
                    let w = quad.to_le_bytes().map(i32::from);
                    *product += w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];
                }
            }
            let x_scale = tile.x_scales[m * blocks + block];
            for ((sum, product), scale) in sums.iter_mut().zip(products).zip(scales) {
                *sum = (product as f32).mul_add(x_scale * scale, *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;
