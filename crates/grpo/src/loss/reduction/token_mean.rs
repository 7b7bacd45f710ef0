//! `loss = 1/N Σ l`, over the N tokens of the update: DAPO (arXiv 2503.14476, eq. 8), TRL's `dapo`.

use super::{Counts, share};

/// The weight of each token of the update.
pub(super) fn weight(counts: &Counts) -> f64 {
    share(counts.tokens)
}
