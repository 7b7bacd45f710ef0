//! `A_i = r_i - mean of the group`: Dr. GRPO (arXiv 2503.20783), TRL's `scale_rewards = "none"`.

use super::mean;

/// Maps a reward to its advantage among the scored rewards of its group.
pub(super) fn among(group: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let mean = mean(group);
    move |reward| reward - mean
}
