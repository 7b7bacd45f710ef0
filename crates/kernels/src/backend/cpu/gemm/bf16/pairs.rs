//! Numbers into pairs of bfloat16: neighbours of a line, or two lines interleaved. Where AVX512-BF16 rounds, what is
//! below the smallest normal number becomes 0; products take it for 0 there anyway.
#![allow(
    unsafe_code,
    clippy::inline_always,
    reason = "instructions that the portable layer does not know; only what is inlined into `vectorized!` is compiled for \
              its instruction set"
)]

use super::tile::Number;
use crate::backend::cpu::vectorized;

/// `[a, b, c]` as `[ab, c0]`, the earlier number of a pair in the lower half.
pub(super) fn neighbours<T: Number>(to: &mut [u32], from: &[T]) {
    assert!(to.len() == from.len().div_ceil(2), "a pair for two numbers");
    T::neighbours(to, from);
}

/// `[a, b]` and `[c, d]` as `[ac, bd]`. `to` may be longer.
pub(super) fn interleaved<T: Number>(to: &mut [u32], lower: &[T], upper: &[T]) {
    assert!(lower.len() == upper.len() && lower.len() <= to.len(), "a pair for two numbers");
    T::interleaved(&mut to[..lower.len()], lower, upper);
}

/// How numbers of a type become pairs; lengths fit.
pub(crate) trait Pairs: Sized {
    fn neighbours(to: &mut [u32], from: &[Self]);
    fn interleaved(to: &mut [u32], lower: &[Self], upper: &[Self]);
}

impl Pairs for half::bf16 {
    fn neighbours(to: &mut [u32], from: &[Self]) {
        vectorized!(|to: &mut [u32], from: &[half::bf16]| { portable_neighbours(to, from) });
    }

    fn interleaved(to: &mut [u32], lower: &[Self], upper: &[Self]) {
        vectorized!(|to: &mut [u32], lower: &[half::bf16], upper: &[half::bf16]| {
            portable_interleaved(to, lower, upper);
        });
    }
}

impl Pairs for f32 {
    fn neighbours(to: &mut [u32], from: &[Self]) {
        #[cfg(target_arch = "x86_64")]
        if crate::backend::cpu::arch::has!("avx512f", "avx512bf16") {
            // SAFETY: the machine has the instructions.
            return unsafe { x86::neighbours(to, from) };
        }
        vectorized!(|to: &mut [u32], from: &[f32]| { portable_neighbours(to, from) });
    }

    fn interleaved(to: &mut [u32], lower: &[Self], upper: &[Self]) {
        #[cfg(target_arch = "x86_64")]
        if crate::backend::cpu::arch::has!("avx512f", "avx512bf16") {
            // SAFETY: the machine has the instructions.
            return unsafe { x86::interleaved(to, lower, upper) };
        }
        vectorized!(|to: &mut [u32], lower: &[f32], upper: &[f32]| {
            portable_interleaved(to, lower, upper);
        });
    }
}

#[inline(always)]
fn portable_neighbours<T: Number>(to: &mut [u32], from: &[T]) {
    let (whole, rest) = from.as_chunks::<2>();
    for (to, [lower, upper]) in to.iter_mut().zip(whole) {
        *to = lower.rounded() | upper.rounded() << 16;
    }
    if let [last] = rest {
        to[whole.len()] = last.rounded();
    }
}

#[inline(always)]
fn portable_interleaved<T: Number>(to: &mut [u32], lower: &[T], upper: &[T]) {
    for ((to, lower), upper) in to.iter_mut().zip(lower).zip(upper) {
        *to = lower.rounded() | upper.rounded() << 16;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The same by AVX512-BF16.

    use super::{portable_interleaved, portable_neighbours};
    use std::arch::x86_64::{
        __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
        _mm512_cvtneps_pbh, _mm512_or_si512, _mm512_slli_epi32,
    };
    use std::mem::transmute;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn neighbours(to: &mut [u32], from: &[f32]) {
        let (whole, rest) = from.as_chunks::<32>();
        let (places, rest_places) = to.split_at_mut(whole.len() * 16);
        for (to, from) in places.as_chunks_mut::<16>().0.iter_mut().zip(whole) {
            let (lower, upper) = (vector(&from[..16]), vector(&from[16..]));
            let pairs = _mm512_cvtne2ps_pbh(upper, lower);
            // SAFETY: both are 512 bits of any value.
            *to = pulp::cast(unsafe { transmute::<__m512bh, __m512i>(pairs) });
        }
        portable_neighbours(rest_places, rest);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn interleaved(to: &mut [u32], lower: &[f32], upper: &[f32]) {
        let (lower, lower_rest) = lower.as_chunks::<16>();
        let (upper, upper_rest) = upper.as_chunks::<16>();
        let (places, rest_places) = to.split_at_mut(lower.len() * 16);
        for ((to, lower), upper) in places.as_chunks_mut::<16>().0.iter_mut().zip(lower).zip(upper) {
            let (lower, upper) = (rounded(vector(lower)), rounded(vector(upper)));
            *to = pulp::cast(_mm512_or_si512(lower, _mm512_slli_epi32::<16>(upper)));
        }
        portable_interleaved(rest_places, lower_rest, upper_rest);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn vector(values: &[f32]) -> __m512 {
        pulp::cast(*values.first_chunk::<16>().expect("sixteen numbers"))
    }

    /// Each number's bits in the lower half of a lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn rounded(x: __m512) -> __m512i {
        // SAFETY: both are 256 bits of any value.
        _mm512_cvtepu16_epi32(unsafe { transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) })
    }
}
