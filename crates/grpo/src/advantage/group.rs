//! `A_i = (r_i - mean) / (std + 1e-4)` of the group (arXiv 2402.03300, section 4.1.2; the constant is TRL's).

use super::{EPSILON, mean, std};

/// Maps a reward to its advantage among the scored rewards of its group.
pub(super) fn among(group: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let (mean, divisor) = (mean(group), std(group) + EPSILON);
    move |reward| (reward - mean) / divisor
}
