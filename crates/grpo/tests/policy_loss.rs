//! Each valid combination of advantage, loss type, reduction and correction: numbers that TRL has (`fixtures/grpo`), a
//! run by the trainer, and properties that tie choices to each other.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use common::weights;
use ruminate_data::{Completion, Problem, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::loss::{Correction, Counts, KlEstimator, KlPlacement, Reduction, Tokens};
use ruminate_grpo::{Advantage, Config, LossType, PolicyLoss, TrainerArgs, advantages, train};
use ruminate_model::Decoder;
use ruminate_rollout::{Dtype, EngineConfig, LocalEngine, Logprobs};
use ruminate_testkit as testkit;
use ruminate_train::{Metrics, Observer, State};
use serde::Deserialize;
use serde_json::{Value, json};

const ADVANTAGES: [Advantage; 9] = [
    Advantage::Group,
    Advantage::Batch,
    Advantage::Unscaled,
    Advantage::Rloo,
    Advantage::Gdpo,
    Advantage::ReinforcePlusPlus,
    Advantage::ReinforcePlusPlusBaseline,
    Advantage::MaxRl,
    Advantage::PassAtK,
];
const LOSS_TYPES: [LossType; 14] = [
    LossType::Clip,
    LossType::Gspo,
    LossType::GspoToken,
    LossType::SequenceClip,
    LossType::Cispo,
    LossType::Sapo,
    LossType::DppoTv,
    LossType::DppoKl,
    LossType::Vespo,
    LossType::GeoMean,
    LossType::Dro,
    LossType::ImportanceSampling,
    LossType::Reinforce,
    LossType::ClipCov,
];
const REDUCTIONS: [Reduction; 6] = [
    Reduction::SequenceMean,
    Reduction::MicrobatchMean,
    Reduction::TokenMean,
    Reduction::Constant,
    Reduction::SequenceSum,
    Reduction::Sum,
];
const CORRECTIONS: [Correction; 8] = [
    Correction::None,
    Correction::Cap,
    Correction::Truncate,
    Correction::Mask,
    Correction::IcePop,
    Correction::SequenceTruncate,
    Correction::SequenceMask,
    Correction::GeometricMask,
];

/// Whether the recipe refuses the two together.
fn is_refused(loss_type: LossType, correction: Correction) -> bool {
    match correction {
        Correction::None => false,
        // There is no ratio to cap, or another key caps it.
        Correction::Cap => matches!(
            loss_type,
            LossType::Cispo
                | LossType::Sapo
                | LossType::DppoTv
                | LossType::DppoKl
                | LossType::Vespo
                | LossType::GeoMean
                | LossType::Dro
                | LossType::Reinforce
                | LossType::KlCov
        ),
        _ => loss_type == LossType::Vespo,
    }
}

fn combination(
    advantage: Advantage,
    loss_type: LossType,
    reduction: Reduction,
    correction: Correction,
) -> Config {
    Config {
        num_generations: 4,
        prompts_per_step: 2,
        micro_batch_size: 3,
        num_iterations: 2,
        advantage: Some(advantage),
        loss_type,
        reduction: Some(reduction),
        correction: Some(correction),
        epsilon_high: (loss_type == LossType::Cispo).then_some(5.0),
        dro_beta: (loss_type == LossType::Dro).then_some(0.05),
        pass_at_k: (advantage == Advantage::PassAtK).then_some(3),
        ..Config::default()
    }
}

/// A dense model of two layers.
fn tiny() -> Decoder {
    let model = ruminate_model::Config::from_json(&json!({
        "model_type": "llama", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.2,
    }));
    Decoder::init(&model.expect("a valid architecture"), &mut Seed::new(3).rng(), &testkit::autodiff_device())
}

/// The first step's metrics.
#[derive(Default)]
struct First(Metrics);

impl Observer for First {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.0 = metrics.clone();
    }
}

/// One step, from the same weights each time.
fn step(config: &Config, dtype: Dtype) -> (Decoder, Metrics) {
    let score = |_: &Task, completion: &Completion| {
        let even = completion.ids.iter().filter(|&&id| id % 2 == 0).count();
        Verdict::wrong(even as f64 / completion.ids.len() as f64)
    };
    let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
    let setup = TrainerArgs {
        config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 6, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms: &ruminate_train::alarms::Config::default(),
        max_steps: 1,
        seed: Seed::new(5),
    };
    let mut problems = |index: u64| {
        Ok(Problem { task: Task::new("", ""), prompt_ids: vec![2, 3 + u32::from(index % 2 == 1)] })
    };
    let mut first = First::default();
    let state = State::fresh(tiny(), &optimizer);
    let mut engine =
        LocalEngine::new(EngineConfig { dtype, record_routing: true, ..EngineConfig::default() });
    let state = train(state, &mut engine, &mut problems, &score, &setup, &mut first).expect("it trains");
    (state.policy.valid(), first.0)
}

