//! Masked importance sampling (MIS; TRL's `token_mask`; IcePop, arXiv 2510.18855, with two limits).
//!
//! ```text
//! l_t = M(exp(old_t - sampler_t)) · surrogate_t,    M(r) = r within [min, max], else 0
//! ```

use super::{Bounds, Weights};

/// The weight of each token's surrogate.
pub(super) fn weights(log_ratios: Vec<f64>, bounds: Bounds) -> Weights {
    let weight = |ratio: f64| if bounds.holds(ratio) { ratio as f32 } else { 0.0 };
    let cut = vec![false; log_ratios.len()];
    Weights { values: log_ratios.into_iter().map(|log_ratio| weight(log_ratio.exp())).collect(), cut }
}
