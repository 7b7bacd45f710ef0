//! `loss = 1/S Σ_i 1/|o_i| Σ_t l_i,t`: the paper's (arXiv 2402.03300, eq. 3), TRL's `grpo`.

use super::{Counts, share};

/// The weight of each token of a completion with `length` loss tokens.
pub(super) fn weight(length: usize, counts: &Counts) -> f64 {
    share(counts.sequences) * share(length)
}
