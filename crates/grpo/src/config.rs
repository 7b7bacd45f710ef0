//! The recipe of GRPO. Key names follow TRL's GRPOConfig where the meaning is the same.

mod choices;
mod keys;

use crate::loss::{Correction, KlEstimator, KlPlacement, Reduction};
use crate::{Advantage, Error};
use ruminate_data::PoolShares;
use ruminate_rollout::Logprobs;
use serde::{Deserialize, Serialize};

pub use choices::{Aggregation, ImportanceLevel, LossType, RouterReplay, Scale};

/// What a GRPO step does. Optimizer, schedule and saving are [`train::Config`](ruminate_train::Config)'s, sampling
/// is [`rollout::Config`](ruminate_rollout::Config)'s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Completions per problem (G), at least 2.
    pub num_generations: usize,
    /// Problems per step, from 1.
    pub prompts_per_step: usize,
    /// Whether groups whose rewards are all equal are replaced by further problems (DAPO's dynamic sampling, arXiv
    /// 2503.14476; verl's `algorithm.filter_groups`). Without it no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_groups: Option<bool>,
    /// Of `filter_groups`: rounds of sampling that a step may take, from 1. When they are over the step goes on
    /// with what there is, filled up with groups of equal rewards. Without it 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_num_gen_batches: Option<usize>,
    /// Difficulty pools of a file's problems (prime-rl's), or of the families of `data.tasks`: which is asked next
    /// depends on the pass rate at which it was last solved. Without the table a file's problems come in a new
    /// order each epoch, and families by their weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<PoolShares>,
    /// Steps that the weights behind a completion may be behind those that learn from it (S). Up to S more steps of problems
    /// are then sampled meanwhile, by servers while the trainer learns (docs/servers.md). Without it 0: sampling and learning
    /// take turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_staleness: Option<usize>,
    /// Optimizer updates that a pass over a step's completions is split into: from 1, and a divisor of
    /// `prompts_per_step`, since a group is never split.
    pub num_minibatches: usize,
    /// Passes over a step's completions (mu in the paper), from 1.
    pub num_iterations: usize,
    /// Most completions of one forward and backward pass, from 1. Fewer take less memory. Loss and gradient
    /// are the same but for the order of sums; with a mixture of experts the load, and with it the routers'
    /// biases, are not: a prompt counts once in each microbatch that holds some of its completions.
    pub micro_batch_size: usize,
    /// About as many tokens have one forward and backward pass, from 1; a prompt that completions share
    /// counts once. The same holds as for `micro_batch_size`.
    pub micro_batch_tokens: usize,
    /// Weight of the KL divergence from the reference policy, not negative; at 0 there is no reference.
    pub beta: f64,
    /// Steps after which the reference becomes the current policy; 0 keeps the first one.
    pub ref_model_sync_steps: usize,
    /// How far the ratio may fall below 1 (and rise above, unless `epsilon_high` says otherwise); not
    /// negative.
    pub epsilon: f64,
    /// How far the ratio may rise above 1 (DAPO's clip-higher), not negative. Without it `epsilon`. With
    /// `loss_type = "cispo"` it is the limit of the ratio itself, as in TRL, and needed: at least 1, such as 5.
    pub epsilon_high: Option<f64>,
    /// Upper limit of the unclipped ratio, above 1 + `epsilon_high`: bounds the loss of negative advantages
    /// (INTELLECT-2's two-sided clip). Without it there is no limit but that of `correction`.
    pub delta: Option<f64>,
    /// Upper limit of the ratio of negative advantages, clipped or not, above 1 (dual clip, arXiv 1912.09729;
    /// verl's `clip_ratio_c`, 3 there).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual_clip: Option<f64>,
    /// Lower limit of the ratio with `loss_type = "cispo"`, from 0 to 1. Without it there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cispo_ratio_min: Option<f64>,
    /// Of `sapo`: temperature of the gate of positive advantages, above 0. Without it 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sapo_temperature_pos: Option<f64>,
    /// Of `sapo`: temperature of the gate of the other advantages, above 0. Without it 1.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sapo_temperature_neg: Option<f64>,
    /// Of `vespo`: exponent of the ratio of advantages from 0, above 0. Without it 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_k_pos: Option<f64>,
    /// Of `vespo`: decay of the ratio of advantages from 0, above 0. Without it 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_lambda_pos: Option<f64>,
    /// Of `vespo`: exponent of the ratio of negative advantages, above 0. Without it 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_k_neg: Option<f64>,
    /// Of `vespo`: decay of the ratio of negative advantages, above 0. Without it 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_lambda_neg: Option<f64>,
    /// Of `dppo_tv` and `dppo_kl`: how far a token's probability may fall, not negative. Without it 0.2 with
    /// `dppo_tv` (prime-rl's), 0.05 with `dppo_kl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dppo_mask_low: Option<f64>,
    /// Of `dppo_tv` and `dppo_kl`: how far a token's probability may rise, as `dppo_mask_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dppo_mask_high: Option<f64>,
    /// Of `dppo_tv` and `dppo_kl`: limit of the ratio, above 1, with which it becomes a weight of the
    /// log-probability (verl's form, 20 there). Without it the ratio has no limit (prime-rl's form).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dppo_ratio_max: Option<f64>,
    /// Of `dppo_tv` and `dppo_kl`: weight of the squared log-ratio, not negative (prime-rl's `kl_tau`).
    /// Without it 0.001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dppo_kl_tau: Option<f64>,
    /// Of `dro`, which needs it: weight of the squared log-ratio, above 0, such as 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dro_beta: Option<f64>,
    /// Of `clip_cov`: share of a microbatch's tokens that is left out, above 0 and at most 1. Without it
    /// 0.0002.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_cov_ratio: Option<f64>,
    /// Of `clip_cov`: a covariance above it may be left out. Without it 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_cov_lb: Option<f64>,
    /// Of `clip_cov`: a covariance below it may be left out; above `clip_cov_lb`. Without it 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_cov_ub: Option<f64>,
    /// Of `kl_cov`: share of a microbatch's tokens that the KL term is of, above 0 and at most 1. Without it
    /// 0.0002.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_cov_ratio: Option<f64>,
    /// Of `kl_cov`: weight of the KL term, not negative (verl's `ppo_kl_coef`). Without it 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_cov_coef: Option<f64>,
    /// How the rewards of a group become advantages. Without it as `scale_rewards` and
    /// `multi_objective_aggregation` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advantage: Option<Advantage>,
    /// Of `advantage = "pass_at_k"`, which needs it: the k, from 2 to `num_generations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_at_k: Option<usize>,
    /// The loss of a token. `grpo`, `bnpo`, `dapo` and `dr_grpo` are TRL's names of `clip` with a reduction.
    pub loss_type: LossType,
    /// How the losses of tokens become one number. Without it as `loss_type` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// How the difference between sampler and trainer is bounded. Without it `"truncate"` where `max_staleness` is above 0
    /// and the loss and `router_replay` go with it; else `"cap"` where the weights differ for that reason, or the sampler or the
    /// trainer rounds (`rollout.dtype`, `train.dtype`), the loss has a ratio that can be capped and no other key bounds it, else `"none"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
    /// Lower limit of the correction's ratio, not negative (TRL's `vllm_importance_sampling_clip_min`). Without
    /// it 0.5 with `ice_pop`, 0.999 with `geometric_mask`, none with the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction_min: Option<f64>,
    /// Upper limit of the correction's ratio, from 1 (TRL's `vllm_importance_sampling_clip_max`); `inf` is none.
    /// Without it 5 with `ice_pop`, 1.001 with `geometric_mask`, 3 with the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction_max: Option<f64>,
    /// KL between sampler and policy, in nats per token, above which a completion with a negative advantage is
    /// left out, above 0 (DeepSeek-V3.2, arXiv 2512.02556). Without it none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_policy_mask_threshold: Option<f64>,
    /// What of the divergence from the reference a token gives. Without it `"k3"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_estimator: Option<KlEstimator>,
    /// Where the divergence is added. Without it `"loss"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_placement: Option<KlPlacement>,
    /// Whether the divergence has the gradient of `"k2"`, whatever its value (verl's `k1+`, `abs+`, `k3+`).
    /// Without it no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_straight_through: Option<bool>,
    /// Share of a microbatch's tokens, those with the largest entropy, that the loss is of; above 0 and at
    /// most 1 (arXiv 2506.01939; the KL term is of all). Without it 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_entropy_quantile: Option<f64>,
    /// Weight of an entropy bonus, not negative: `loss - entropy_coef x mean entropy`. With `entropy_target` the
    /// weight at first. Without it 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_coef: Option<f64>,
    /// Entropy in nats per token, above 0, that the bonus is to keep: it is given only while the entropy of the
    /// last update was not above it, and its weight goes up then and down otherwise (Skywork-OR1, arXiv
    /// 2505.22312; TRL's `use_adaptive_entropy`). Without it the weight stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_target: Option<f64>,
    /// Of `entropy_target`: smallest weight, not negative. Without it 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_coef_min: Option<f64>,
    /// Of `entropy_target`: largest weight, from `entropy_coef_min`. Without it 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_coef_max: Option<f64>,
    /// Of `entropy_target`: how far the weight moves per update, above 0. Without it 0.005.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_coef_delta: Option<f64>,
    /// TRL's name of three advantages: what centred rewards are divided by.
    pub scale_rewards: Scale,
    /// TRL's name of GDPO's advantage: how a reward of several parts becomes an advantage.
    pub multi_objective_aggregation: Aggregation,
    /// TRL's name of `gspo`: whether the clipped ratio is of tokens or of sequences.
    pub importance_sampling_level: ImportanceLevel,
    /// Leaves completions that reached the length limit out of the loss.
    pub mask_truncated_completions: bool,
    /// How training routes the tokens of a mixture of experts. `auto` is `on` where the sampler or the
    /// trainer rounds (`rollout.dtype`, `train.dtype`), but for `correction = "truncate"`, also by default, else `off`.
    pub router_replay: RouterReplay,
    /// Steps between evaluations; 0 evaluates before the first step and after the last only.
    pub eval_steps: usize,
    /// KL between sampler and trainer, in nats per token, that ends the run (exit 8) when exceeded three
    /// steps in a row; `inf` never does. Without it 1e-3; 0.2 where the sampler or the trainer rounds (`rollout.dtype`,
    /// `train.dtype`); `inf` with a `max_staleness` above 0.
    pub max_mismatch_kl: Option<f64>,
}

