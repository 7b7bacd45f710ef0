//! `loss = 1/S Σ_i Σ_t l_i,t`: verl's `seq-mean-token-sum`, the reduction of TRL's `luspo`.

use super::{Counts, share};

/// The weight of each token of the update.
pub(super) fn weight(counts: &Counts) -> f64 {
    share(counts.sequences)
}
