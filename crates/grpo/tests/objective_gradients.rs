//! Properties of every objective: its gradient through a tiny model, how it is split over microbatches, what infinities do to it, and
//! what the divergences' gradients are on average.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use common::weights;
use ruminate_data::{Completion, FinishReason, Seed};
use ruminate_grpo::loss::{Counts, Reduction, Tokens};
use ruminate_grpo::{Config, PolicyLoss};
use ruminate_model::{Decoder, ParameterMapper, ParameterVisitor, Routes};
use ruminate_rollout::Logprobs;
use ruminate_testkit as testkit;
use ruminate_train::logprobs::{token_entropies, token_logprobs};
use ruminate_train::packing::{Continuation, Packed, ROW_LENGTH, pack_completions};
use serde_json::{Value, json};

/// Every objective, by the keys of a recipe.
fn objectives() -> Vec<Value> {
    let mut all = vec![
        json!({ "loss_type": "clip" }),
        json!({ "loss_type": "clip", "delta": 1.6 }),
        json!({ "loss_type": "clip", "dual_clip": 1.6 }),
        json!({ "loss_type": "gspo" }),
        json!({ "loss_type": "gspo_token" }),
        json!({ "loss_type": "luspo" }),
        json!({ "loss_type": "sequence_clip", "epsilon": 0.9 }),
        json!({ "loss_type": "cispo", "epsilon_high": 1.2 }),
        json!({ "loss_type": "cispo", "epsilon_high": 1.2, "cispo_ratio_min": 0.9 }),
        json!({ "loss_type": "sapo" }),
        json!({ "loss_type": "dppo_tv" }),
        json!({ "loss_type": "dppo_tv", "dppo_ratio_max": 1.2 }),
        json!({ "loss_type": "dppo_kl" }),
        json!({ "loss_type": "vespo" }),
        json!({ "loss_type": "geo_mean", "epsilon": 0.4 }),
        json!({ "loss_type": "dro", "dro_beta": 0.5 }),
        json!({ "loss_type": "importance_sampling" }),
        json!({ "loss_type": "reinforce" }),
        json!({ "loss_type": "clip_cov", "clip_cov_lb": 0.0, "clip_cov_ratio": 0.2 }),
        json!({ "loss_type": "kl_cov", "kl_cov_ratio": 0.3 }),
        json!({ "loss_type": "clip", "off_policy_mask_threshold": 0.1 }),
    ];
    for correction in ["cap", "truncate", "mask", "ice_pop", "sequence_truncate", "sequence_mask"] {
        all.push(json!({ "loss_type": "clip", "correction": correction }));
    }
    let limits = json!({ "correction": "geometric_mask", "correction_min": 0.9, "correction_max": 1.1 });
    all.push(limits);
    for estimator in ["k1", "abs", "k2", "k3", "unbiased"] {
        all.push(json!({ "loss_type": "clip", "beta": 0.7, "kl_estimator": estimator }));
        if estimator != "unbiased" {
            let through = json!({ "loss_type": "clip", "beta": 0.7, "kl_estimator": estimator, "kl_straight_through": true });
            all.push(through);
        }
    }
    all
}

/// Objectives whose gradient is not that of their value, since a part of it is held.
fn holds_a_part(keys: &Value) -> bool {
    let held = ["gspo_token", "cispo", "vespo"].map(|name| json!(name));
    held.contains(&keys["loss_type"])
        || !keys["dppo_ratio_max"].is_null()
        || keys["kl_straight_through"] == true
}

fn loss_of(keys: &Value) -> (Config, PolicyLoss) {
    let config: Config = serde_json::from_value(keys.clone()).expect("keys of a recipe");
    config.validate().unwrap_or_else(|error| panic!("{keys}: {error}"));
    let loss = config.policy_loss(Logprobs::Exact).expect("valid");
    (config, loss)
}

