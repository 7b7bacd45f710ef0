//! One block with prepared weights, in the two ways that a rollout runs it.

use super::gqa::GroupedQuery;
use super::layers::{Mlp, RmsNorm};
use super::mla::Latent;
use super::moe::MixtureOfExperts;
use crate::attention::SelfAttention;
use crate::block;
use crate::cache::LayerCache;
use crate::moe::LayerRouting;
use burn::tensor::Tensor;
use ruminate_kernels::{Angles, Precision, Segments, VisibleColumns};

#[derive(Clone, Debug)]
pub(super) struct Block {
    input_norm: RmsNorm,
    attention: Attention,
    post_attention_norm: RmsNorm,
    feed_forward: FeedForward,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, one a block")]
enum Attention {
    Latent(Latent),
    GroupedQuery(GroupedQuery),
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, one a block")]
enum FeedForward {
    Dense(Mlp),
    Moe(MixtureOfExperts),
}

impl Block {
    pub(super) fn new(block: &block::Block, precision: Precision) -> Self {
        Self {
            input_norm: RmsNorm::new(&block.input_layernorm),
            attention: match &block.self_attn {
                SelfAttention::Latent(latent) => Attention::Latent(Latent::new(latent, precision)),
                SelfAttention::GroupedQuery(grouped) => {
                    Attention::GroupedQuery(GroupedQuery::new(grouped, precision))
                }
            },
            post_attention_norm: RmsNorm::new(&block.post_attention_layernorm),
            feed_forward: match &block.mlp {
                block::FeedForward::Dense(mlp) => FeedForward::Dense(Mlp::new(mlp, precision)),
                block::FeedForward::Moe(moe) => FeedForward::Moe(MixtureOfExperts::new(moe, precision)),
            },
        }
    }

    /// The last `Tq` of the `T` places of each row, where `past` holds what the layer keeps of those before them.
    ///
    /// # Shapes
    /// - `x`: `[B * Tq, D]`, result: `[B * Tq, D]`
    pub(super) fn prefill(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
        past: Option<LayerCache>,
    ) -> (Tensor<2>, LayerCache, Option<LayerRouting>) {
        let normed = self.input_norm.forward(x.clone());
        let (attended, kept) = match &self.attention {
            Attention::Latent(latent) => latent.prefill(normed, angles, segments, past),
            Attention::GroupedQuery(grouped) => grouped.prefill(normed, angles, segments, past),
        };
        let (x, routing) = self.feed_forward(x + attended);
        (x, kept, routing)
    }

    /// Attention of W new tokens a slot over the cache, which takes them up one after the other.
    ///
    /// # Shapes
    /// - `x`: `[W * S, D]`, all first tokens before all second ones; result: `[W * S, D]`
    pub(super) fn decode(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        latest: &[VisibleColumns],
        cache: &mut LayerCache,
    ) -> (Tensor<2>, Option<LayerRouting>) {
        let normed = self.input_norm.forward(x.clone());
        let attended = match &self.attention {
            Attention::Latent(latent) => latent.decode(normed, angles, latest, cache),
            Attention::GroupedQuery(grouped) => grouped.decode(normed, angles, latest, cache),
        };
        self.feed_forward(x + attended)
    }

    fn feed_forward(&self, x: Tensor<2>) -> (Tensor<2>, Option<LayerRouting>) {
        let normed = self.post_attention_norm.forward(x.clone());
        match &self.feed_forward {
            FeedForward::Dense(mlp) => (x + mlp.forward(normed), None),
            FeedForward::Moe(moe) => {
                let (out, routing) = moe.forward(normed);
                (x + out, Some(routing))
            }
        }
    }
}
