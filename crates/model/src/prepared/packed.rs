//! Linear maps for decoding: packed copies of weights, several that share their input as one. They have no parameters,
//! and no gradient flows through them.

// B batch, T tokens, N rows, F feed-forward width, E experts

use crate::attention::{Absorbed, LatentUp, QueryKeyValue, split_heads};
use crate::config::{Gqa, Mla};
use crate::layers::{GateUp, Linear, LinearMap, halves};
use crate::moe::{ExpertMaps, RouterBias};
use burn::module::Module;
use burn::tensor::Tensor;
use ruminate_kernels::{Permutation, Precision, PreparedExperts, PreparedWeight};
use std::borrow::Cow;

/// A packed linear map, or several over the same input, whose outputs follow each other.
#[derive(Module, Debug)]
pub(crate) struct PackedLinear {
    #[module(skip)]
    weight: PreparedWeight,
    #[module(skip)]
    bias: Option<Tensor<1>>,
}

impl PackedLinear {
    /// Packs maps that share their input. All of them have a bias, or none.
    pub(super) fn new(maps: &[&Linear], precision: Precision) -> Self {
        let weights = maps.iter().map(|map| map.effective_weight().inner()).collect();
        let biases: Vec<Tensor<1>> =
            maps.iter().filter_map(|map| Some(map.bias.as_ref()?.val().inner())).collect();
        assert!(biases.is_empty() || biases.len() == maps.len(), "maps with and without bias in one stack");
        Self {
            weight: PreparedWeight::stacked(weights, precision),
            bias: (!biases.is_empty()).then(|| Tensor::cat(biases, 0)),
        }
    }
}

impl LinearMap for PackedLinear {
    type QueryKeyValue = PackedHeads;
    type GateUp = PackedGateUp;
    type LatentUp = PackedLatentUp;
    type Experts = PackedExperts;
    type RouterBias = HostBias;

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let product = self.weight.times(x);
        match &self.bias {
            Some(bias) => product + bias.clone().unsqueeze(),
            None => product,
        }
    }
}

/// Queries, keys and values in one product.
#[derive(Module, Debug)]
pub(crate) struct PackedHeads {
    pub(super) stacked: PackedLinear,
}

impl QueryKeyValue for PackedHeads {
    fn heads(&self, x: Tensor<2>, shape: [usize; 2], sizes: Gqa) -> [Tensor<4>; 3] {
        split_heads(self.stacked.forward(x), shape, sizes)
    }
}

/// Gate and values in one product.
#[derive(Module, Debug)]
pub(crate) struct PackedGateUp {
    pub(super) stacked: PackedLinear,
}

impl GateUp for PackedGateUp {
    fn forward(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        halves(self.stacked.forward(x))
    }
}

/// The up-projection of latents, packed for prompts, and its halves in f32 for the absorbed form.
#[derive(Module, Debug)]
pub(crate) struct PackedLatentUp {
    map: PackedLinear,
    #[module(skip)]
    absorbed: Absorbed,
}

impl PackedLatentUp {
    pub(super) fn new(up: &Linear, sizes: Mla, precision: Precision) -> Self {
        Self { map: PackedLinear::new(&[up], precision), absorbed: up.absorbed(sizes) }
    }
}

impl LatentUp for PackedLatentUp {
    fn expand(&self, latent: Tensor<2>) -> Tensor<2> {
        self.map.forward(latent)
    }

    fn absorbed(&self, _: Mla) -> Absorbed {
        self.absorbed.clone()
    }
}

/// Routed experts.
#[derive(Module, Debug)]
pub(crate) struct PackedExperts {
    #[module(skip)]
    pub(super) weights: PreparedExperts,
}

impl ExpertMaps for PackedExperts {
    fn forward(&self, x: Tensor<2>, permutation: Permutation, route_weights: Tensor<2>) -> Tensor<2> {
        self.weights.forward(x, permutation, route_weights)
    }
}

/// A router's balancing bias, read from the device once.
#[derive(Module, Debug)]
pub(crate) struct HostBias {
    /// One number per expert.
    #[module(skip)]
    pub(super) values: Vec<f32>,
}

impl RouterBias for HostBias {
    fn values(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.values)
    }
}
