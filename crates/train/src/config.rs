//! What every trainer shares of a recipe: optimizer, schedule, router, and when to save. Key names follow TRL
//! where the meaning is the same. Defaults are the vetted algorithm; a recipe states only departures.

use crate::Error;
use crate::optim::{Muon, Optimizer, OptimizerName, OptimizerState, StepParams};
use ruminate_model::Decoder;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Optimizer, schedule, router and saving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What products of matrices multiply while the model learns: `float32`, or `bfloat16`, to which both operands are
    /// rounded, in the backward pass, too. Weights, sums, norms, router, softmax, loss and the optimizer's
    /// state stay in f32; what is kept for the backward pass takes half the memory. For CPUs with
    /// AVX512-BF16. A resumed run has the one that it began with.
    pub dtype: crate::Dtype,
    /// What the frozen matrices are held in under adapters (`[lora]`): `float32`, or `bfloat16` in half the
    /// memory, which changes nothing where the checkpoint is in bfloat16.
    pub frozen_dtype: crate::Dtype,
    /// The optimizer. A resumed run has the one that it began with.
    pub optimizer: OptimizerName,
    /// How AdamW's moments are held; `muon` refuses `int8`. A resumed run has what it began with.
    pub optimizer_state: OptimizerState,
    /// Peak learning rate, not negative. Adapters (`[lora]`) take about ten times the rate of full
    /// fine-tuning.
    pub learning_rate: f64,
    /// Decay of AdamW's first moment, from 0 to below 1.
    pub adam_beta1: f64,
    /// Decay of AdamW's second moment, from 0 to below 1.
    pub adam_beta2: f64,
    /// Added to the root of the second moment; above 0.
    pub adam_epsilon: f64,
    /// Decoupled weight decay, not negative, of tensors of rank 2 and above: norm gains and biases are left
    /// alone, as Hugging Face's Trainer does.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are scaled down to it; 0 and `inf` never clip.
    pub max_grad_norm: f64,
    /// Settings of Muon, where it is the `optimizer`: those of `torch.optim.Muon` by their names
    /// there.
    pub muon: Muon,
    /// Course of the learning rate after warm-up.
    pub lr_scheduler_type: Scheduler,
    /// Optimizer updates over which the learning rate rises linearly; the first has rate 0, as in
    /// transformers. 0 starts at the peak. A step of GRPO has `num_minibatches` times `num_iterations`
    /// updates.
    pub warmup_steps: usize,
    /// Share of the peak that `linear` and `cosine` end at, from 0 to 1.
    pub lr_scheduler_min_ratio: f64,
    /// What training does to the routers of a mixture of experts.
    pub router: RouterTraining,
    /// How far a router's bias moves per step (gamma of arXiv 2408.15664), not negative; 0 leaves biases as
    /// they are.
    pub router_bias_update_rate: f64,
    /// Largest magnitude of a router's bias, above 0: a collapsed router must not drive it away for ever.
    pub router_bias_bound: f64,
    /// Weight of the sequence-wise balance loss (alpha of arXiv 2412.19437, eq. 17), not negative, in
    /// supervised training only; 0 is none.
    pub router_balance_alpha: f64,
    /// Keeps only the states between a decoder's blocks and computes each block again for its gradients: a
    /// fraction of the memory of activations for a third more time, and the same result but for the order of
    /// a few sums.
    pub gradient_checkpointing: bool,
    /// Microbatches computed at the same time, each by a thread. 0 is as many as `threads` on the CPU, and 1
    /// on other devices or where `model` is a folder of a decoder at least 512 wide: its matrix products are
    /// split among the threads anyway, and a second microbatch would double the memory of gradients. No
    /// result depends on it.
    ///
    /// The caller replaces 0; here it counts as 1.
    pub workers: usize,
    /// Steps between checkpoints; 0 saves none on the way. The last step is saved, and the step at which a
    /// run is interrupted.
    pub save_steps: usize,
    /// Newest checkpoints that are kept, from 1.
    pub save_total_limit: usize,
    /// Steps in a row that may have a loss or gradient that is not finite; each is skipped. One more ends the
    /// run (exit 5).
    pub max_skipped_steps: usize,
}

/// Shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Stays at its peak.
    Constant,
    /// Falls on a straight line.
    Linear,
    /// Falls on half a cosine.
    #[default]
    Cosine,
}

/// What training does to the routers of a mixture of experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterTraining {
    /// Router weights get no gradient and balancing biases stay: a token's experts change only through its
    /// state.
    Freeze,
    /// Router weights learn, and biases move against the load (auxiliary-loss-free balance).
    #[default]
    Update,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dtype: crate::Dtype::Float32,
            frozen_dtype: crate::Dtype::Float32,
            optimizer: OptimizerName::AdamW,
            optimizer_state: OptimizerState::Float32,
            learning_rate: 3e-4,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            muon: Muon::default(),
            lr_scheduler_type: Scheduler::Cosine,
            warmup_steps: 0,
            lr_scheduler_min_ratio: 0.0,
            router: RouterTraining::Update,
            router_bias_update_rate: 1e-3,
            router_bias_bound: 1.0,
            router_balance_alpha: 1e-4,
            gradient_checkpointing: false,
            workers: 0,
            save_steps: 500,
            save_total_limit: 2,
            max_skipped_steps: 3,
        }
    }
}

