//! `loss = Σ l`. The gradient grows with the number of tokens.

/// The weight of each token.
pub(super) fn weight() -> f64 {
    1.0
}
