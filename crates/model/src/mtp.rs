//! Multi-token prediction, depth 1 (DeepSeek-V3, arXiv 2412.19437, eq. 21-25): one more block that sees the
//! trunk's state at t and the token at t + 1, and predicts the token at t + 2.

use crate::attention::Context;
use crate::block::Block;
use crate::config::Config;
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, RmsNorm};
use crate::moe::LayerRouting;
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::Angles;

/// The module's parts, named as in DeepSeek's checkpoints; embedding and output head are the trunk's.
#[derive(Module, Debug)]
pub(crate) struct MultiTokenPrediction<L: LinearMap = Linear> {
    pub(crate) enorm: RmsNorm,
    pub(crate) hnorm: RmsNorm,
    pub(crate) eh_proj: L,
    pub(crate) block: Block<L>,
    pub(crate) shared_head: SharedHead,
}

#[derive(Module, Debug)]
pub(crate) struct SharedHead {
    pub(crate) norm: RmsNorm,
}

impl<L: LinearMap> MultiTokenPrediction<L> {
    /// # Shapes
    /// - `hidden`: `[N, D]`, the trunk's normed states; `next`: `[N, D]`, embeddings of the next tokens
    /// - result: `[N, D]`, normed for the output head
    pub(crate) fn forward(
        &self,
        hidden: Tensor<2>,
        next: Tensor<2>,
        angles: &Angles,
        context: Context,
    ) -> (Tensor<2>, Option<LayerRouting>) {
        let joined = Tensor::cat(vec![self.enorm.forward(next), self.hnorm.forward(hidden)], 1);
        let joined = context.dtype().operand(joined);
        let (x, routing) = self.block.forward(self.eh_proj.forward(joined), angles, context, None);
        (self.shared_head.norm.forward(x), routing)
    }
}

impl MultiTokenPrediction {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config) -> Self {
        let width = config.hidden_size;
        Self {
            enorm: RmsNorm::init(init, width, config.rms_norm_eps),
            hnorm: RmsNorm::init(init, width, config.rms_norm_eps),
            eh_proj: Linear::init(init, 2 * width, width),
            // A mixture wherever the model has one, also where `first_k_dense_replace` exceeds the trunk.
            block: Block::init(init, config, usize::MAX),
            shared_head: SharedHead { norm: RmsNorm::init(init, width, config.rms_norm_eps) },
        }
    }
}
