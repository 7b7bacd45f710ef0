//! `loss = 1/M Σ_m 1/N_m Σ l`, over the N_m tokens of each of M microbatches: TRL's `bnpo`.

use super::{Counts, share};

/// The weight of each token of the microbatch.
pub(super) fn weight(counts: &Counts) -> f64 {
    share(counts.microbatch_tokens) * share(counts.microbatches)
}