#[test]
fn every_combination_is_what_its_keys_say_or_refused() {
    let mut valid = 0;
    for advantage in ADVANTAGES {
        for loss_type in LOSS_TYPES.into_iter().chain([LossType::KlCov]) {
            for reduction in REDUCTIONS {
                for correction in CORRECTIONS {
                    let config = combination(advantage, loss_type, reduction, correction);
                    let name = format!("{advantage:?} {loss_type:?} {reduction:?} {correction:?}");
                    if is_refused(loss_type, correction) {
                        let message = config.validate().expect_err(&name).to_string();
                        assert!(message.contains("`grpo.correction"), "{name}: {message}");
                        continue;
                    }
                    config.validate().expect(&name);
                    let loss = config.policy_loss(Logprobs::Exact).expect(&name);
                    let parts = (loss.advantage, loss.reduction, loss.correction);
                    assert_eq!(parts, (advantage, reduction, correction), "{name}");
                    valid += 1;
                }
            }
        }
    }
    // Of 15 x 8 pairs of a loss and a correction, 9 have no cap and one has none of the 6 that have weights.
    assert_eq!(valid, 9 * 6 * (15 * 8 - 9 - 6));
}

/// Has the policy take a step, and says whether it learned.
fn assert_learns(config: &Config, before: &[f32]) {
    let name = format!(
        "{:?} {:?} {:?} {:?}",
        config.advantage, config.loss_type, config.reduction, config.correction
    );
    let (policy, metrics) = step(config, Dtype::Float32);
    assert!(metrics.get("loss").is_some_and(f64::is_finite), "{name}");
    assert!(metrics.get("grad_norm").is_some_and(|norm| norm > 0.0), "{name}");
    let moved = weights(&policy).iter().zip(before).filter(|(a, b)| a != b).count();
    assert!(moved > before.len() / 2, "{name}: {moved} weights moved");
    let corrected =
        config.correction.is_some_and(|correction| !matches!(correction, Correction::None | Correction::Cap));
    assert_eq!(metrics.get("correction/dropped").is_some(), corrected, "{name}");
}

#[test]
fn every_advantage_loss_reduction_and_correction_takes_a_step() {
    let before = weights(&tiny().valid());
    for loss_type in LOSS_TYPES.into_iter().chain([LossType::KlCov]) {
        for correction in CORRECTIONS {
            if !is_refused(loss_type, correction) {
                let config = combination(Advantage::Group, loss_type, Reduction::TokenMean, correction);
                assert_learns(&config, &before);
            }
        }
    }
    for advantage in ADVANTAGES {
        for reduction in REDUCTIONS {
            assert_learns(&combination(advantage, LossType::Clip, reduction, Correction::None), &before);
        }
    }
}

#[test]
fn a_divergence_in_the_reward_is_measured_and_one_from_the_reference_itself_is_nothing() {
    let plain = combination(Advantage::Rloo, LossType::Reinforce, Reduction::TokenMean, Correction::None);
    let config = Config {
        beta: 0.5,
        kl_placement: Some(KlPlacement::Reward),
        kl_estimator: Some(KlEstimator::K1),
        num_iterations: 1,
        ..plain.clone()
    };
    let (_, metrics) = step(&config, Dtype::Float32);
    // The first policy is its own reference, and the sampler computes what the trainer does but for rounding.
    assert!(metrics.get("kl").is_some_and(|kl| kl.abs() < 1e-5), "{:?}", metrics.get("kl"));
    let without = step(&Config { num_iterations: 1, ..plain }, Dtype::Float32).1;
    let (one, other) = (metrics.get("grad_norm"), without.get("grad_norm"));
    assert!((one.expect("measured") - other.expect("measured")).abs() < 1e-4, "{one:?} {other:?}");
    let rounded = step(&config, Dtype::Int8).1;
    assert!(rounded.get("kl").is_some_and(|kl| kl.abs() > 1e-5), "a sampler that rounds is another policy");
}

