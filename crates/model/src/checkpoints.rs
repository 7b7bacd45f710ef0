//! Layer-wise activation checkpointing (Chen et al., arXiv 1604.06174): the forward pass keeps the states between blocks
//! and nothing of what happens inside; the backward computes one block again at a time, with the experts that it chose.
//! Values are those of the forward pass that keeps everything, to the bit; gradients, but for the order of sums.

// N places, D hidden, E experts

use crate::batch::Batch;
use crate::decoder::{Decoder, Output};
use crate::layers::angles;
use crate::moe::{LayerRouting, Routes};
use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use ruminate_kernels::{Angles, Segments};

/// What a forward pass left for its backward.
#[derive(Debug)]
pub struct Checkpoints {
    tokens: Vec<u32>,
    angles: Angles,
    segments: Segments,
    layers: Vec<Layer>,
    /// `[N, D]`: the state after the last block, where the graph of the loss ends.
    last: Tensor<2>,
}

/// What a block began with, and what its router did.
#[derive(Debug)]
struct Layer {
    /// `[N, D]`, untracked.
    input: Tensor<2>,
    /// Its scores are where the graph of the loss ends.
    routing: Option<LayerRouting>,
}

impl Decoder {
    /// [`Decoder::forward`] without a graph inside the blocks: the gradients of a loss of its output go on with
    /// [`Checkpoints::backward`]. For a decoder that is tracked.
    pub fn forward_checkpointed(&self, batch: &Batch, routes: Routes) -> (Output, Checkpoints) {
        let (angles, segments) = (angles(self.config(), &batch.positions), batch.visible());
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut routing: Vec<LayerRouting> = Vec::new();
        let mut x = self.embed_tokens.forward(&batch.tokens).inner();
        for (layer, block) in self.layers.iter().enumerate() {
            let replay = routes.of_layer(routing.len()).filter(|_| self.config().is_moe(layer));
            let (out, chosen) = block.valid().forward(x.clone(), &angles, self.rows(&segments), replay);
            let chosen = chosen.map(|LayerRouting { experts, scores }| {
                let scores = Tensor::from_inner(scores).require_grad();
                LayerRouting { experts, scores }
            });
            routing.extend(chosen.clone());
            layers.push(Layer { input: x, routing: chosen });
            x = out;
        }
        let last = Tensor::from_inner(x).require_grad();
        let output = Output { hidden: self.config().for_head(self.norm.forward(last.clone())), routing };
        (output, Checkpoints { tokens: batch.tokens.clone(), angles, segments, layers, last })
    }
}

impl Checkpoints {
    /// Takes the gradients of a loss of the output through the blocks. `collect` gets those of the loss itself first, then
    /// those of each block from the last to the first, then the embedding's; it takes out the parameters', whose names
    /// may come twice (a tied embedding).
    pub fn backward(self, decoder: &Decoder, loss: &Tensor<1>, mut collect: impl FnMut(&mut Gradients)) {
        let mut gradients = loss.backward();
        collect(&mut gradients);
        let Some(mut upstream) = self.last.grad_remove(&mut gradients) else { return };
        for (block, Layer { input, routing }) in decoder.layers.iter().zip(self.layers).rev() {
            let input = Tensor::from_inner(input).require_grad();
            let replay = routing.as_ref().map(|routing| routing.experts.as_slice());
            let (out, again) =
                block.forward(input.clone(), &self.angles, decoder.rows(&self.segments), replay);
            let mut objective = along(out, upstream);
            if let (Some(routing), Some(again)) = (&routing, again)
                && let Some(of_scores) = routing.scores.grad_remove(&mut gradients)
            {
                objective = objective + along(again.scores, of_scores);
            }
            let mut inside = objective.backward();
            drop(objective);
            collect(&mut inside);
            let Some(next) = input.grad_remove(&mut inside) else { return };
            upstream = next;
        }
        if !decoder.embed_tokens.weight.is_require_grad() {
            return; // under adapters
        }
        let embedded = decoder.embed_tokens.forward(&self.tokens);
        collect(&mut along(embedded, upstream).backward());
    }
}

/// A number whose gradient with respect to `out` is `gradient`, to the bit.
fn along(out: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    (out * Tensor::from_inner(gradient)).sum()
}
