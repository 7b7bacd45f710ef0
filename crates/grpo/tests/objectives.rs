//! Loss and gradient of every objective against the reference's numbers (`fixtures/grpo/make_objectives.py`).

use burn::tensor::Tensor;
use ruminate_grpo::loss::{
    Cispo, Clip, Counts, Dro, GspoToken, ImportanceSampling, LossStats, Reduction, Surrogate, Tokens,
};
use ruminate_grpo::{Advantage, Config, PolicyLoss, advantages, advantages_at_k};
use ruminate_rollout::Logprobs;
use ruminate_testkit as testkit;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Deserialize)]
struct Golden {
    batch: Batch,
    loss: Vec<Case>,
    advantages: Vec<AdvantageCase>,
    penalised: Vec<Penalised>,
}

#[derive(Deserialize)]
struct Batch {
    logprobs: Vec<Vec<f32>>,
    old_logprobs: Vec<Vec<f32>>,
    sampler_logprobs: Vec<Vec<f32>>,
    ref_logprobs: Vec<Vec<f32>>,
    entropies: Vec<Vec<f32>>,
    mask: Vec<Vec<f32>>,
    advantages: Vec<f32>,
    max_completion_length: usize,
    num_items_in_batch: f64,
}

#[derive(Deserialize)]
struct Case {
    source: String,
    keys: Value,
    loss_value: f64,
    gradient: Vec<Vec<f64>>,
    kl: Option<f64>,
    dropped: Option<f64>,
    truncated: Option<f64>,
    off_policy: Option<f64>,
}

#[derive(Deserialize)]
struct AdvantageCase {
    rewards: Vec<Vec<f64>>,
    advantage: Advantage,
    pass_at_k: Option<usize>,
    advantages: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Penalised {
    rewards: Vec<Vec<f64>>,
    kl_sums: Vec<Vec<f64>>,
    beta: f64,
    advantages: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Tinker {
    loss_fn: String,
    config: Value,
    target_logprobs: Vec<f32>,
    inputs: Value,
    loss: f64,
    gradient: Vec<f64>,
}

impl Batch {
    /// Values at the places whose mask is 1, sequence after sequence.
    fn flat<T: Copy>(&self, values: &[Vec<T>]) -> Vec<T> {
        let places = values.iter().flatten().zip(self.mask.iter().flatten());
        places.filter(|&(_, &mask)| mask > 0.0).map(|(&value, _)| value).collect()
    }

    fn tokens(&self, reduction: Reduction) -> Tokens {
        let lengths: Vec<usize> = self.mask.iter().map(|row| row.iter().sum::<f32>() as usize).collect();
        let counts = Counts {
            sequences: lengths.len(),
            tokens: self.num_items_in_batch as usize,
            microbatch_tokens: lengths.iter().sum(),
            microbatches: 1,
            max_completion_length: self.max_completion_length,
        };
        let each = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
            lengths.iter().enumerate().flat_map(|(row, &length)| vec![value(row); length]).collect()
        };
        Tokens {
            old: self.flat(&self.old_logprobs),
            sampler: self.flat(&self.sampler_logprobs),
            reference: self.flat(&self.ref_logprobs),
            entropy: self.flat(&self.entropies),
            advantages: each(&|row| self.advantages[row]),
            weights: each(&|row| reduction.weight(lengths[row], &counts) as f32),
            sequence: each(&|row| row as f32).into_iter().map(|row| row as u32).collect(),
        }
    }
}

/// Loss, gradient and counts.
fn differentiated(
    loss: &PolicyLoss,
    logprobs: &[f32],
    tokens: &Tokens,
    beta: f64,
) -> (f64, Vec<f64>, LossStats) {
    let logprobs = Tensor::<1>::from_floats(logprobs, &testkit::autodiff_device()).require_grad();
    let result = loss.loss(logprobs.clone(), tokens, beta);
    let gradient = logprobs.grad(&result.value.backward()).expect("a gradient");
    let gradient = testkit::floats(gradient).into_iter().map(f64::from).collect();
    (f64::from(result.value.into_scalar::<f32>()), gradient, result.tally)
}

/// At most 1e-5 in size, and 2e-6 of the largest number.
fn assert_near(actual: &[f64], expected: &[f64], name: &str) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    for (index, (one, other)) in actual.iter().zip(expected).enumerate() {
        let difference = (one - other).abs();
        let limit = f64::min(1e-5, 2e-6 * largest);
        assert!(difference <= limit, "{name} [{index}]: {one} instead of {other}, off by {difference:e}");
    }
}