#[test]
fn an_entropy_bonus_moves_even_a_policy_without_advantages_towards_more_of_it() {
    let of = |keys: Value| {
        let base = combination(Advantage::Group, LossType::Clip, Reduction::TokenMean, Correction::None);
        let mut table = serde_json::to_value(Config { num_iterations: 1, ..base }).expect("keys");
        for (key, value) in keys.as_object().expect("keys") {
            table[key] = value.clone();
        }
        let config: Config = serde_json::from_value(table).expect("keys of a recipe");
        config.validate().expect("valid");
        step(&config, Dtype::Float32).1
    };
    let number = |metrics: &Metrics, name: &str| metrics.get(name).expect(name);
    let (plain, bonus) = (of(json!({})), of(json!({ "entropy_coef": 0.5 })));
    assert_eq!((plain.get("policy_entropy"), plain.get("entropy_coef")), (None, None));
    let entropy = number(&bonus, "policy_entropy");
    assert!(entropy > 0.0 && entropy <= 12.0_f64.ln() + 1e-6, "{entropy}");
    // All completions are computed, so the entropy is of all: the loss is lower by its mean and nothing else.
    assert!((number(&plain, "loss") - 0.5 * entropy - number(&bonus, "loss")).abs() < 1e-5);
    assert!((number(&plain, "grad_norm") - number(&bonus, "grad_norm")).abs() > 1e-4);
    let target = of(json!({ "entropy_coef": 0.5, "entropy_target": 9.0, "entropy_coef_delta": 0.25 }));
    let difference = number(&target, "loss") - number(&plain, "loss");
    assert!(difference.abs() < 1e-6, "nothing was measured before the first update: {difference}");
    assert_eq!(number(&target, "entropy_coef"), 0.75);
}

#[test]
fn a_microbatch_of_any_size_gives_the_same_step() {
    for loss_type in LOSS_TYPES {
        if loss_type == LossType::ClipCov {
            continue; // it ranks the tokens of a microbatch
        }
        let of = |size| {
            let config = combination(Advantage::Group, loss_type, Reduction::TokenMean, Correction::None);
            let config = Config { micro_batch_size: size, num_iterations: 1, beta: 0.1, ..config };
            let metrics = step(&config, Dtype::Float32).1;
            ["loss", "grad_norm", "kl"].map(|name| metrics.get(name).expect("measured"))
        };
        let whole = of(64);
        for size in [1, 4] {
            for (one, other) in of(size).iter().zip(whole) {
                assert!(
                    (one - other).abs() < 2e-6 * other.abs().max(1.0),
                    "{loss_type:?} {size}: {one} {other}"
                );
            }
        }
    }
}

#[test]
fn a_sampler_that_rounds_learns_under_each_correction() {
    for correction in CORRECTIONS {
        let config = combination(Advantage::Group, LossType::Clip, Reduction::TokenMean, correction);
        // Of a tiny random model in 8 bits few completions have a mean ratio within a thousandth.
        let config = match correction {
            Correction::GeometricMask => {
                Config { correction_min: Some(0.8), correction_max: Some(1.25), ..config }
            }
            _ => config,
        };
        let (_, metrics) = step(&config, Dtype::Int8);
        assert!(metrics.get("sampling/mismatch_kl").is_some_and(|kl| kl > 0.0), "{correction:?}");
        assert!(metrics.get("grad_norm").is_some_and(|norm| norm > 0.0), "{correction:?}");
    }
}

#[test]
fn the_truncated_correction_takes_the_ratio_to_the_trainer_before_the_step() {
    let clipped = |correction| {
        let config = combination(Advantage::Group, LossType::Clip, Reduction::TokenMean, correction);
        let config = Config { num_iterations: 1, epsilon: 1e-5, ..config };
        step(&config, Dtype::Int8).1.get("clip_ratio/region_mean").expect("measured")
    };
    // On the first update the policy is the trainer's own of before, and not the sampler's, which rounds.
    assert!(clipped(Correction::None) > 0.1);
    assert_eq!(clipped(Correction::Truncate), 0.0);
}

