//! Vector arithmetic without intrinsics: loops over fixed lanes that the compiler turns into whatever the machine
//! has, inside [`vectorized!`], which chooses the instruction set at run time.
//!
//! The order of additions is fixed by [`LANES`], not by the machine: sums are the same on every x86.

#![allow(
    clippy::inline_always,
    reason = "only what is inlined into `vectorized!` is compiled for its instruction set"
)]

/// Accumulators of a sum: two AVX-512 registers' worth.
const LANES: usize = 32;

/// `vectorized!(|name: Type, ...| -> Result { ... })`: runs the block on the variables of these names, compiled for the
/// widest vectors that this machine has (AVX-512, AVX2, or the target's baseline).
///
/// It is no closure, although it looks like one: the optimiser may compile a closure by itself, and does so where it
/// is long, and then for the baseline, four numbers at a time. The block becomes a function that is always inlined
/// into the entry for each instruction set, so it sees only what is named. The same holds for what it calls: that has
/// to be short, or `#[inline(always)]`.
macro_rules! vectorized {
    (|$($name:ident: $type:ty),+ $(,)?| $body:block) => {
        crate::backend::cpu::vectorized!(|$($name: $type),+| -> () $body)
    };
    (|$($name:ident: $type:ty),+ $(,)?| -> $result:ty $body:block) => {{
        struct Vectorized<T>(T);

        impl pulp::WithSimd for Vectorized<($($type,)+)> {
            type Output = $result;

            #[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, _: S) -> $result {
                let Self(($($name,)+)) = self;
                $body
            }
        }
        crate::backend::cpu::arch().dispatch(Vectorized(($($name,)+)))
    }};
}
pub(crate) use vectorized;

/// `e^x` within 2 units in the last place; 0 below -87.3, where results stop being normal, and about 2e38 above 88.3.
///
/// Cody and Waite's reduction `x = n ln 2 + r`, then a polynomial of degree 6 on `|r| <= ln 2 / 2`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves round(x / ln 2) in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let vanishes = x < -87.3;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let tail = 1.398_2e-3_f32 * r + 8.333_452e-3;
    let tail = (((tail * r + 4.166_579_6e-2) * r + 1.666_666_5e-1) * r + 0.5) * r * r;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if vanishes { 0.0 } else { (tail + r + 1.0) * power }
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The sum of `f(i)` over `0..n`, in [`LANES`] interleaved partial sums that [`total`] adds up.
#[inline(always)]
pub(crate) fn lanewise(n: usize, f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for i in whole..n {
        sums[i - whole] += f(i);
    }
    sums
}

/// [`lanewise`] of two functions at once, for terms that share their work.
#[inline(always)]
pub(crate) fn lanewise_pairs(n: usize, f: impl Fn(usize) -> [f32; 2]) -> [[f32; LANES]; 2] {
    let [mut first, mut second] = [[0.0; LANES]; 2];
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            let [a, b] = f(start + lane);
            first[lane] += a;
            second[lane] += b;
        }
    }
    for i in whole..n {
        let [a, b] = f(i);
        first[i - whole] += a;
        second[i - whole] += b;
    }
    [first, second]
}

/// The sum of partial sums, pairwise.
#[inline(always)]
pub(crate) fn total(sums: [f32; LANES]) -> f32 {
    let mut sums = sums;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// The largest of some values; `-inf` of none. NaN is passed over.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (top, &value) in tops.iter_mut().zip(chunk) {
            *top = if value > *top { value } else { *top };
        }
    }
    tops.iter().chain(rest).fold(f32::NEG_INFINITY, |top, &value| if value > top { value } else { top })
}

/// `sum a[i] * b[i]` of slices of equal length.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    total(lanewise(a.len(), |i| a[i] * b[i]))
}