#[test]
fn loss_and_gradient_of_every_objective_are_the_references() {
    let golden: Golden = testkit::json("grpo/objectives.json");
    let batch = &golden.batch;
    assert!(golden.loss.len() >= 90, "the fixture has its cases");
    for case in &golden.loss {
        let name = format!("{} {}", case.source, case.keys);
        let config: Config = serde_json::from_value(case.keys.clone()).expect(&name);
        config.validate().expect(&name);
        let loss = config.policy_loss(Logprobs::Exact).expect(&name);
        let mut tokens = batch.tokens(loss.reduction);
        if case.dropped.is_none() {
            tokens.sampler = Vec::new();
        }
        let (value, gradient, tally) =
            differentiated(&loss, &batch.flat(&batch.logprobs), &tokens, config.beta);
        assert_near(&[value], &[case.loss_value], &name);
        assert_near(&gradient, &batch.flat(&case.gradient), &name);
        if let Some(kl) = case.kl {
            assert!((tally.kl / tally.tokens - kl).abs() < 1e-6, "{name}: kl");
        }
        let counts = [case.dropped, case.truncated, case.off_policy].map(Option::unwrap_or_default);
        assert_eq!([tally.dropped, tally.cut, tally.off_policy], counts, "{name}");
    }
}

#[test]
fn advantages_are_the_references() {
    let golden: Golden = testkit::json("grpo/objectives.json");
    assert!(golden.advantages.len() >= 4 && golden.penalised.len() >= 2, "the fixture has its cases");
    let scored = |rewards: &[Vec<f64>]| -> Vec<Vec<Option<f64>>> {
        rewards.iter().map(|group| group.iter().copied().map(Some).collect()).collect()
    };
    for case in &golden.advantages {
        let k = case.pass_at_k.unwrap_or(usize::MAX);
        let result = advantages_at_k(&scored(&case.rewards), case.advantage, k);
        for (one, other) in result.values.concat().iter().zip(case.advantages.concat()) {
            assert!((one - other).abs() < 1e-8, "{:?}: {one} {other}", case.advantage);
        }
    }
    for case in &golden.penalised {
        let groups = case.rewards.iter().zip(&case.kl_sums);
        let rewards = groups.map(|(rewards, kl)| {
            rewards.iter().zip(kl).map(|(reward, kl)| Some(reward - case.beta * kl)).collect()
        });
        let result = advantages(&rewards.collect::<Vec<_>>(), Advantage::Rloo);
        for (one, other) in result.values.concat().iter().zip(case.advantages.concat()) {
            assert!((one - other).abs() < 1e-8, "{one} {other}");
        }
    }
}

#[test]
fn sums_over_tokens_are_tinkers() {
    let cases: Vec<Tinker> = testkit::json("grpo/tinker.json");
    let mut compared = 0;
    for case in &cases {
        let number = |key: &str| case.config[key].as_f64().expect(key);
        let clip = || Clip {
            epsilon: 1.0 - number("clip_low_threshold"),
            epsilon_high: number("clip_high_threshold") - 1.0,
            delta: None,
            dual: None,
        };
        let surrogate: Arc<dyn Surrogate> = match case.loss_fn.as_str() {
            "cross_entropy" => continue, // supervised
            "importance_sampling" => Arc::new(ImportanceSampling),
            "ppo" => Arc::new(clip()),
            "cispo" => {
                Arc::new(Cispo { floor: number("clip_low_threshold"), limit: number("clip_high_threshold") })
            }
            "dro" => Arc::new(Dro { beta: number("beta") }),
            "gspo" => Arc::new(GspoToken(clip())),
            other => panic!("the loss {other} is not compared"),
        };
        let config = Config::default().policy_loss(Logprobs::Exact).expect("valid");
        let loss = PolicyLoss { surrogate, reduction: Reduction::Sum, ..config };
        let vector = |key: &str| -> Vec<f32> {
            serde_json::from_value(case.inputs[key].clone()).unwrap_or_else(|_| panic!("{key}"))
        };
        // Tinker sums over a prompt's tokens, too, which come with zeros; its GSPO leaves them out of the mean.
        let tokens = case.target_logprobs.len();
        let prompt = case
            .inputs
            .get("sequence_ratio_mask")
            .map_or_else(|| vec![1.0; tokens], |_| vector("sequence_ratio_mask"));
        let tokens = Tokens {
            old: vector("logprobs"),
            advantages: vector("advantages"),
            weights: prompt,
            sequence: vec![0; tokens],
            ..Tokens::default()
        };
        let (value, gradient, _) = differentiated(&loss, &case.target_logprobs, &tokens, 0.0);
        assert_near(&[value], &[case.loss], &case.loss_fn);
        assert_near(&gradient, &case.gradient, &case.loss_fn);
        compared += 1;
    }
    assert_eq!(compared, 6);
}
