//! Multi-token prediction, depth 1 (DeepSeek-V3, arXiv 2412.19437, eq. 21-25): one more block that sees the
//! trunk's state at t and the token at t + 1, and predicts the token at t + 2.

use crate::block::Block;
use crate::config::Config;
use crate::init::Initializer;
use crate::layers::{Linear, RmsNorm};
use crate::moe::LayerRouting;
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, Segments};

/// The module's parts, named as in DeepSeek's checkpoints; embedding and output head are the trunk's.
#[derive(Module, Debug)]
pub(crate) struct MultiTokenPrediction {
    pub(crate) enorm: RmsNorm,
    pub(crate) hnorm: RmsNorm,
    pub(crate) eh_proj: Linear,
    pub(crate) block: Block,
    pub(crate) shared_head: SharedHead,
}

#[derive(Module, Debug)]
pub(crate) struct SharedHead {
    pub(crate) norm: RmsNorm,
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

    /// # Shapes
    /// - `hidden`: `[B * T, D]`, the trunk's normed states; `next`: `[B * T, D]`, embeddings of the next tokens
    /// - result: `[B * T, D]`, normed for the output head
    pub(crate) fn forward(
        &self,
        hidden: Tensor<2>,
        next: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
    ) -> (Tensor<2>, Option<LayerRouting>) {
        let joined = Tensor::cat(vec![self.enorm.forward(next), self.hnorm.forward(hidden)], 1);
        let (x, routing) = self.block.forward(self.eh_proj.forward(joined), angles, segments, None);
        (self.shared_head.norm.forward(x), routing)
    }
}