/// Tokens of two completions, of three and two tokens, with ratios on both sides of 1.
fn tokens(reduction: Reduction, ratios: [f32; 5]) -> (Vec<f32>, Tokens) {
    let logprobs = [-1.0, -0.5, -2.0, -1.5, -0.25];
    let counts =
        Counts { sequences: 2, tokens: 5, microbatch_tokens: 5, microbatches: 1, max_completion_length: 4 };
    let old: Vec<f32> = logprobs.iter().zip(ratios).map(|(logprob, ratio)| logprob - ratio.ln()).collect();
    let weight = |length: usize| vec![reduction.weight(length, &counts) as f32; length];
    let tokens = Tokens {
        sampler: old.clone(),
        entropy: Vec::new(),
        old,
        reference: Vec::new(),
        advantages: vec![0.5, 0.5, 0.5, -1.5, -1.5],
        weights: [weight(3), weight(2)].concat(),
        sequence: vec![0, 0, 0, 1, 1],
    };
    (logprobs.to_vec(), tokens)
}

/// Loss and gradient.
fn differentiated(loss: &PolicyLoss, logprobs: &[f32], tokens: &Tokens, beta: f64) -> (f32, Vec<f32>) {
    let logprobs = Tensor::<1>::from_floats(logprobs, &testkit::autodiff_device()).require_grad();
    let value = loss.loss(logprobs.clone(), tokens, beta).value;
    let gradient = logprobs.grad(&value.backward()).expect("a gradient");
    (value.into_scalar::<f32>(), testkit::floats(gradient))
}

#[test]
fn the_sum_is_the_token_mean_times_the_tokens() {
    for loss_type in LOSS_TYPES {
        let of = |reduction| {
            let config = combination(Advantage::Group, loss_type, reduction, Correction::None);
            let loss = config.policy_loss(Logprobs::Exact).expect("valid");
            let (logprobs, tokens) = tokens(reduction, [1.1, 0.9, 1.3, 0.7, 1.05]);
            differentiated(&loss, &logprobs, &tokens, 0.0)
        };
        let ((mean, mean_gradient), (sum, gradient)) = (of(Reduction::TokenMean), of(Reduction::Sum));
        assert!((sum - 5.0 * mean).abs() < 1e-6, "{loss_type:?}: {sum} {mean}");
        let scaled: Vec<f32> = mean_gradient.iter().map(|slope| 5.0 * slope).collect();
        testkit::assert_close(&gradient, &scaled, 1e-6);
    }
}

#[test]
fn within_both_limits_cispo_has_the_gradient_of_the_clip_and_beyond_them_it_keeps_one() {
    let of = |loss_type, ratios| {
        let config = combination(Advantage::Group, loss_type, Reduction::Sum, Correction::None);
        let loss = config.policy_loss(Logprobs::Exact).expect("valid");
        let (logprobs, tokens) = tokens(Reduction::Sum, ratios);
        differentiated(&loss, &logprobs, &tokens, 0.0).1
    };
    let near = [1.1, 0.9, 1.15, 0.85, 1.05];
    testkit::assert_close(&of(LossType::Cispo, near), &of(LossType::Clip, near), 1e-6);
    // By hand: the gradient is -min(ratio, 5) A, where the clip has none.
    let far = [8.0, 1.0, 1.0, 0.1, 1.0];
    let (cispo, clip) = (of(LossType::Cispo, far), of(LossType::Clip, far));
    assert_eq!([clip[0], clip[3]], [0.0, 0.0]);
    testkit::assert_close(&[cispo[0], cispo[3]], &[-2.5, 0.15], 1e-5);
}

#[test]
fn a_correction_changes_nothing_where_sampler_and_trainer_agree() {
    for loss_type in [LossType::Clip, LossType::Gspo] {
        let of = |correction| {
            let config = combination(Advantage::Group, loss_type, Reduction::TokenMean, correction);
            let loss = config.policy_loss(Logprobs::Exact).expect("valid");
            let (logprobs, tokens) = tokens(Reduction::TokenMean, [1.1, 0.9, 1.3, 0.7, 1.05]);
            differentiated(&loss, &logprobs, &tokens, 0.0)
        };
        let plain = of(Correction::None);
        assert_eq!(of(Correction::Cap), plain);
        assert_eq!(of(Correction::Truncate), plain);
    }
}

#[test]
fn the_cap_bounds_what_a_negative_advantage_can_lose() {
    let of = |correction| {
        let config = combination(Advantage::Group, LossType::Clip, Reduction::Sum, correction);
        let loss = config.policy_loss(Logprobs::Exact).expect("valid");
        let (logprobs, tokens) = tokens(Reduction::Sum, [1.0, 1.0, 1.0, 7.0, 1.0]);
        differentiated(&loss, &logprobs, &tokens, 0.0)
    };
    // By hand: -3 · 0.5, then 1.5 times the ratio of each of the other two.
    let ((plain, gradient), (capped, bounded)) = (of(Correction::None), of(Correction::Cap));
    testkit::assert_close(&[plain, capped], &[-1.5 + 1.5 * 7.0 + 1.5, -1.5 + 1.5 * 3.0 + 1.5], 1e-4);
    assert!((gradient[3] - 10.5).abs() < 1e-4 && bounded[3] == 0.0, "{gradient:?} {bounded:?}");
}

