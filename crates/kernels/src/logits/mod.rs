//! What operations on the logits of an output head share: a block at a time, so that the logits of a whole batch are never in
//! memory at once, and one node of the graph. What is asked of the logits is each operation's own.

mod autodiff;
mod blocks;
mod sums;

pub(crate) use autodiff::{Asked, fused};
pub(crate) use blocks::{Blocks, Learning};
pub(crate) use sums::Sums;

/// How the logits are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) temperature: f64,
    /// Tokens of a block of logits.
    pub(crate) tokens_at_once: usize,
    /// Ids of a block of logits.
    pub(crate) ids_at_once: usize,
}

impl Plan {
    /// Blocks that a second-level cache has room for, of a shape at which products of matrices are fast: 3 MiB.
    pub(crate) fn blocks(temperature: f64) -> Self {
        Self { temperature, tokens_at_once: 1024, ids_at_once: 768 }
    }

    /// For a composition, which takes the whole vocabulary at once: as many tokens as have 64 MiB of logits in f32; at least
    /// 64, below which products of matrices become slow.
    pub(crate) fn rows(temperature: f64, vocabulary: usize) -> Self {
        let tokens_at_once = ((1 << 24) / vocabulary.max(1)).max(64);
        Self { temperature, tokens_at_once, ids_at_once: vocabulary }
    }
}
