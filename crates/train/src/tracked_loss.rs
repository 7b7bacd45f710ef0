//! A loss on its way to the parameters: how much of the forward pass is kept for it, and the forward pass of either kind.

use crate::Config;
use burn::tensor::Tensor;
use ruminate_model::{Batch, Checkpoints, Decoder, Output, Routes};

/// A microbatch's share of a step's loss.
#[derive(Debug)]
pub struct Objective {
    /// `[1]`, with its graph.
    pub loss: Tensor<1>,
    /// Where that graph ends, if the forward pass kept only the states between blocks.
    pub checkpoints: Option<Checkpoints>,
}

impl From<Tensor<1>> for Objective {
    fn from(loss: Tensor<1>) -> Self {
        Self { loss, checkpoints: None }
    }
}

impl Config {
    /// The forward pass of training, with checkpoints where `gradient_checkpointing` asks for them; they belong into the
    /// [`Objective`] of the loss.
    pub fn forward(&self, policy: &Decoder, batch: &Batch, routes: Routes) -> (Output, Option<Checkpoints>) {
        if self.gradient_checkpointing {
            let (output, checkpoints) = policy.forward_checkpointed(batch, routes);
            (output, Some(checkpoints))
        } else {
            (policy.forward(batch, routes), None)
        }
    }
}
