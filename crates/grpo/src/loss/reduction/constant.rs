//! `loss = 1/(S L) Σ l`, S sequences and the length limit L: Dr. GRPO (arXiv 2503.20783), TRL's `dr_grpo`.

use super::{Counts, share};

/// The weight of each token of the update.
pub(super) fn weight(counts: &Counts) -> f64 {
    share(counts.sequences * counts.max_completion_length)
}
