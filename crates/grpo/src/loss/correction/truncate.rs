//! Truncated importance sampling (TIS; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
//! training"; TRL's `token_truncate`).
//!
//! ```text
//! l_t = clip(exp(old_t - sampler_t), min, max) · surrogate_t,    the surrogate's ratio exp(logp_t - old_t)
//! ```
//!
//! `old` is the trainer's policy before the step, so the surrogate is about the updates alone.

use super::{Bounds, Weights};

/// The weight of each token's surrogate.
pub(super) fn weights(log_ratios: Vec<f64>, bounds: Bounds) -> Weights {
    let ratios: Vec<f64> = log_ratios.into_iter().map(f64::exp).collect();
    Weights {
        values: ratios.iter().map(|ratio| ratio.clamp(bounds.min, bounds.max) as f32).collect(),
        cut: ratios.iter().map(|&ratio| !bounds.holds(ratio)).collect(),
    }
}