/// More than any run learns from.
const MOST_STALENESS: usize = 1000;

impl Default for Config {
    fn default() -> Self {
        Self {
            num_generations: 8,
            prompts_per_step: 8,
            filter_groups: None,
            max_num_gen_batches: None,
            pools: None,
            max_staleness: None,
            num_minibatches: 1,
            num_iterations: 1,
            micro_batch_size: 64,
            micro_batch_tokens: 2048,
            beta: 0.0,
            ref_model_sync_steps: 0,
            epsilon: 0.2,
            epsilon_high: None,
            delta: None,
            dual_clip: None,
            cispo_ratio_min: None,
            sapo_temperature_pos: None,
            sapo_temperature_neg: None,
            vespo_k_pos: None,
            vespo_lambda_pos: None,
            vespo_k_neg: None,
            vespo_lambda_neg: None,
            dppo_mask_low: None,
            dppo_mask_high: None,
            dppo_ratio_max: None,
            dppo_kl_tau: None,
            dro_beta: None,
            clip_cov_ratio: None,
            clip_cov_lb: None,
            clip_cov_ub: None,
            kl_cov_ratio: None,
            kl_cov_coef: None,
            advantage: None,
            pass_at_k: None,
            loss_type: LossType::Dapo,
            reduction: None,
            correction: None,
            correction_min: None,
            correction_max: None,
            off_policy_mask_threshold: None,
            kl_estimator: None,
            kl_placement: None,
            kl_straight_through: None,
            top_entropy_quantile: None,
            entropy_coef: None,
            entropy_target: None,
            entropy_coef_min: None,
            entropy_coef_max: None,
            entropy_coef_delta: None,
            scale_rewards: Scale::Group,
            multi_objective_aggregation: Aggregation::SumThenNormalize,
            importance_sampling_level: ImportanceLevel::Token,
            mask_truncated_completions: false,
            router_replay: RouterReplay::Auto,
            eval_steps: 0,
            max_mismatch_kl: None,
        }
    }
}

