//! Self-attention of a block. The kind is decided once, at construction.

mod gqa;
mod mla;

use crate::config::{self, Config};
use crate::init::Initializer;
use crate::layers::Linear;
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, Segments};

pub(crate) use gqa::GroupedQuery;
pub(crate) use mla::{Latent, Query};

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

    /// Attention within packed rows.
    ///
    /// # Shapes
    /// - `x`: `[B * T, D]`, result: `[B * T, D]`
    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, segments: &Segments) -> Tensor<2> {
        match self {
            Self::Latent(latent) => latent.forward(x, angles, segments),
            Self::GroupedQuery(grouped) => grouped.forward(x, angles, segments),
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