impl Config {
    /// A decoder that computes in [`Config::dtype`], with frozen weights in [`Config::frozen_dtype`].
    pub fn computing(&self, decoder: Decoder) -> Decoder {
        decoder.with_compute_dtype(self.dtype.into()).with_frozen_dtype(self.frozen_dtype.into())
    }

    /// [`Config::workers`], for [`accumulate`](crate::accumulate).
    pub fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.workers).unwrap_or(NonZeroUsize::MIN)
    }

    /// The rule of [`Config::optimizer`], with its settings.
    pub fn new_optimizer(&self) -> Box<dyn Optimizer> {
        self.optimizer.build(self)
    }

    /// A step's settings with the rate that is due.
    pub fn step_params(&self, learning_rate: f64) -> StepParams {
        StepParams {
            learning_rate,
            betas: [self.adam_beta1, self.adam_beta2],
            epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
        }
    }

    /// Checks every value, before any tensor is made.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let below_one = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        let floats = [
            ("learning_rate", self.learning_rate, not_negative(self.learning_rate), NOT_NEGATIVE),
            ("adam_beta1", self.adam_beta1, below_one(self.adam_beta1), BELOW_ONE),
            ("adam_beta2", self.adam_beta2, below_one(self.adam_beta2), BELOW_ONE),
            ("adam_epsilon", self.adam_epsilon, positive(self.adam_epsilon), POSITIVE),
            ("weight_decay", self.weight_decay, not_negative(self.weight_decay), NOT_NEGATIVE),
            (
                "max_grad_norm",
                self.max_grad_norm,
                self.max_grad_norm >= 0.0,
                "a number, not negative, or inf",
            ),
            (
                "lr_scheduler_min_ratio",
                self.lr_scheduler_min_ratio,
                share(self.lr_scheduler_min_ratio),
                SHARE,
            ),
            (
                "router_bias_update_rate",
                self.router_bias_update_rate,
                not_negative(self.router_bias_update_rate),
                NOT_NEGATIVE,
            ),
            ("router_bias_bound", self.router_bias_bound, positive(self.router_bias_bound), POSITIVE),
            (
                "router_balance_alpha",
                self.router_balance_alpha,
                not_negative(self.router_balance_alpha),
                NOT_NEGATIVE,
            ),
        ];
        for (key, value, fits, expected) in floats {
            if !fits {
                return Err(Error::Range { key, found: value.to_string(), expected });
            }
        }
        at_least_one("save_total_limit", self.save_total_limit)?;
        if self.optimizer == OptimizerName::Muon && self.optimizer_state == OptimizerState::Int8 {
            return Err(Error::Range {
                key: "optimizer_state",
                found: self.optimizer_state.to_string(),
                expected: "`float32` under `optimizer = \"muon\"`, whose state has no form in 8 bits; `int8` is of `adamw`",
            });
        }
        self.new_optimizer().validate()
    }
}

const NOT_NEGATIVE: &str = "a finite number, not negative";
const POSITIVE: &str = "a finite number above 0";
const BELOW_ONE: &str = "a number from 0 to below 1";
const SHARE: &str = "a number from 0 to 1";

/// For counts of which zero makes no sense.
pub(crate) fn at_least_one(key: &'static str, count: usize) -> Result<(), Error> {
    if count == 0 {
        return Err(Error::Range { key, found: "0".to_owned(), expected: "a whole number from 1" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::Error;
    use crate::optim::{OptimizerName, OptimizerState};

    #[test]
    fn defaults_are_valid() {
        assert!(Config::default().validate().is_ok());
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        type Spoil = fn(&mut Config);
        let broken: [(&str, Spoil); 10] = [
            ("learning_rate", |c| c.learning_rate = f64::NAN),
            ("adam_beta2", |c| c.adam_beta2 = 1.0),
            ("adam_epsilon", |c| c.adam_epsilon = 0.0),
            ("max_grad_norm", |c| c.max_grad_norm = -1.0),
            ("lr_scheduler_min_ratio", |c| c.lr_scheduler_min_ratio = 1.5),
            ("save_total_limit", |c| c.save_total_limit = 0),
            ("optimizer_state", |c| c.optimizer_state = OptimizerState::Int8),
            ("muon.momentum", |c| c.muon.momentum = 1.0),
            ("muon.ns_steps", |c| c.muon.ns_steps = 0),
            ("muon.lr_multiplier", |c| c.muon.lr_multiplier = 0.0),
        ];
        for (name, spoil) in broken {
            let mut config = Config { optimizer: OptimizerName::Muon, ..Config::default() };
            spoil(&mut config);
            match config.validate() {
                Err(Error::Range { key, .. }) => assert_eq!(key, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