impl Config {
    /// DeepSeek-R1-Zero's settings (arXiv 2501.12948, section 2.2): a rollout of 8,192 outputs, 16 of each of 512
    /// questions, split into 16 minibatches of one pass; k3 KL of weight 0.001 from a reference that is renewed every
    /// 400 updates, that is 25 of our steps; the paper's reduction. Its learning rate (3e-6) is `train::Config`'s,
    /// and the clip of 10 is of R1's first stage only.
    pub fn r1_zero() -> Self {
        Self {
            num_generations: 16,
            prompts_per_step: 512,
            num_minibatches: 16,
            beta: 1e-3,
            ref_model_sync_steps: 25,
            loss_type: LossType::Grpo,
            ..Self::default()
        }
    }

    /// Upper clip range.
    pub fn epsilon_high(&self) -> f64 {
        self.epsilon_high.unwrap_or(self.epsilon)
    }

    /// Steps that a completion's weights may be old.
    pub fn staleness(&self) -> usize {
        self.max_staleness.unwrap_or(0)
    }

    /// Whether training routes to the experts that a sampler with such log-probabilities chose.
    pub fn replays_routes(&self, logprobs: Logprobs) -> bool {
        match self.router_replay {
            RouterReplay::On => true,
            RouterReplay::Off => false,
            RouterReplay::Auto => {
                let truncates = self.correction == Some(Correction::Truncate)
                    || self.correction.is_none() && self.truncates_by_default();
                logprobs == Logprobs::Approximate && !truncates
            }
        }
    }

