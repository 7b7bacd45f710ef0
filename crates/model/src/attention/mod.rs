//! Self-attention of a block. The kind is decided once, at construction.

mod gqa;
mod mla;

use crate::cache::LayerCache;
use crate::config::{self, Config};
use crate::init::Initializer;
use crate::layers::Linear;
use burn::module::Module;
use burn::tensor::Tensor;
use gqa::GroupedQuery;
use mla::Latent;
use rand::Rng;
use ruminate_kernels::{Angles, Latest, Segments};

/// Latent or grouped-query attention.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, each in a Vec of blocks")]
pub(crate) enum SelfAttention {
    Latent(Latent),
    GroupedQuery(GroupedQuery),
}

impl SelfAttention {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config) -> Self {
        match config.attention {
            config::Attention::Mla(mla) => Self::Latent(Latent::init(init, config, mla)),
            config::Attention::Gqa(gqa) => Self::GroupedQuery(GroupedQuery::init(init, config, gqa)),
        }
    }

    /// Attention within packed rows, and what a cache would keep of them.
    ///
    /// # Shapes
    /// - `x`: `[B * T, D]`, result: `[B * T, D]`
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
    ) -> (Tensor<2>, LayerCache) {
        match self {
            Self::Latent(latent) => latent.forward(x, angles, segments),
            Self::GroupedQuery(grouped) => grouped.forward(x, angles, segments),
        }
    }

    /// Attention of one new token a slot over the cache, which first takes the token up at `column`.
    ///
    /// # Shapes
    /// - `x`: `[S, D]`, result: `[S, D]`
    pub(crate) fn decode(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        latest: &Latest,
        cache: &mut LayerCache,
        column: usize,
    ) -> Tensor<2> {
        match self {
            Self::Latent(latent) => latent.decode(x, angles, latest, cache, column),
            Self::GroupedQuery(grouped) => grouped.decode(x, angles, latest, cache, column),
        }
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        match self {
            Self::Latent(latent) => latent.linears(),
            Self::GroupedQuery(grouped) => grouped.linears(),
        }
    }
}
