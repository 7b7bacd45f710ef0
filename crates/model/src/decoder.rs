//! The decoder itself: embedding, blocks, norm, output head, run over packed rows. How rollouts run the same blocks
//! with packed weights and a cache is `prepared`'s.

// B batch, T tokens, N = B * T places, D hidden, V vocabulary

use crate::attention::Context;
use crate::batch::Batch;
use crate::block::{Block, FeedForward};
use crate::config::Config;
use crate::init::{Initializer, Source};
use crate::layers::{Linear, RmsNorm, angles, scaled};
use crate::lora::Adapters;
use crate::moe::{LayerRouting, Routes};
use crate::mtp::MultiTokenPrediction;
use crate::weights::Origin;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rand::Rng;
use rand::rngs::SmallRng;
use ruminate_kernels::{ComputeDtype, Segments, embedding, linear};

/// A decoder-only transformer.
#[derive(Module, Debug)]
pub struct Decoder {
    pub(crate) embed_tokens: Embedding,
    pub(crate) layers: Vec<Block>,
    pub(crate) norm: RmsNorm,
    /// Absent where the embedding is the head.
    lm_head: Option<Linear>,
    pub(crate) mtp: Option<MultiTokenPrediction>,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    pub(crate) origin: Origin,
    /// Present while the linear maps carry adapters and all other weights are frozen.
    #[module(skip)]
    adapters: Option<Adapters>,
    #[module(skip)]
    dtype: ComputeDtype,
}

#[derive(Module, Debug)]
pub(crate) struct Embedding {
    pub(crate) weight: Param<Tensor<2>>,
    /// Factor on the rows.
    pub(crate) scale: f64,
}

