//! Sums over the units of a cube, and over rows.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// The sum of every unit's `value`, for all of them, by halves through shared memory. All units must call it. The order
/// of additions depends on the number of units alone.
///
/// `units` is a power of two, and the length of `shared`.
#[cube]
pub(super) fn cube_sum(value: f32, shared: &mut Shared<[f32]>, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for level in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (level + 1));
        if unit < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
        sync_cube();
    }
    let sum = shared[0];
    sync_cube(); // before the next call writes
    sum
}

/// The largest of every unit's `value`, for all of them, as [`cube_sum`].
#[cube]
pub(super) fn cube_max(value: f32, shared: &mut Shared<[f32]>, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for level in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (level + 1));
        if unit < half {
            let other = shared[unit + half];
            shared[unit] = shared[unit].max(other);
        }
        sync_cube();
    }
    let largest = shared[0];
    sync_cube(); // before the next call writes
    largest
}

/// `sums[d] = sum over rows of values[n, d]`, each column by one unit, in the order of the rows.
#[cube(launch, address_type = "dynamic")]
pub(super) fn column_sums(values: &Tensor<f32>, sums: &mut Tensor<f32>) {
    let column = ABSOLUTE_POS;
    if column < values.shape(1) {
        let mut sum = 0.0f32;
        for row in 0..values.shape(0) {
            sum += values[row * values.stride(0) + column * values.stride(1)];
        }
        let at = column * sums.stride(0);
        sums[at] = sum;
    }
}
