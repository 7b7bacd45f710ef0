//! One decoder block: attention and feed-forward layer, each behind a norm, each added to the residual stream.

use crate::attention::{Context, SelfAttention};
use crate::config::Config;
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
    pub(crate) input_layernorm: RmsNorm,
    pub(crate) self_attn: SelfAttention<L>,
    pub(crate) post_attention_layernorm: RmsNorm,
    pub(crate) mlp: FeedForward<L>,
    /// Factor on what each half adds.
    pub(crate) residual: f64,
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
        let normed = dtype.operand(self.input_layernorm.forward(x.clone()));
        let x = x + scaled(self.self_attn.forward(normed, angles, context), self.residual);
        let normed = self.post_attention_layernorm.forward(x.clone());
        match &self.mlp {
            FeedForward::Dense(mlp) => (x + scaled(mlp.forward(dtype.operand(normed)), self.residual), None),
            FeedForward::Moe(moe) => {
                let (out, routing) = moe.forward(normed, replay, dtype);
                (x + scaled(out, self.residual), Some(routing))
            }
        }
    }
}

impl Block {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, layer: usize) -> Self {
        let width = config.hidden_size;
        let input_layernorm = RmsNorm::init(init, width, config.rms_norm_eps);
        let self_attn = SelfAttention::init(init, config, layer);
        let post_attention_layernorm = RmsNorm::init(init, width, config.rms_norm_eps);
        let mlp = match config.moe {
            Some(moe) if config.is_moe(layer) => FeedForward::Moe(MixtureOfExperts::init(init, width, moe)),
            _ => {
                let bias = if config.mlp_bias { MlpBias::All } else { MlpBias::None };
                FeedForward::Dense(Mlp::init(init, width, config.intermediate_size, bias))
            }
        };
        let residual = config.multipliers.residual;
        Self { input_layernorm, self_attn, post_attention_layernorm, mlp, residual }
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