#[derive(Deserialize)]
struct Golden {
    sampler_logprobs: Vec<Vec<f32>>,
    loss: Vec<Value>,
    rloo: Vec<Rloo>,
}

#[derive(Deserialize)]
struct Rloo {
    rewards: Vec<Vec<Option<f64>>>,
    advantages: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Batch {
    logprobs: Vec<Vec<f32>>,
    old_logprobs: Vec<Vec<f32>>,
    ref_logprobs: Vec<Vec<f32>>,
    mask: Vec<Vec<f32>>,
    advantages: Vec<f32>,
    max_completion_length: usize,
    num_items_in_batch: f64,
}

#[test]
fn the_new_choices_have_trls_numbers() {
    let golden: Golden = testkit::json("grpo/choices.json");
    let whole: Value = testkit::json("grpo/golden.json");
    let batch: Batch = serde_json::from_value(whole["batch"].clone()).expect("a batch");
    let flat = |values: &[Vec<f32>]| -> Vec<f32> {
        let all = values.iter().flatten().zip(batch.mask.iter().flatten());
        all.filter(|&(_, &mask)| mask > 0.0).map(|(&value, _)| value).collect()
    };
    let lengths: Vec<usize> = batch.mask.iter().map(|row| row.iter().sum::<f32>() as usize).collect();
    let counts = Counts {
        sequences: lengths.len(),
        tokens: batch.num_items_in_batch as usize,
        microbatch_tokens: lengths.iter().sum(),
        microbatches: 1,
        max_completion_length: batch.max_completion_length,
    };
    let each = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
        lengths.iter().enumerate().flat_map(|(index, &length)| vec![value(index); length]).collect()
    };
    assert!(golden.loss.len() >= 12, "the fixture has its cases");
    for case in &golden.loss {
        let number = |key: &str| case[key].as_f64().expect(key);
        let mut keys = case.as_object().expect("a case").clone();
        keys.insert("epsilon".to_owned(), keys["epsilon_low"].clone());
        for key in ["epsilon_low", "loss_value", "gradient", "kl", "clip_region"] {
            keys.remove(key);
        }
        let config: Config = serde_json::from_value(Value::Object(keys)).expect("keys of a recipe");
        let loss = config.policy_loss(Logprobs::Exact).expect("valid");
        let tokens = Tokens {
            old: flat(&batch.old_logprobs),
            sampler: flat(&golden.sampler_logprobs),
            entropy: Vec::new(),
            reference: flat(&batch.ref_logprobs),
            advantages: each(&|index| batch.advantages[index]),
            weights: each(&|index| loss.reduction.weight(lengths[index], &counts) as f32),
            sequence: each(&|index| index as f32).into_iter().map(|index| index as u32).collect(),
        };
        let (value, gradient) = differentiated(&loss, &flat(&batch.logprobs), &tokens, config.beta);
        let expected = number("loss_value");
        assert!((f64::from(value) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{case}: {value}");
        let rows: Vec<Vec<f32>> = serde_json::from_value(case["gradient"].clone()).expect("rows");
        testkit::assert_close(&gradient, &flat(&rows), 1e-5);
        let logprobs = flat(&batch.logprobs);
        let logprobs = Tensor::<1>::from_floats(logprobs.as_slice(), &testkit::autodiff_device());
        let tally = loss.loss(logprobs, &tokens, config.beta).tally;
        if config.beta > 0.0 {
            assert!((tally.kl / tally.tokens - number("kl")).abs() < 1e-5, "{case}");
        }
        if config.loss_type == LossType::Cispo {
            assert!((tally.clipped / tally.tokens - number("clip_region")).abs() < 1e-6, "{case}");
        }
    }
    for case in &golden.rloo {
        let values = advantages(&case.rewards, Advantage::Rloo).values;
        let flat = |groups: &[Vec<f64>]| groups.concat().iter().map(|&x| x as f32).collect::<Vec<f32>>();
        testkit::assert_close(&flat(&values), &flat(&case.advantages), 1e-6);
    }
}