/// Loss and gradient.
fn differentiated(loss: &PolicyLoss, logprobs: &[f32], tokens: &Tokens, beta: f64) -> (f64, Vec<f32>) {
    let logprobs = Tensor::<1>::from_floats(logprobs, &testkit::autodiff_device()).require_grad();
    let value = loss.loss(logprobs.clone(), tokens, beta).value;
    let gradient = logprobs.grad(&value.backward()).expect("a gradient");
    (f64::from(value.into_scalar::<f32>()), testkit::floats(gradient))
}

/// Random tokens of `sequences` completions of 1 to 6 tokens, ratios off 1, advantages of both signs.
fn random(sequences: u32, reduction: Reduction, seed: u64) -> (Vec<f32>, Tokens) {
    let mut rng = Seed::new(seed).rng();
    let mut uniform = |from: f32, to: f32| rand::RngExt::random_range(&mut rng, from..to);
    let lengths: Vec<usize> = (0..sequences).map(|_| uniform(1.0, 7.0) as usize).collect();
    let total: usize = lengths.iter().sum();
    let counts = Counts {
        sequences: lengths.len(),
        tokens: total,
        microbatch_tokens: total,
        microbatches: 1,
        max_completion_length: 8,
    };
    let logprobs: Vec<f32> = (0..total).map(|_| uniform(-2.5, -0.1)).collect();
    let mut near = |values: &[f32], by: f32| -> Vec<f32> {
        values.iter().map(|value| (value + uniform(-by, by)).min(-0.01)).collect()
    };
    let old = near(&logprobs, 0.5);
    let mut tokens =
        Tokens { sampler: near(&old, 0.5), reference: near(&logprobs, 0.5), old, ..Tokens::default() };
    for (sequence, &length) in (0_u32..).zip(&lengths) {
        let advantage = if sequence % 5 == 4 { 0.0 } else { uniform(-1.5, 1.5) };
        tokens.advantages.extend(vec![advantage; length]);
        tokens.weights.extend(vec![reduction.weight(length, &counts) as f32; length]);
        tokens.sequence.extend(vec![sequence; length]);
    }
    (logprobs, tokens)
}

/// The tokens of some sequences, in that order.
fn part(logprobs: &[f32], tokens: &Tokens, sequences: &[u32]) -> (Vec<usize>, Vec<f32>, Tokens) {
    let places: Vec<usize> = sequences
        .iter()
        .flat_map(|wanted| (0..logprobs.len()).filter(|&token| tokens.sequence[token] == *wanted))
        .collect();
    let of = |values: &[f32]| -> Vec<f32> { places.iter().map(|&token| values[token]).collect() };
    let number =
        |token: usize| sequences.iter().position(|&of| of == tokens.sequence[token]).expect("chosen") as u32;
    let chosen = Tokens {
        old: of(&tokens.old),
        sampler: of(&tokens.sampler),
        reference: of(&tokens.reference),
        entropy: Vec::new(),
        advantages: of(&tokens.advantages),
        weights: of(&tokens.weights),
        sequence: places.iter().map(|&token| number(token)).collect(),
    };
    let logprobs = of(logprobs);
    (places, logprobs, chosen)
}

#[test]
fn one_batch_its_microbatches_and_any_order_have_one_loss_and_gradient() {
    for keys in objectives() {
        if keys["loss_type"] == "clip_cov" || keys["loss_type"] == "kl_cov" {
            continue; // they rank the tokens of a microbatch
        }
        let (config, loss) = loss_of(&keys);
        let (logprobs, tokens) = random(64, loss.reduction, 7);
        let (whole, expected) = differentiated(&loss, &logprobs, &tokens, config.beta);
        let in_order: Vec<u32> = (0..64).collect();
        let shuffled: Vec<u32> = (0..64).map(|index| (index * 37 + 11) % 64).collect();
        for (order, size) in [(&in_order, 16), (&in_order, 1), (&shuffled, 64), (&shuffled, 16)] {
            let (mut sum, mut gradient) = (0.0, vec![0.0; logprobs.len()]);
            for members in order.chunks(size) {
                let (places, logprobs, tokens) = part(&logprobs, &tokens, members);
                let (value, of_part) = differentiated(&loss, &logprobs, &tokens, config.beta);
                sum += value;
                for (&place, slope) in places.iter().zip(of_part) {
                    gradient[place] = slope;
                }
            }
            assert!((sum - whole).abs() < 3e-6 * whole.abs().max(1.0), "{keys} by {size}: {sum} {whole}");
            testkit::assert_close(&gradient, &expected, 1e-6);
        }
    }
}

