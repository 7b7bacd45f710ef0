//! How operations on the logits of an output head make them: a block at a time, so that the logits of a whole batch are
//! never in memory at once. What is computed from the logits is each operation's own.

/// The shape of a block of logits, tokens by ids: products of it are fast, and a cache has room for its 3 MiB.
const BLOCK: [usize; 2] = [1024, 768];

/// Logits that operations on an output head have in memory at once, in numbers, where their fused form runs.
pub const LOGITS_AT_ONCE: usize = BLOCK[0] * BLOCK[1];

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
    /// For the fused form, [`BLOCK`] by block.
    pub(crate) fn blocks(temperature: f64) -> Self {
        let [tokens_at_once, ids_at_once] = BLOCK;
        Self { temperature, tokens_at_once, ids_at_once }
    }

    /// For a composition, which takes the whole vocabulary at once: as many tokens as have 64 MiB of logits in f32;
    /// at least 64, below which products of matrices become slow.
    pub(crate) fn rows(temperature: f64, vocabulary: usize) -> Self {
        let tokens_at_once = ((1 << 24) / vocabulary.max(1)).max(64);
        Self { temperature, tokens_at_once, ids_at_once: vocabulary }
    }
}
