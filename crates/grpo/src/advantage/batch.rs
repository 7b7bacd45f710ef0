//! `A_i = (r_i - mean of the group) / (std of the step + 1e-4)`: TRL's `scale_rewards = "batch"` (arXiv 2508.08221).

use super::{EPSILON, mean, std};

/// Maps a reward to its advantage among the scored rewards of its group, on the scale of the whole step's.
pub(super) fn among(group: &[f64], step: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let (mean, divisor) = (mean(group), std(step) + EPSILON);
    move |reward| (reward - mean) / divisor
}