#[test]
fn no_infinity_of_a_masked_token_reaches_the_gradient() {
    let inf = f32::NEG_INFINITY;
    for keys in objectives() {
        let (config, loss) = loss_of(&keys);
        let (logprobs, mut tokens) = random(6, loss.reduction, 3);
        // What the sampler did not record has no weight; its ratio and that of the reference are not computed.
        (tokens.old[2], tokens.sampler[2], tokens.reference[2], tokens.weights[2]) = (inf, inf, inf, 0.0);
        (tokens.old[4], tokens.reference[4], tokens.weights[4]) = (-300.0, 300.0, 0.0);
        let (value, gradient) = differentiated(&loss, &logprobs, &tokens, config.beta);
        assert!(
            value.is_finite() && gradient.iter().all(|slope| slope.is_finite()),
            "{keys}: {value} {gradient:?}"
        );
        assert_eq!([gradient[2], gradient[4]], [0.0; 2], "{keys}");
    }
    // A ratio that overflows, of a token that a correction or the off-policy mask leaves out.
    for keys in [
        json!({ "loss_type": "importance_sampling", "correction": "mask", "correction_min": 0.5 }),
        json!({ "loss_type": "clip", "correction": "ice_pop" }),
        json!({ "loss_type": "dro", "dro_beta": 0.1, "correction": "sequence_mask", "correction_min": 0.5 }),
        json!({ "loss_type": "gspo", "correction": "geometric_mask" }),
        json!({ "loss_type": "sapo", "off_policy_mask_threshold": 0.5 }),
    ] {
        let (_, loss) = loss_of(&keys);
        let (logprobs, tokens) = random(1, loss.reduction, 11);
        let count = logprobs.len();
        let far = if keys["off_policy_mask_threshold"].is_null() { -400.0 } else { 400.0 };
        let tokens = Tokens {
            old: vec![far; count],
            sampler: if far < 0.0 { vec![-1.0; count] } else { Vec::new() },
            advantages: vec![-1.0; count],
            ..tokens
        };
        let logprobs =
            Tensor::<1>::from_floats(logprobs.as_slice(), &testkit::autodiff_device()).require_grad();
        let result = loss.loss(logprobs.clone(), &tokens, 0.0);
        let gradient = testkit::floats(logprobs.grad(&result.value.backward()).expect("a gradient"));
        assert_eq!(result.value.into_scalar::<f32>(), 0.0, "{keys}");
        assert!(gradient.iter().all(|&slope| slope == 0.0), "{keys}: {gradient:?}");
        assert_eq!(result.tally.dropped + result.tally.off_policy, count as f64, "{keys}");
    }
}

