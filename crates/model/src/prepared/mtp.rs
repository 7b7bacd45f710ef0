//! The multi-token prediction module with prepared weights, as a rollout drafts with it: its block has a cache of its own.

// B batch, T tokens, S slots, W tokens a slot, D hidden

use super::block::Block;
use super::layers::{Linear, RmsNorm};
use crate::cache::LayerCache;
use crate::mtp::MultiTokenPrediction;
use burn::tensor::Tensor;
use ruminate_kernels::{Angles, Precision, Segments, VisibleColumns};

#[derive(Clone, Debug)]
pub(super) struct Mtp {
    enorm: RmsNorm,
    hnorm: RmsNorm,
    eh_proj: Linear,
    block: Block,
    norm: RmsNorm,
}

impl Mtp {
    pub(super) fn new(mtp: &MultiTokenPrediction, precision: Precision) -> Self {
        Self {
            enorm: RmsNorm::new(&mtp.enorm),
            hnorm: RmsNorm::new(&mtp.hnorm),
            eh_proj: Linear::new(&mtp.eh_proj, precision),
            block: Block::new(&mtp.block, precision),
            norm: RmsNorm::new(&mtp.shared_head.norm),
        }
    }

    /// What its cache keeps of places whose states are not asked for.
    ///
    /// # Shapes
    /// - `hidden`: `[B * T, D]`, the trunk's normed states; `next`: `[B * T, D]`, embeddings of the next tokens
    pub(super) fn prefill(
        &self,
        hidden: Tensor<2>,
        next: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
        past: Option<LayerCache>,
    ) -> LayerCache {
        let (_, kept, _) = self.block.prefill(self.joined(hidden, next), angles, segments, past);
        kept
    }

    /// # Shapes
    /// - `hidden`, `next`: `[W * S, D]` as above; result: `[W * S, D]`, normed for the output head
    pub(super) fn decode(
        &self,
        hidden: Tensor<2>,
        next: Tensor<2>,
        angles: &Angles,
        latest: &[VisibleColumns],
        cache: &mut LayerCache,
    ) -> Tensor<2> {
        let (x, _) = self.block.decode(self.joined(hidden, next), angles, latest, cache);
        self.norm.forward(x)
    }

    fn joined(&self, hidden: Tensor<2>, next: Tensor<2>) -> Tensor<2> {
        self.eh_proj.forward(Tensor::cat(vec![self.enorm.forward(next), self.hnorm.forward(hidden)], 1))
    }
}
