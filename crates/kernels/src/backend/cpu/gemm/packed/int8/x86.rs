//! The tile by AVX512-VNNI.

use super::{QUADS, Tile};
use crate::backend::cpu::gemm::Sums;
use crate::backend::cpu::gemm::microkernel::VECTOR;
use std::arch::x86_64::{
    __m512, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};

/// As [`portable`](super::portable).
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn tile(tile: Tile<'_>, sums: &mut Sums) {
    match (tile.height, tile.quads.len() / tile.width / VECTOR) {
        (4, 3) => part::<4, 3>(tile, sums),
        (4, 2) => part::<4, 2>(tile, sums),
        (4, _) => part::<4, 1>(tile, sums),
        (2, 3) => part::<2, 3>(tile, sums),
        (2, 2) => part::<2, 2>(tile, sums),
        (2, _) => part::<2, 1>(tile, sums),
        (_, 3) => part::<1, 3>(tile, sums),
        (_, 2) => part::<1, 2>(tile, sums),
        (_, _) => part::<1, 1>(tile, sums),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn part<const M: usize, const N: usize>(tile: Tile<'_>, sums: &mut Sums) {
    let Tile { quads, scales, x, x_scales, x_starts, width, blocks, .. } = tile;
    assert!(
        quads.len() == width * N * VECTOR && x.len() == width * M && blocks == width.div_ceil(QUADS),
        "a tile has M rows and N vectors"
    );
    assert!(
        scales.len() == blocks * N * VECTOR && x_scales.len() == blocks * M && x_starts.len() == blocks * M,
        "a scale for each block"
    );
    let mut totals = [[_mm512_setzero_ps(); N]; M];
    // SAFETY: `weights` moves through the `width` lines of N vectors that the panel has by the first assertion, and
    // element `k < width` of row `m < M` lies inside `x` by the same. The second says it of blocks and scales.
    unsafe {
        let mut weights = quads.as_ptr();
        let mut scales = scales.as_ptr();
        for block in 0..blocks {
            let mut products = [[_mm512_setzero_si512(); N]; M];
            for (m, products) in products.iter_mut().enumerate() {
                *products = [_mm512_set1_epi32(*x_starts.as_ptr().add(m * blocks + block)); N];
            }
            for k in block * QUADS..((block + 1) * QUADS).min(width) {
                let mut vectors = [_mm512_setzero_si512(); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = _mm512_loadu_si512(weights.add(n * VECTOR).cast());
                }
                for (m, products) in products.iter_mut().enumerate() {
                    let input = _mm512_set1_epi32(*x.as_ptr().add(m * width + k));
                    for (product, &vector) in products.iter_mut().zip(&vectors) {
                        *product = _mm512_dpbusd_epi32(*product, vector, input);
                    }
                }
                weights = weights.wrapping_add(N * VECTOR);
            }
            for (m, (totals, products)) in totals.iter_mut().zip(products).enumerate() {
                let x_scale = _mm512_set1_ps(*x_scales.as_ptr().add(m * blocks + block));
                for (n, (total, product)) in totals.iter_mut().zip(products).enumerate() {
                    let scale = _mm512_mul_ps(x_scale, _mm512_loadu_ps(scales.add(n * VECTOR)));
                    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), scale, *total);
                }
            }
            scales = scales.wrapping_add(N * VECTOR);
        }
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        for (sums, total) in sums.as_chunks_mut::<VECTOR>().0.iter_mut().zip(totals) {
            *sums = pulp::cast::<__m512, [f32; VECTOR]>(total);
        }
    }
}
