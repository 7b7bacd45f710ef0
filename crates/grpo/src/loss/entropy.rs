//! Where a policy is undecided: the share of tokens with the largest entropy (Wang et al., "Beyond the 80/20 rule", arXiv
//! 2506.01939; TRL's `top_entropy_quantile`).

use super::Tokens;

/// Which tokens are among the `share` of a microbatch with the largest entropy. The limit is interpolated as torch's `quantile` does.
///
/// # Panics
/// When `tokens.entropy` does not have N entries.
pub(super) fn high_entropy(tokens: &Tokens, share: f64) -> Vec<bool> {
    assert_eq!(tokens.entropy.len(), tokens.weights.len(), "one entropy per loss token");
    let mut counted: Vec<f32> = tokens
        .counted()
        .zip(&tokens.entropy)
        .filter(|&(counts, entropy)| counts && entropy.is_finite())
        .map(|(_, &entropy)| entropy)
        .collect();
    if counted.is_empty() {
        return vec![false; tokens.weights.len()];
    }
    counted.sort_by(f32::total_cmp);
    let place = (1.0 - share) * (counted.len() - 1) as f64;
    let (below, above) = (counted[place.floor() as usize], counted[place.ceil() as usize]);
    let limit = f64::from(below) + place.fract() * (f64::from(above) - f64::from(below));
    tokens.counted().zip(&tokens.entropy).map(|(counts, &of)| counts && f64::from(of) >= limit).collect()
}

#[cfg(test)]
mod tests {
    use super::high_entropy;
    use crate::loss::Tokens;

    #[test]
    fn the_share_of_the_counted_tokens_with_the_largest_entropy_stays() {
        let tokens = Tokens {
            entropy: vec![0.5, 9.0, 0.1, 0.3, 0.2, 0.4],
            weights: vec![1.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            ..Tokens::default()
        };
        assert_eq!(high_entropy(&tokens, 0.4), [true, false, false, false, false, true]);
        assert_eq!(high_entropy(&tokens, 1.0), [true, false, true, true, true, true]);
    }
}
