//! Loss, gradient and advantages against TRL's numbers (`fixtures/grpo/make.py`).

use burn::tensor::Tensor;
use ruminate_grpo::loss::{Counts, Reduction, Tokens};
use ruminate_grpo::{Advantage, Config, ImportanceLevel, LossType, Scale, advantages, decoupled_advantages};
use ruminate_rollout::Logprobs;
use ruminate_testkit as testkit;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    batch: Batch,
    loss: Vec<LossCase>,
    advantages: Vec<AdvantageCase>,
    decoupled: Vec<DecoupledCase>,
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

#[derive(Deserialize)]
struct LossCase {
    loss_type: LossType,
    beta: f64,
    importance_sampling_level: ImportanceLevel,
    epsilon_low: f64,
    epsilon_high: f64,
    delta: Option<f64>,
    loss_value: f32,
    gradient: Vec<Vec<f32>>,
    kl: Option<f64>,
    clip_region: f64,
}

#[derive(Deserialize)]
struct AdvantageCase {
    rewards: Vec<Vec<f64>>,
    scale: Scale,
    advantages: Vec<Vec<f64>>,
    zero_std: f64,
}

#[derive(Deserialize)]
struct DecoupledCase {
    rewards: Vec<Vec<Option<Vec<f64>>>>,
    weights: Vec<f64>,
    advantages: Vec<Vec<f64>>,
}

impl Batch {
    /// Values at the places whose mask is 1, sequence after sequence.
    fn flat<T: Copy>(&self, values: &[Vec<T>]) -> Vec<T> {
        let masked = |(row, mask): (&Vec<T>, &Vec<f32>)| -> Vec<T> {
            row.iter().zip(mask).filter(|&(_, &mask)| mask > 0.0).map(|(&value, _)| value).collect()
        };
        values.iter().zip(&self.mask).flat_map(masked).collect()
    }

    fn lengths(&self) -> Vec<usize> {
        self.mask.iter().map(|row| row.iter().sum::<f32>() as usize).collect()
    }

    fn tokens(&self, reduction: Reduction) -> Tokens {
        let lengths = self.lengths();
        let counts = Counts {
            sequences: lengths.len(),
            tokens: self.num_items_in_batch as usize,
            microbatch_tokens: lengths.iter().sum(),
            microbatches: 1,
            max_completion_length: self.max_completion_length,
        };
        let each = |value: &dyn Fn(usize, usize) -> f32| {
            lengths
                .iter()
                .enumerate()
                .flat_map(|(s, &length)| vec![value(s, length); length])
                .collect::<Vec<f32>>()
        };
        Tokens {
            old: self.flat(&self.old_logprobs),
            sampler: Vec::new(),
            entropy: Vec::new(),
            reference: self.flat(&self.ref_logprobs),
            advantages: each(&|sequence, _| self.advantages[sequence]),
            weights: each(&|_, length| reduction.weight(length, &counts) as f32),
            sequence: lengths.iter().enumerate().flat_map(|(s, &length)| vec![s as u32; length]).collect(),
        }
    }
}

#[test]
fn loss_and_gradient_equal_trls_in_every_variant() {
    let golden: Golden = testkit::json("grpo/golden.json");
    assert!(golden.loss.len() >= 16, "the fixture has its cases");
    for case in &golden.loss {
        let config = Config {
            loss_type: case.loss_type,
            beta: case.beta,
            importance_sampling_level: case.importance_sampling_level,
            epsilon: case.epsilon_low,
            epsilon_high: Some(case.epsilon_high),
            delta: case.delta,
            ..Config::default()
        };
        let loss = config.policy_loss(Logprobs::Exact).expect("valid");
        let tokens = golden.batch.tokens(loss.reduction);
        let logprobs = golden.batch.flat(&golden.batch.logprobs);
        let logprobs =
            Tensor::<1>::from_floats(logprobs.as_slice(), &testkit::autodiff_device()).require_grad();
        let result = loss.loss(logprobs.clone(), &tokens, case.beta);
        let value = result.value.clone().into_scalar::<f32>();
        let name = format!("{:?} beta {} {:?}", case.loss_type, case.beta, case.importance_sampling_level);
        assert!((value - case.loss_value).abs() < 1e-5, "{name}: {value} instead of {}", case.loss_value);

        let gradient = logprobs.grad(&result.value.backward()).expect("a gradient");
        let expected = golden.batch.flat(&case.gradient);
        let actual = testkit::floats(gradient);
        testkit::assert_close(&actual, &expected, 1e-5);

        if let Some(kl) = case.kl {
            assert!((result.tally.kl / result.tally.tokens - kl).abs() < 1e-5, "{name}: kl");
        }
        if case.importance_sampling_level == ImportanceLevel::Token {
            assert!(
                (result.tally.clipped / result.tally.tokens - case.clip_region).abs() < 1e-6,
                "{name}: clip ratio"
            );
        }
    }
}

#[test]
fn advantages_equal_trls() {
    let golden: Golden = testkit::json("grpo/golden.json");
    for case in &golden.advantages {
        let rewards: Vec<Vec<Option<f64>>> =
            case.rewards.iter().map(|group| group.iter().copied().map(Some).collect()).collect();
        let result = advantages(&rewards, Advantage::from(case.scale));
        let flat = |groups: &[Vec<f64>]| groups.concat().iter().map(|&x| x as f32).collect::<Vec<f32>>();
        testkit::assert_close(&flat(&result.values), &flat(&case.advantages), 1e-6);
        // TRL counts by batch where it scales by batch; ours is always the share of groups.
        if case.scale != Scale::Batch {
            assert!((result.frac_reward_zero_std - case.zero_std).abs() < 1e-9);
        }
    }
}

#[test]
fn decoupled_advantages_equal_trls() {
    let golden: Golden = testkit::json("grpo/golden.json");
    assert!(golden.decoupled.len() >= 3, "the fixture has its cases");
    for case in &golden.decoupled {
        let result = decoupled_advantages(&case.rewards, &case.weights);
        let flat = |groups: &[Vec<f64>]| groups.concat().iter().map(|&x| x as f32).collect::<Vec<f32>>();
        testkit::assert_close(&flat(&result.values), &flat(&case.advantages), 1e-6);
    }
}
