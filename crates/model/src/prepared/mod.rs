//! The decoder as rollouts run it: weights packed once for many steps, maps that share their input made one, adapters
//! merged. It computes what [`Decoder::forward`] does, against a [`Cache`], and never learns.

// B batch, T tokens, S slots, W tokens a slot, D hidden, V vocabulary

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
use ruminate_kernels::{Angles, Latest, Precision, PreparedWeight, Segments};
use std::mem;

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

/// New tokens for each slot of a cache, W in a row.
#[derive(Clone, Copy, Debug)]
pub struct DecodeStep<'a> {
    /// `[W * S]` token ids: the first one of each slot, then the second ones, ...
    pub tokens: &'a [u32],
    /// `[S]` position of each slot's first token. A token at position p sees the `p + 1` latest columns, its own included.
    pub positions: &'a [u32],
    /// `[S]` column of the ring that takes each slot's first token up; the others follow.
    pub columns: &'a [usize],
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

    /// An empty cache for this decoder.
    pub fn cache(&self, slots: usize, columns: usize) -> Cache {
        Cache::new(&self.config, self.layers.len(), slots, columns, &self.device())
    }

    /// Hidden states of packed rows, and what each layer's cache would keep of them (`[B, T, ...]`).
    pub fn prefill(&self, batch: &Batch) -> (Output, Vec<LayerCache>) {
        let mut kept = Vec::new();
        let output = self.extend(&batch.tokens, &batch.positions, &batch.visible(), &mut kept);
        (output, kept)
    }

    /// Hidden states of the next tokens of a prompt, of whose earlier ones `kept` holds what [`prefill`](Self::prefill) gives: at
    /// first nothing, and in the end what the whole prompt leaves. Log-probabilities are those of the prompt in one piece.
    pub fn prefill_piece(&self, tokens: &[u32], kept: &mut Vec<LayerCache>) -> Output {
        let before = kept.first().map_or(0, LayerCache::columns);
        let end = before + tokens.len();
        let positions: Vec<u32> = (before as u32..end as u32).collect();
        self.extend(tokens, &positions, &Segments::new(&vec![1; end], [1, end]), kept)
    }

    /// `segments` are of all places, those in `kept` and those of `tokens`.
    fn extend(
        &self,
        tokens: &[u32],
        positions: &[u32],
        segments: &Segments,
        kept: &mut Vec<LayerCache>,
    ) -> Output {
        let angles = self.angles(positions);
        let mut x = self.embed(tokens);
        let (mut past, mut routing) = (mem::take(kept).into_iter(), Vec::new());
        for block in &self.layers {
            let (out, layer, chosen) = block.prefill(x, &angles, segments, past.next());
            x = out;
            kept.push(layer);
            routing.extend(chosen);
        }
        Output { hidden: self.norm.forward(x), routing }
    }

    /// One step of cached decoding; the cache takes the new tokens up.
    ///
    /// # Shapes
    /// - hidden states: `[W * S, D]`, in the order of the tokens
    pub fn decode(&self, step: DecodeStep, cache: &mut Cache) -> Output {
        let (angles, latest) = self.places(step, cache.columns());
        let mut x = self.embed(step.tokens);
        let mut routing = Vec::new();
        for (block, layer) in self.layers.iter().zip(&mut cache.layers) {
            let (out, chosen) = block.decode(x, &angles, &latest, layer);
            x = out;
            routing.extend(chosen);
        }
        Output { hidden: self.norm.forward(x), routing }
    }

    /// Where a step's tokens stand: their angles, and what the first token of each slot sees, what the second does, ...
    fn places(&self, step: DecodeStep, columns: usize) -> (Angles, Vec<Latest>) {
        let DecodeStep { tokens, positions, columns: written } = step;
        let each = 0..tokens.len() / positions.len().max(1);
        let of_token = |token: usize| positions.iter().map(move |&position| position + token as u32);
        let all: Vec<u32> = each.clone().flat_map(of_token).collect();
        let latest = each.map(|token| {
            let seen = of_token(token).map(|position| position as usize + 1);
            Latest::new(seen.zip(written.iter().map(|&column| (column + token) % columns)))
        });
        (self.angles(&all), latest.collect())
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
