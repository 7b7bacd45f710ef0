//! Importance ratios of whole completions (TRL's `sequence_truncate` and `sequence_mask`; Liu and Li 2025, "When speed kills
//! stability"): `Π_t exp(old_t - sampler_t)`, shared by all tokens. Without limits they are unbiased; their spread grows with the
//! length.

use crate::loss::Tokens;

/// The logarithm of the product of each sequence's ratios, given to all of its tokens.
pub(super) fn products(tokens: &Tokens, log_ratios: &[f64]) -> Vec<f64> {
    let sums = tokens.host_sums(|token| log_ratios[token]);
    tokens.sequence.iter().map(|&sequence| sums[sequence as usize]).collect()
}
