//! Truncated importance sampling (TIS; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
//! training"; TRL's `token_truncate`).
//!
//! ```text
//! l_t = min(exp(old_t - sampler_t), 3) · surrogate_t,    the surrogate's ratio exp(logp_t - old_t)
//! ```
//!
//! `old` is the trainer's policy before the step, so the surrogate is about the updates alone.

use super::LIMIT;
use crate::loss::Tokens;

/// The weight of each token's surrogate; 1 where a log-probability is not finite.
///
/// # Panics
/// When `tokens.sampler` does not have N entries.
pub(super) fn weights(tokens: &Tokens) -> Vec<f32> {
    assert_eq!(tokens.sampler.len(), tokens.old.len(), "one entry per loss token");
    let weight = |(old, sampler): (&f32, &f32)| {
        let log_ratio = old - sampler;
        if log_ratio.is_finite() { log_ratio.exp().min(LIMIT as f32) } else { 1.0 }
    };
    tokens.old.iter().zip(&tokens.sampler).map(weight).collect()
}
