//! The decoder as rollouts run it: the blocks of [`Decoder`] with weights packed once for many steps, maps that share
//! their input made one, adapters merged. It computes what [`Decoder::forward`] does, against a [`Cache`], and never learns.

// B batch, T tokens, S slots, W tokens per slot, D hidden, V vocabulary

mod pack;
mod packed;

use crate::attention::Context;
use crate::batch::Batch;
use crate::block::Block;
use crate::cache::{Cache, LayerCache};
use crate::config::Config;
use crate::decoder::{Decoder, Embedding, Output};
use crate::layers::{RmsNorm, angles};
use crate::mtp::MultiTokenPrediction;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use packed::PackedLinear;
use ruminate_kernels::{Angles, Precision, PreparedWeight, Segments, VisibleColumns};
use std::mem;

/// A decoder's weights at one moment, for prefill and decoding.
///
/// On a CPU linear maps are packed copies, in the chosen precision; embedding, norms, router and whatever else is small
/// stay as they are, shared with the decoder.
#[derive(Clone, Debug)]
pub struct PreparedDecoder {
    embed_tokens: Embedding,
    layers: Vec<Block<PackedLinear>>,
    norm: RmsNorm,
    head: PreparedWeight,
    /// Present where the decoder drafts.
    mtp: Option<MultiTokenPrediction<PackedLinear>>,
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
        Self::consume(decoder.clone(), precision)
    }

    /// The same of a decoder that is not needed any more: a weight is freed as soon as it is packed, so that one form of
    /// all weights is in memory, not two.
    pub fn consume(decoder: Decoder, precision: Precision) -> Self {
        // The largest weight first, while loading has left the most room.
        let (head, mut decoder) = decoder.split_head();
        let head = PreparedWeight::new(head.inner().cast(DType::F32), precision);
        let layers =
            mem::take(&mut decoder.layers).into_iter().map(|block| block.packed(precision)).collect();
        Self {
            embed_tokens: decoder.embed_tokens.valid(),
            layers,
            norm: decoder.norm.valid(),
            head,
            mtp: None,
            config: decoder.config().clone(),
        }
    }

    /// As [`new`](Self::new), with the multi-token prediction module for [`draft`](Self::draft). None where the model has no
    /// such module.
    pub fn drafting(decoder: &Decoder, precision: Precision) -> Option<Self> {
        let mtp = Some(decoder.mtp.as_ref()?.packed(precision));
        Some(Self { mtp, ..Self::new(decoder, precision) })
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.embed_tokens.weight.device()
    }

    /// An empty cache for this decoder, and for its module where it drafts.
    pub fn cache(&self, slots: usize, columns: usize) -> Cache {
        let layers = self.layers.len() + usize::from(self.mtp.is_some());
        Cache::new(&self.config, layers, slots, columns, &self.device())
    }

    /// Hidden states of packed rows, and what each layer's cache would keep of them (`[B, T, ...]`). Of a row's last place
    /// the module keeps what means nothing yet, since the next token is not known: [`draft`](Self::draft) computes it again.
    pub fn prefill(&self, batch: &Batch) -> (Output, Vec<LayerCache>) {
        let mut kept = Vec::new();
        let output = self.extend(&batch.tokens, 0, &batch.positions, &batch.visible(), &mut kept);
        (output, kept)
    }

    /// Hidden states of the next `count` tokens of a prompt, of whose earlier ones `kept` holds what
    /// [`prefill`](Self::prefill) gives: at first nothing, and in the end what the whole prompt leaves.
    pub fn prefill_piece(&self, prompt: &[u32], count: usize, kept: &mut Vec<LayerCache>) -> Output {
        let start = kept.first().map_or(0, LayerCache::columns);
        let end = start + count;
        let positions: Vec<u32> = (start as u32..end as u32).collect();
        let next = prompt.get(end).copied().unwrap_or(0);
        self.extend(&prompt[start..end], next, &positions, &Segments::new(&vec![1; end], [1, end]), kept)
    }

    /// `segments` are of all places, those in `kept` and those of `tokens`; `next` comes after these.
    fn extend(
        &self,
        tokens: &[u32],
        next: u32,
        positions: &[u32],
        segments: &Segments,
        kept: &mut Vec<LayerCache>,
    ) -> Output {
        let angles = angles(&self.config, positions);
        let mut x = self.embed_tokens.forward(tokens);
        let (mut past, mut routing) = (mem::take(kept).into_iter(), Vec::new());
        for block in &self.layers {
            let mut layer = past.next();
            let context = Context::Prompt { segments, kept: &mut layer };
            let (out, chosen) = block.forward(x, &angles, context, None);
            x = out;
            kept.extend(layer);
            routing.extend(chosen);
        }
        let hidden = self.config.for_head(self.norm.forward(x));
        if let Some(mtp) = &self.mtp {
            let next: Vec<u32> = tokens.iter().skip(1).copied().chain([next]).collect();
            let mut layer = past.next();
            let context = Context::Prompt { segments, kept: &mut layer };
            mtp.forward(hidden.clone(), self.embed_tokens.forward(&next), &angles, context);
            kept.extend(layer);
        }
        Output { hidden, routing }
    }

    /// One step of cached decoding; the cache takes the new tokens up.
    ///
    /// # Shapes
    /// - hidden states: `[W * S, D]`, in the order of the tokens
    pub fn decode(&self, step: DecodeStep, cache: &mut Cache) -> Output {
        let (angles, latest) = self.places(step, cache.columns());
        let mut x = self.embed_tokens.forward(step.tokens);
        let mut routing = Vec::new();
        for (block, layer) in self.layers.iter().zip(&mut cache.layers) {
            let context = Context::Ring { latest: &latest, cache: layer };
            let (out, chosen) = block.forward(x, &angles, context, None);
            x = out;
            routing.extend(chosen);
        }
        Output { hidden: self.config.for_head(self.norm.forward(x)), routing }
    }

    /// States of the multi-token prediction module, for the output head: what sees the trunk's state at a place and the next token
    /// predicts the token after that (DeepSeek-V3, arXiv 2412.19437, section 5.4.3). The module's cache takes the places up, or again.
    ///
    /// `step` has the *next* tokens, with the positions and the columns of the places before them.
    ///
    /// # Shapes
    /// - `hidden`: `[W * S, D]`, the trunk's, in the order of the tokens; result: `[W * S, D]`
    ///
    /// # Panics
    /// When the decoder was not made to draft.
    pub fn draft(&self, hidden: Tensor<2>, step: DecodeStep, cache: &mut Cache) -> Tensor<2> {
        let (angles, latest) = self.places(step, cache.columns());
        let mtp = self.mtp.as_ref().expect("made by `drafting`");
        let cache = cache.layers.last_mut().expect("the module's cache comes last");
        let context = Context::Ring { latest: &latest, cache };
        let (states, _) = mtp.forward(hidden, self.embed_tokens.forward(step.tokens), &angles, context);
        states
    }

    /// Where a step's tokens stand: their angles, and what the first token of each slot sees, what the second does, ...
    fn places(&self, step: DecodeStep, columns: usize) -> (Angles, Vec<VisibleColumns>) {
        let DecodeStep { tokens, positions, columns: written } = step;
        let each = 0..tokens.len() / positions.len().max(1);
        let of_token = |token: usize| positions.iter().map(move |&position| position + token as u32);
        let all: Vec<u32> = each.clone().flat_map(of_token).collect();
        let latest = each.map(|token| {
            let seen = of_token(token).map(|position| position as usize + 1);
            VisibleColumns::new(seen.zip(written.iter().map(|&column| (column + token) % columns)))
        });
        (angles(&self.config, &all), latest.collect())
    }

    /// # Shapes
    /// - `hidden`: `[N, D]`, result: `[N, V]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.times(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::PreparedDecoder;
    use crate::Batch;
    use burn::module::Module;
    use ruminate_kernels::Precision;
    use ruminate_testkit as testkit;

    #[test]
    fn a_tracked_decoder_is_prepared_without_its_graph() {
        let batch = Batch::from_rows(&[[3_u32, 1, 4, 1]]);
        for name in ["deepseek_v3_mtp", "qwen2", "qwen3_moe"] {
            let folder = testkit::fixture_path(&format!("model/{name}"));
            let tracked = crate::load(&folder, &testkit::autodiff_device()).expect("a fixture");
            let states = [&tracked, &tracked.valid()].map(|decoder| {
                let (output, _) = PreparedDecoder::new(decoder, Precision::F32).prefill(&batch);
                assert!(!output.hidden.is_autodiff(), "{name}");
                testkit::floats(output.hidden)
            });
            assert_eq!(states[0], states[1], "{name}");
        }
    }
}
