//! Completions by the geometric mean of their ratios (verl's `seq_mean_k1`; Liu and Li 2025, "When speed kills stability"): a
//! limit that does not tighten with the length.
//!
//! ```text
//! l_t = 1[min <= exp(1/|o| Σ_t (old_t - sampler_t)) <= max] · surrogate_t
//! ```

use super::{Bounds, Weights};
use crate::loss::Tokens;

/// The weight of each token's surrogate, 1 or 0.
pub(super) fn weights(tokens: &Tokens, log_ratios: &[f64], bounds: Bounds) -> Weights {
    let sums = tokens.host_sums(|token| log_ratios[token]);
    let lengths = tokens.host_sums(|_| 1.0);
    let keeps = |sequence: usize| bounds.holds((sums[sequence] / lengths[sequence].max(1.0)).exp());
    let values =
        tokens.sequence.iter().map(|&sequence| f32::from(u8::from(keeps(sequence as usize)))).collect();
    Weights { values, cut: vec![false; log_ratios.len()] }
}