    /// Optimizer updates a step.
    pub fn updates_per_step(&self) -> usize {
        self.num_minibatches * self.num_iterations
    }

    /// Checks every value, before any tensor is made.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let range = |key, found: String, expected| Err(Error::Range { key, found, expected });
        let counts = [
            ("prompts_per_step", self.prompts_per_step),
            ("num_minibatches", self.num_minibatches),
            ("num_iterations", self.num_iterations),
            ("micro_batch_size", self.micro_batch_size),
            ("micro_batch_tokens", self.micro_batch_tokens),
        ];
        if let Some((key, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return range(key, "0".to_owned(), "a whole number from 1");
        }
        if self.num_generations < 2 {
            let expected = "at least 2: an advantage compares a completion with its group";
            return range("num_generations", self.num_generations.to_string(), expected);
        }
        if self.staleness() > MOST_STALENESS {
            let expected = "a whole number of steps, at most 1000";
            return range("max_staleness", self.staleness().to_string(), expected);
        }
        if self.num_minibatches > self.prompts_per_step {
            let expected = "at most prompts_per_step: a group is never split";
            return range("num_minibatches", self.num_minibatches.to_string(), expected);
        }
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        let floats = [
            ("beta", self.beta, not_negative(self.beta), "a finite number, not negative"),
            ("epsilon", self.epsilon, not_negative(self.epsilon), "a finite number, not negative"),
            (
                "epsilon_high",
                self.epsilon_high(),
                not_negative(self.epsilon_high()),
                "a finite number, not negative",
            ),
            (
                "max_mismatch_kl",
                self.max_mismatch_kl.unwrap_or(f64::INFINITY),
                self.max_mismatch_kl.is_none_or(|limit| limit > 0.0),
                "a number above 0, or inf",
            ),
        ];
        for (key, value, fits, expected) in floats {
            if !fits {
                return range(key, value.to_string(), expected);
            }
        }
        self.check_filter_groups()?;
        if let Some(Err((key, value, expected))) = self.pools.map(|pools| pools.validate()) {
            let key = match key {
                "easy_threshold" => "pools.easy_threshold",
                "hard_threshold" => "pools.hard_threshold",
                "easy_fraction" => "pools.easy_fraction",
                _ => "pools.hard_fraction",
            };
            return range(key, value.to_string(), expected);
        }
        self.check_entropy_bonus()?;
        self.policy_loss(Logprobs::Exact).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, RouterReplay};
    use crate::loss::Correction;
    use ruminate_rollout::Logprobs;

    #[test]
    fn a_sampler_that_rounds_has_its_experts_replayed_unless_a_key_says_otherwise() {
        let with = |router_replay, correction| Config { correction, router_replay, ..Config::default() };
        for (config, exact, approximate) in [
            (Config::default(), false, true),
            (with(RouterReplay::Auto, Some(Correction::Truncate)), false, false),
            (with(RouterReplay::Off, None), false, false),
            (with(RouterReplay::On, None), true, true),
            (Config { max_staleness: Some(1), ..Config::default() }, false, false),
            (Config { max_staleness: Some(1), ..with(RouterReplay::On, None) }, true, true),
        ] {
            assert_eq!(config.replays_routes(Logprobs::Exact), exact, "{config:?}");
            assert_eq!(config.replays_routes(Logprobs::Approximate), approximate, "{config:?}");
        }
    }

    #[test]
    fn presets_are_valid_and_nonsense_is_refused_by_its_key() {
        assert!(Config::default().validate().is_ok());
        assert!(Config::r1_zero().validate().is_ok());
        let broken = [
            ("num_generations", Config { num_generations: 1, ..Config::default() }),
            ("num_minibatches", Config { num_minibatches: 9, ..Config::default() }),
            ("max_staleness", Config { max_staleness: Some(usize::MAX), ..Config::default() }),
            ("beta", Config { beta: f64::NAN, ..Config::default() }),
        ];
        for (key, config) in broken {
            let message = config.validate().expect_err(key).to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