impl Embedding {
    /// `[N, D]`: one row per token.
    pub(crate) fn forward(&self, tokens: &[u32]) -> Tensor<2> {
        scaled(embedding(self.weight.val(), tokens), self.scale)
    }
}

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[N, D]`: states after the final norm, ready for [`Decoder::logits`].
    pub hidden: Tensor<2>,
    /// One entry a MoE layer.
    pub routing: Vec<LayerRouting>,
}

impl Decoder {
    /// Fresh weights: normal with `initializer_range`, norms at 1, router biases at 0.
    pub fn init(config: &Config, rng: &mut impl Rng, device: &Device) -> Self {
        Self::build(
            config,
            &mut Initializer { source: Source::Drawn { rng, std: config.initializer_range }, device },
        )
    }

    /// The parts without their values, which take no memory yet: `config` may not be trusted.
    pub(crate) fn uninitialised(config: &Config, device: &Device) -> Self {
        Self::build::<SmallRng>(config, &mut Initializer { source: Source::Pending, device })
    }

    fn build<R: Rng>(config: &Config, init: &mut Initializer<R>) -> Self {
        let (vocabulary, width) = (config.vocab_size, config.hidden_size);
        Self {
            embed_tokens: Embedding {
                weight: init.normal([vocabulary, width]),
                scale: config.multipliers.embedding,
            },
            layers: (0..config.num_hidden_layers).map(|layer| Block::init(init, config, layer)).collect(),
            norm: RmsNorm::init(init, width, config.rms_norm_eps),
            lm_head: (!config.tie_word_embeddings).then(|| Linear::init(init, width, vocabulary)),
            mtp: (config.num_nextn_predict_layers > 0).then(|| MultiTokenPrediction::init(init, config)),
            config: config.clone(),
            origin: Origin::default(),
            adapters: None,
            dtype: ComputeDtype::F32,
        }
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same decoder, whose linear maps multiply in a dtype while it learns and scores. Weights, norms, router, softmax
    /// and sums stay in f32; what [`PreparedDecoder`](crate::PreparedDecoder) makes of it has a precision of its own.
    #[must_use]
    pub fn with_compute_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }

    /// The dtype of the products.
    pub fn compute_dtype(&self) -> ComputeDtype {
        self.dtype
    }

    /// Whole rows as the blocks compute them.
    pub(crate) fn rows<'a>(&self, segments: &'a Segments) -> Context<'a> {
        Context::Rows { segments, dtype: self.dtype }
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.embed_tokens.weight.device()
    }

    /// Hidden states of packed rows.
    pub fn forward(&self, batch: &Batch, routes: Routes) -> Output {
        let angles = angles(&self.config, &batch.positions);
        let segments = batch.visible();
        let mut x = self.embed_tokens.forward(&batch.tokens);
        let mut routing = Vec::new();
        for (layer, block) in self.layers.iter().enumerate() {
            let replay = routes.of_layer(routing.len()).filter(|_| self.config.is_moe(layer));
            let (out, chosen) = block.forward(x, &angles, self.rows(&segments), replay);
            x = out;
            routing.extend(chosen);
        }
        Output { hidden: self.config.for_head(self.norm.forward(x)), routing }
    }

    /// States of the multi-token prediction module: place t sees the token at t + 1 and predicts t + 2.
    /// None where the model has no such module.
    ///
    /// `hidden` is [`Output::hidden`] of the same batch. States whose next token lies in another segment mean
    /// nothing; the caller masks them.
    pub fn predict_second(&self, batch: &Batch, hidden: Tensor<2>) -> Option<Output> {
        let mtp = self.mtp.as_ref()?;
        let angles = angles(&self.config, &batch.positions);
        let segments = batch.visible();
        let [rows, length] = batch.shape;
        let next: Vec<u32> = (0..rows * length)
            .map(|place| if (place + 1) % length == 0 { 0 } else { batch.tokens[place + 1] })
            .collect();
        let next = self.embed_tokens.forward(&next);
        let (hidden, routing) = mtp.forward(hidden, next, &angles, self.rows(&segments));
        Some(Output { hidden, routing: routing.into_iter().collect() })
    }

    /// The output head's weight, `[V, D]`.
    pub fn head(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.weight.val(),
            None => self.embed_tokens.weight.val(),
        }
    }

    /// The output head's weight, and the decoder without one of its own.
    pub(crate) fn split_head(mut self) -> (Tensor<2>, Self) {
        let head = self.head();
        self.lm_head = None;
        (head, self)
    }

    /// # Shapes
    /// - `hidden`: `[N, D]`, result: `[N, V]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        linear(self.dtype.operand(hidden), self.head())
    }

    /// The same policy with a head of its own: what was one matrix is saved as two. Nothing is copied; gradients do not
    /// flow into the head.
    #[must_use]
    pub fn untied(&self) -> Self {
        let mut decoder = self.clone();
        if decoder.lm_head.is_none() {
            let weight = Param::from_tensor(self.embed_tokens.weight.val().detach());
            decoder.lm_head = Some(Linear { weight, bias: None, adapter: None });
            decoder.config.tie_word_embeddings = false;
        }
        decoder
    }

    /// What is on this decoder's linear maps, where something is.
    pub fn adapters(&self) -> Option<&Adapters> {
        self.adapters.as_ref()
    }

    pub(crate) fn set_adapters(&mut self, adapters: Option<Adapters>) {
        self.adapters = adapters;
    }

    /// The linear maps of the trunk that can be adapted, by their names in a checkpoint, in a fixed order.
    pub(crate) fn adaptable(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let dense = self.config.moe.is_none();
        self.layers.iter_mut().enumerate().flat_map(move |(layer, block)| {
            let named = move |(name, linear)| (format!("model.layers.{layer}.{name}"), linear);
            block.adaptable(dense).into_iter().map(named)
        })
    }

    /// Moves the router biases against the load (arXiv 2408.15664): `b += rate * sign(mean load - load)`. Under adapters
    /// they stay, with all the base.
    ///
    /// `load` holds the tokens that each expert of each MoE layer received since the last call, padding left
    /// out; one more entry than the trunk has MoE layers is that of the multi-token prediction module. Layers
    /// without an entry, and those that received nothing, stay as they are. The bias is kept within
    /// `[-bound, bound]`: a collapsed router must not drive it away for ever.
    #[must_use]
    pub fn with_balanced_routers(mut self, load: &[Vec<u64>], rate: f32, bound: f32) -> Self {
        if self.adapters.is_some() {
            return self;
        }
        let mut load = load.iter();
        for block in self.layers.iter_mut().chain(self.mtp.as_mut().map(|mtp| &mut mtp.block)) {
            let FeedForward::Moe(moe) = &mut block.mlp else { continue };
            let Some(load) = load.next() else { break };
            let Some(bias) = moe.gate.e_score_correction_bias.take() else { continue };
            let mean = load.iter().sum::<u64>() as f32 / load.len() as f32;
            let push: Vec<f32> = load
                .iter()
                .map(|&load| match (mean - load as f32).partial_cmp(&0.0) {
                    Some(std::cmp::Ordering::Greater) => rate,
                    Some(std::cmp::Ordering::Less) => -rate,
                    _ => 0.0,
                })
                .collect();
            moe.gate.e_score_correction_bias = Some(bias.map(|bias| {
                let push = Tensor::<1>::from_floats(push.as_slice(), &bias.device());
                (bias + push).clamp(-bound, bound).detach()
            }));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use crate::ParameterVisitor;
    use burn::tensor::Tensor;
    use ruminate_testkit as testkit;

    #[derive(Default)]
    struct Biases(Vec<(String, Vec<f32>)>);

    impl ParameterVisitor for Biases {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, trained: bool) {
            if name.ends_with("e_score_correction_bias") {
                assert!(!trained, "{name} moves with the load, not by gradients");
                self.0.push((name.to_owned(), testkit::floats(tensor.clone())));
            }
        }
    }

    /// Router biases: block 1's and the multi-token prediction module's, 4 experts each.
    fn biases(decoder: &Decoder) -> [Vec<f32>; 2] {
        let mut biases = Biases::default();
        decoder.visit_parameters(&mut biases);
        let [(first, trunk), (second, module)] = biases.0.try_into().expect("two routers");
        assert!(
            first.starts_with("model.layers.1.") && second.starts_with("model.layers.2."),
            "{first} {second}"
        );
        [trunk, module]
    }

    fn decoder() -> Decoder {
        let folder = testkit::fixture_path("model/deepseek_v3_mtp");
        crate::load(&folder, &testkit::autodiff_device()).expect("a fixture")
    }

    #[test]
    fn a_step_without_load_leaves_the_router_biases() {
        let decoder = decoder();
        let before = biases(&decoder);
        let decoder = decoder.with_balanced_routers(&[vec![0; 4], vec![0; 4]], 0.1, 10.0);
        let decoder = decoder.with_balanced_routers(&[], 0.1, 10.0);
        assert_eq!(biases(&decoder), before);
    }

    #[test]
    fn a_bias_moves_against_the_load_by_the_rate() {
        let decoder = decoder();
        let [trunk, module] = biases(&decoder);
        // The mean is 3.
        let decoder = decoder.with_balanced_routers(&[vec![9, 0, 3, 0]], 0.1, 10.0);
        let [moved, still] = biases(&decoder);
        let push: Vec<f32> = moved.iter().zip(&trunk).map(|(after, before)| after - before).collect();
        testkit::assert_close(&push, &[-0.1, 0.1, 0.0, 0.1], 1e-6);
        assert_eq!(still, module);
    }

    #[test]
    fn the_entry_after_the_trunks_is_the_multi_token_prediction_modules() {
        let decoder = decoder();
        let [trunk, module] = biases(&decoder);
        let [still, moved] =
            biases(&decoder.with_balanced_routers(&[vec![0; 4], vec![0, 0, 0, 4]], 0.1, 10.0));
        assert_eq!(still, trunk);
        let push: Vec<f32> = moved.iter().zip(&module).map(|(after, before)| after - before).collect();
        testkit::assert_close(&push, &[0.1, 0.1, 0.1, -0.1], 1e-6);
    }

    #[test]
    fn no_bias_leaves_the_bound() {
        let mut decoder = decoder();
        for _ in 0..50 {
            decoder = decoder.with_balanced_routers(&[vec![100, 0, 0, 0]], 0.1, 0.75);
        }
        assert_eq!(biases(&decoder)[0], [-0.75, 0.75, 0.75, 0.75]);
    }
}
