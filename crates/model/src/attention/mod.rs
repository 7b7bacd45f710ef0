//! Self-attention of a block. The kind is decided once, at construction.

mod gqa;
mod mla;

use crate::cache::LayerCache;
use crate::config::{self, Config};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap};
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, ComputeDtype, Segments, VisibleColumns};

pub(crate) use gqa::{GroupedQuery, HeadLinears, QueryKeyValue, split_heads};
pub(crate) use mla::{Absorbed, DirectQuery, Latent, LatentUp, LowRankQuery, Query};

/// What new tokens attend over, and where their own keys and values go.
pub(crate) enum Context<'a> {
    /// Whole rows, of which nothing is kept: how a decoder learns and scores.
    Rows {
        segments: &'a Segments,
        /// Of the products of linear maps.
        dtype: ComputeDtype,
    },
    /// The last `Tq` of the `T` tokens of each row.
    Prompt {
        /// Of all `T` tokens.
        segments: &'a Segments,
        /// What the layer keeps of the tokens before them; afterwards, of all.
        kept: &'a mut Option<LayerCache>,
    },
    /// W new tokens per slot of a cache, which takes them up one after the other.
    Ring {
        /// What the first token of each slot sees, what the second does, ...
        latest: &'a [VisibleColumns],
        cache: &'a mut LayerCache,
    },
}

impl Context<'_> {
    /// That of the products of linear maps. Packed weights have a precision of their own, to which they round what they
    /// multiply.
    pub(crate) fn dtype(&self) -> ComputeDtype {
        match self {
            Self::Rows { dtype, .. } => *dtype,
            Self::Prompt { .. } | Self::Ring { .. } => ComputeDtype::F32,
        }
    }

    /// Rows and tokens per row of so many new tokens; in a ring each token is a row of its own.
    fn shape(&self, tokens: usize) -> [usize; 2] {
        match self {
            Self::Rows { segments, .. } => segments.shape(),
            Self::Prompt { segments, .. } => {
                let [batch, _] = segments.shape();
                [batch, tokens / batch]
            }
            Self::Ring { .. } => [tokens, 1],
        }
    }
}

/// Latent or grouped-query attention.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, each in a Vec of blocks")]
pub(crate) enum SelfAttention<L: LinearMap = Linear> {
    Latent(Latent<L>),
    GroupedQuery(GroupedQuery<L>),
}

impl<L: LinearMap> SelfAttention<L> {
    /// # Shapes
    /// - `x`: `[B * T, D]`, in a ring `[W * S, D]` with all first tokens before all second ones, an operand of the
    ///   context's dtype; result: that of `x`
    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, context: Context) -> Tensor<2> {
        match self {
            Self::Latent(latent) => latent.forward(x, angles, context),
            Self::GroupedQuery(grouped) => grouped.forward(x, angles, context),
        }
    }
}

impl SelfAttention {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, layer: usize) -> Self {
        match config.attention {
            config::Attention::Mla(mla) => Self::Latent(Latent::init(init, config, mla)),
            config::Attention::Gqa(gqa) => Self::GroupedQuery(GroupedQuery::init(init, config, gqa, layer)),
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