#[test]
fn the_mean_gradient_of_each_divergence_is_the_one_that_is_documented() {
    const POLICY: [f32; 4] = [0.3, -0.4, 0.9, -1.0];
    const REFERENCE: [f32; 4] = [-0.2, 0.5, 0.1, 0.4];
    let device = testkit::autodiff_device();
    let constants = |values: &[f32]| Tensor::<1>::from_floats(values, &device);
    // By every token with its probability; the sampler is the policy.
    let of = |keys: Value| {
        let (config, loss) = loss_of(&keys);
        let logits = constants(&POLICY).require_grad();
        let logprobs = log_softmax(logits.clone(), 0);
        let old = testkit::floats(logprobs.clone().detach());
        let tokens = Tokens {
            weights: old.iter().map(|logprob| logprob.exp()).collect(),
            reference: testkit::floats(log_softmax(constants(&REFERENCE), 0)),
            old,
            advantages: vec![0.0; 4],
            sequence: vec![0, 1, 2, 3],
            ..Tokens::default()
        };
        let value = loss.loss(logprobs, &tokens, config.beta).value;
        testkit::floats(logits.grad(&value.backward()).expect("a gradient"))
    };
    let divergence = |forward: bool| {
        let logits = constants(&POLICY).require_grad();
        let (policy, reference) = (log_softmax(logits.clone(), 0), log_softmax(constants(&REFERENCE), 0));
        let (one, other) = if forward { (reference, policy) } else { (policy, reference) };
        let value = (one.clone().exp() * (one - other)).sum();
        testkit::floats(logits.grad(&value.backward()).expect("a gradient"))
    };
    let keys = |estimator: &str, through: bool| {
        let mut keys = json!({ "loss_type": "clip", "beta": 1.0, "kl_estimator": estimator });
        if through {
            keys["kl_straight_through"] = json!(true);
        }
        keys
    };
    let reverse = divergence(false);
    for (estimator, through) in
        [("k2", false), ("unbiased", false), ("k1", true), ("abs", true), ("k2", true), ("k3", true)]
    {
        testkit::assert_close(&of(keys(estimator, through)), &reverse, 2e-6);
    }
    testkit::assert_close(&of(keys("k1", false)), &[0.0; 4], 1e-6);
    testkit::assert_close(&of(keys("k3", false)), &divergence(true), 2e-6);
    assert!(reverse.iter().any(|slope| slope.abs() > 0.05), "{reverse:?}");
}

/// A dense model of two layers.
fn tiny() -> Decoder {
    let model = ruminate_model::Config::from_json(&json!({
        "model_type": "llama", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3,
    }));
    Decoder::init(&model.expect("a valid architecture"), &mut Seed::new(9).rng(), &testkit::autodiff_device())
}

fn completions() -> Vec<Completion> {
    [&[7_u32, 4, 9, 7, 1][..], &[5, 5, 1], &[3, 8, 2, 6], &[10, 1]]
        .into_iter()
        .map(|ids| Completion::new(vec![2, 3], ids.to_vec(), vec![0.0; ids.len()], FinishReason::Stop))
        .collect()
}

fn logprobs_of(decoder: &Decoder, packed: &Packed) -> Tensor<1> {
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    token_logprobs(decoder, hidden, packed, 1.0).logprobs
}

/// A decoder a step along a direction.
struct Nudge<'a> {
    direction: &'a [f32],
    step: f32,
    seen: usize,
}

impl ParameterMapper for Nudge<'_> {
    fn map<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        let shape = tensor.dims();
        let count = shape.iter().product::<usize>();
        let part = &self.direction[self.seen..self.seen + count];
        self.seen += count;
        let nudge = Tensor::<1>::from_floats(part, &tensor.device()).reshape(shape).mul_scalar(self.step);
        tensor + nudge
    }
}

/// The derivative along a direction, of gradients.
struct Along<'a> {
    direction: &'a [f32],
    gradients: burn::tensor::Gradients,
    seen: usize,
    sum: f64,
}

impl ParameterVisitor for Along<'_> {
    fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
        let count = tensor.dims().iter().product::<usize>();
        let part = &self.direction[self.seen..self.seen + count];
        self.seen += count;
        let Some(gradient) = tensor.grad(&self.gradients) else { return };
        let products = testkit::floats(gradient).into_iter().zip(part);
        self.sum += products.map(|(g, &d)| f64::from(g) * f64::from(d)).sum::<f64>();
    }
}

