//! One decoder block: attention and feed-forward layer, each with a norm before or behind it, each added to the residual
//! stream.

use crate::attention::{Context, SelfAttention};
use crate::config::{Config, NormPlace};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, Mlp, MlpBias, RmsNorm, scaled};
use crate::moe::{LayerRouting, MixtureOfExperts};
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::Angles;

/// Dense or a mixture of experts, decided at construction.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, each in a Vec of blocks")]
pub(crate) enum FeedForward<L: LinearMap = Linear> {
    Dense(Mlp<L>),
    Moe(MixtureOfExperts<L>),
}

/// A block whose linear maps are of one form: `Block` learns and scores, `Block<PackedLinear>` runs rollouts.
#[derive(Module, Debug)]
pub(crate) struct Block<L: LinearMap = Linear> {
    pub(crate) norms: Norms,
    pub(crate) self_attn: SelfAttention<L>,
    pub(crate) mlp: FeedForward<L>,
    /// Factor on what each half adds.
    pub(crate) residual: f64,
}

/// The norms of a block.
#[derive(Module, Debug)]
pub(crate) enum Norms {
    Before(NormsBefore),
    After(NormsAfter),
}

/// Norms of what attention and the feed-forward layer read.
#[derive(Module, Debug)]
pub(crate) struct NormsBefore {
    pub(crate) input_layernorm: RmsNorm,
    /// Of what attention is added to; its name is Llama's.
    pub(crate) post_attention_layernorm: RmsNorm,
}

/// Norms of what attention and the feed-forward layer add.
#[derive(Module, Debug)]
pub(crate) struct NormsAfter {
    pub(crate) post_attention_layernorm: RmsNorm,
    pub(crate) post_feedforward_layernorm: RmsNorm,
}

impl Norms {
    fn init<R: Rng>(init: &mut Initializer<R>, config: &Config) -> Self {
        let mut norm = || RmsNorm::init(init, config.hidden_size, config.rms_norm_eps);
        match config.norms {
            NormPlace::Before => {
                Self::Before(NormsBefore { input_layernorm: norm(), post_attention_layernorm: norm() })
            }
            NormPlace::After => Self::After(NormsAfter {
                post_attention_layernorm: norm(),
                post_feedforward_layernorm: norm(),
            }),
        }
    }

    fn attention_input(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Before(norms) => norms.input_layernorm.forward(x),
            Self::After(_) => x,
        }
    }

    fn attention_output(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Before(_) => x,
            Self::After(norms) => norms.post_attention_layernorm.forward(x),
        }
    }

    fn feed_forward_input(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Before(norms) => norms.post_attention_layernorm.forward(x),
            Self::After(_) => x,
        }
    }

    fn feed_forward_output(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Before(_) => x,
            Self::After(norms) => norms.post_feedforward_layernorm.forward(x),
        }
    }
}

impl<L: LinearMap> Block<L> {
    /// # Shapes
    /// - `x`: `[N, D]`, the new tokens of `context`; result: `[N, D]`
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        context: Context,
        replay: Option<&[u16]>,
    ) -> (Tensor<2>, Option<LayerRouting>) {
        let dtype = context.dtype();
        let read = dtype.operand(self.norms.attention_input(x.clone()));
        let added = self.norms.attention_output(self.self_attn.forward(read, angles, context));
        let x = x + scaled(added, self.residual);
        let read = self.norms.feed_forward_input(x.clone());
        let (added, routing) = match &self.mlp {
            FeedForward::Dense(mlp) => (mlp.forward(dtype.operand(read)), None),
            FeedForward::Moe(moe) => {
                let (out, routing) = moe.forward(read, replay, dtype);
                (out, Some(routing))
            }
        };
        (x + scaled(self.norms.feed_forward_output(added), self.residual), routing)
    }
}

impl Block {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, layer: usize) -> Self {
        let width = config.hidden_size;
        let norms = Norms::init(init, config);
        let self_attn = SelfAttention::init(init, config, layer);
        let mlp = match config.moe {
            Some(moe) if config.is_moe(layer) => FeedForward::Moe(MixtureOfExperts::init(init, width, moe)),
            _ => {
                let bias = if config.mlp_bias { MlpBias::All } else { MlpBias::None };
                FeedForward::Dense(Mlp::init(init, width, config.intermediate_size, bias, config.maps))
            }
        };
        let residual = config.multipliers.residual;
        Self { norms, self_attn, mlp, residual }
    }

    /// The linear maps that can be adapted, by name: those of attention, and of the feed-forward layer where the model
    /// is dense (`crate::lora` says why).
    pub(crate) fn adaptable(&mut self, dense: bool) -> Vec<(String, &mut Linear)> {
        let attention =
            self.self_attn.linears().into_iter().map(|(name, linear)| ("self_attn", name, linear));
        let feed_forward = match &mut self.mlp {
            FeedForward::Dense(mlp) if dense => mlp.linears(),
            FeedForward::Dense(_) | FeedForward::Moe(_) => Vec::new(),
        };
        let feed_forward = feed_forward.into_iter().map(|(name, linear)| ("mlp", name, linear));
        attention.chain(feed_forward).map(|(part, name, linear)| (format!("{part}.{name}"), linear)).collect()
    }
}
