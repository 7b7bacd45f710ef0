//! What operations on the logits of an output head share: a chunk of tokens at a time, so that the logits of a whole batch are
//! never in memory at once, and one node of the graph. What is asked of the logits is each operation's own.

mod autodiff;
mod chunks;

pub(crate) use autodiff::{Asked, fused};
pub(crate) use chunks::{Chunks, Learning};

/// How the logits are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) temperature: f64,
    /// Tokens whose logits are in memory together.
    pub(crate) tokens_at_once: usize,
}

impl Plan {
    /// As many tokens as have 64 MiB of logits in f32; at least 64, below which products of matrices become slow.
    pub(crate) fn new(temperature: f64, vocabulary: usize) -> Self {
        Self { temperature, tokens_at_once: ((1 << 24) / vocabulary.max(1)).max(64) }
    }
}