#[test]
fn the_gradient_of_every_objective_through_a_tiny_model_is_that_of_finite_differences() {
    const STEP: f32 = 4e-4;
    let decoder = tiny();
    let completions = completions();
    let all: Vec<&Completion> = completions.iter().collect();
    let packed = pack_completions(&Continuation::of_all(&all), ROW_LENGTH);
    let mut rng = Seed::new(1).rng();
    let direction: Vec<f32> =
        (0..weights(&decoder).len()).map(|_| rand::RngExt::random_range(&mut rng, -1.0_f32..1.0)).collect();
    let [center, above, below] = [0.0, STEP, -STEP].map(|step| {
        let nudged = decoder.clone().map_parameters(&mut Nudge { direction: &direction, step, seen: 0 });
        testkit::floats(logprobs_of(&nudged.valid(), &packed))
    });
    let each = |values: [f32; 4]| -> Vec<f32> {
        completions.iter().zip(values).flat_map(|(of, value)| vec![value; of.ids.len()]).collect()
    };
    for keys in objectives() {
        let (config, loss) = loss_of(&keys);
        let shift = |by: &dyn Fn(usize) -> f32| -> Vec<f32> {
            center.iter().enumerate().map(|(token, logprob)| logprob - by(token)).collect()
        };
        let ratio = |token: usize| [0.06, -0.05, 0.11, -0.13, 0.02, 0.3, -0.3][token % 7];
        let tokens = Tokens {
            old: shift(&ratio),
            // The second completion, of tokens 5 to 7, is far from its sampler.
            sampler: shift(&|token| {
                ratio(token) + [0.04, -0.03][token % 2] - if (5..8).contains(&token) { 0.3 } else { 0.0 }
            }),
            reference: shift(&|token| [0.3, -0.2, 0.15][token % 3]),
            entropy: Vec::new(),
            advantages: each([0.7, -0.9, 1.1, -0.4]),
            weights: each([0.25, 0.25, 0.25, 0.25]),
            sequence: each([0.0, 1.0, 2.0, 3.0]).into_iter().map(|sequence| sequence as u32).collect(),
        };
        let value = loss.loss(logprobs_of(&decoder, &packed), &tokens, config.beta).value;
        let mut along = Along { direction: &direction, gradients: value.backward(), seen: 0, sum: 0.0 };
        decoder.visit_parameters(&mut along);
        // What the loss does to the log-probabilities, times what the weights do to them.
        let (_, slopes) = differentiated(&loss, &center, &tokens, config.beta);
        let width = 2.0 * f64::from(STEP);
        let moved = above.iter().zip(&below).map(|(a, b)| (f64::from(*a) - f64::from(*b)) / width);
        let chained: f64 = moved.zip(&slopes).map(|(by, &slope)| by * f64::from(slope)).sum();
        let near = |numeric: f64| (along.sum - numeric).abs() < 2e-2 * numeric.abs().max(0.05);
        assert!(near(chained), "{keys}: backward {} against {chained}", along.sum);
        if !holds_a_part(&keys) {
            let at = |logprobs: &[f32]| differentiated(&loss, logprobs, &tokens, config.beta).0;
            let numeric = (at(&above) - at(&below)) / width;
            assert!(near(numeric), "{keys}: backward {} against {numeric}", along.sum);
        }
        assert!(along.sum.abs() > 1e-3, "{keys}: the direction tells something");
    }
}

#[test]
fn the_entropy_of_a_tiny_model_has_the_gradient_of_finite_differences() {
    const STEP: f32 = 4e-4;
    let decoder = tiny();
    let completions = completions();
    let all: Vec<&Completion> = completions.iter().collect();
    let packed = pack_completions(&Continuation::of_all(&all), ROW_LENGTH);
    let entropies = |decoder: &Decoder| {
        let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
        token_entropies(decoder, hidden, &packed, 0.8)
    };
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    let without_gradient = token_logprobs(&decoder, hidden, &packed, 0.8).entropy;
    let values = entropies(&decoder);
    testkit::assert_close(&testkit::floats(values.clone()), &testkit::floats(without_gradient), 1e-5);
    let mut rng = Seed::new(2).rng();
    let direction: Vec<f32> =
        (0..weights(&decoder).len()).map(|_| rand::RngExt::random_range(&mut rng, -1.0_f32..1.0)).collect();
    let gradients = values.sum().backward();
    let mut along = Along { direction: &direction, gradients, seen: 0, sum: 0.0 };
    decoder.visit_parameters(&mut along);
    let at = |step: f32| -> f64 {
        let nudged = decoder.clone().map_parameters(&mut Nudge { direction: &direction, step, seen: 0 });
        testkit::floats(entropies(&nudged.valid())).into_iter().map(f64::from).sum()
    };
    let numeric = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
    assert!((along.sum - numeric).abs() < 2e-2 * numeric.abs().max(0.05), "{} {numeric}", along.sum);
}
