//! The decoder as rollouts run it: weights packed once for many steps, maps that share their input made one, adapters
//! merged. It computes what [`Decoder::forward`] does, against a [`Cache`], and never learns.

// B batch, T tokens, S slots, D hidden, V vocabulary

mod block;
mod gqa;
mod layers;
mod mla;
mod moe;

use crate::batch::Batch;
use crate::cache::{Cache, LayerCache};
use crate::config::Config;
use crate::decoder::{Decoder, Output};
use crate::layers::angles;
use block::Block;
use burn::tensor::{Device, Int, Tensor};
use layers::RmsNorm;
use ruminate_kernels::{Angles, Latest, Precision, PreparedWeight};

/// A decoder's weights at one moment, for prefill and decoding.
///
/// On a CPU linear maps are packed copies, in the chosen precision; embedding, norms, router and whatever else is small
/// stay as they are, shared with the decoder.
#[derive(Clone, Debug)]
pub struct PreparedDecoder {
    embed_tokens: Tensor<2>,
    layers: Vec<Block>,
    norm: RmsNorm,
    head: PreparedWeight,
    config: Config,
}

/// One new token for each slot of a cache.
#[derive(Clone, Copy, Debug)]
pub struct DecodeStep<'a> {
    /// `[S]` token ids.
    pub tokens: &'a [u32],
    /// `[S]` positions in each slot's sequence. A slot at position p sees the `p + 1` latest columns, this step's
    /// included.
    pub positions: &'a [u32],
    /// The ring's column that all slots write.
    pub column: usize,
}

impl PreparedDecoder {
    /// Packs the weights of `decoder`. Later changes of the decoder do not reach it.
    pub fn new(decoder: &Decoder, precision: Precision) -> Self {
        Self {
            embed_tokens: decoder.embed_tokens.weight.val().inner(),
            layers: decoder.layers.iter().map(|block| Block::new(block, precision)).collect(),
            norm: RmsNorm::new(&decoder.norm),
            head: PreparedWeight::new(decoder.head().inner(), precision),
            config: decoder.config().clone(),
        }
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// Hidden states of packed rows, and what each layer's cache would keep of them (`[B, T, ...]`).
    pub fn prefill(&self, batch: &Batch) -> (Output, Vec<LayerCache>) {
        let angles = self.angles(&batch.positions);
        let segments = batch.visible();
        let mut x = self.embed(&batch.tokens);
        let (mut kept, mut routing) = (Vec::with_capacity(self.layers.len()), Vec::new());
        for block in &self.layers {
            let (out, layer, chosen) = block.prefill(x, &angles, &segments);
            x = out;
            kept.push(layer);
            routing.extend(chosen);
        }
        (Output { hidden: self.norm.forward(x), routing }, kept)
    }

    /// One step of cached decoding; the cache takes the new tokens up.
    pub fn decode(&self, step: DecodeStep, cache: &mut Cache) -> Output {
        let angles = self.angles(step.positions);
        let latest = Latest::new(step.positions.iter().map(|&position| position as usize + 1), step.column);
        let mut x = self.embed(step.tokens);
        let mut routing = Vec::new();
        for (block, layer) in self.layers.iter().zip(&mut cache.layers) {
            let (out, chosen) = block.decode(x, &angles, &latest, layer, step.column);
            x = out;
            routing.extend(chosen);
        }
        Output { hidden: self.norm.forward(x), routing }
    }

    /// # Shapes
    /// - `hidden`: `[N, D]`, result: `[N, V]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.times(hidden)
    }

    fn embed(&self, tokens: &[u32]) -> Tensor<2> {
        let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.device());
        self.embed_tokens.clone().select(0, ids)
    }

    fn angles(&self, positions: &[u32]) -> Angles {
        angles(&self.config.rope, self.config.rotary_width(), positions)
    }
}
