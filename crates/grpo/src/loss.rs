//! The clipped surrogate with its KL term, over the loss tokens of packed sequences.
//!
//! ```text
//! r_t = exp(logp_t - old_t)                     token level; for sequences the mean of the exponent is taken first
//! l_t = -min(min(r_t, delta) A, clip(r_t, 1 - epsilon, 1 + epsilon_high) A) + beta k3_t
//! k3_t = exp(ref_t - logp_t) - (ref_t - logp_t) - 1         (Schulman 2020: unbiased, never negative)
//! loss = sum_t w_t l_t                          the reduction is in the weights
//! ```

// N loss tokens, S sequences

use crate::{Config, ImportanceLevel, LossType};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};

/// What the loss needs to know of each token besides the policy's log-probability. All vectors have N entries.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Log-probabilities under the policy that sampled, in nats.
    pub old: Vec<f32>,
    /// Log-probabilities under the reference policy; empty without one.
    pub reference: Vec<f32>,
    /// The advantage of the token's completion.
    pub advantages: Vec<f32>,
    /// The token's share in the sum, from [`weight`]; 0 leaves it out.
    pub weights: Vec<f32>,
    /// Which sequence the token belongs to, from 0.
    pub sequence: Vec<u32>,
}

/// A loss and what it says about itself.
#[derive(Clone, Debug)]
pub struct Loss {
    /// `[1]`, to be differentiated.
    pub value: Tensor<1>,
    /// What the metrics are made of.
    pub tally: LossStats,
}

/// Sums over the tokens that count, those with a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossStats {
    /// How many there are.
    pub tokens: f64,
    /// Sum of the k3 estimates, in nats; 0 without a reference.
    pub kl: f64,
    /// How many the clip held, in the direction in which it matters.
    pub clipped: f64,
}

impl LossStats {
    /// Adds another microbatch's sums.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.kl += other.kl;
        self.clipped += other.clipped;
    }
}

/// Which tokens a reduction averages over.
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// Sequences of the update.
    pub sequences: usize,
    /// Loss tokens of the update.
    pub tokens: usize,
    /// Loss tokens of this microbatch (`bnpo`).
    pub local_tokens: usize,
    /// Microbatches of the update (`bnpo` is averaged over them).
    pub microbatches: usize,
    /// The length limit of completions (`dr_grpo`).
    pub max_completion_length: usize,
}

/// The weight of each token of a completion with `length` loss tokens.
pub fn weight(loss_type: LossType, length: usize, reduction: &Reduction) -> f64 {
    let share = |count: usize| 1.0 / count.max(1) as f64;
    match loss_type {
        LossType::Grpo => share(reduction.sequences) * share(length),
        LossType::Bnpo => share(reduction.local_tokens) * share(reduction.microbatches),
        LossType::Dapo => share(reduction.tokens),
        LossType::DrGrpo => share(reduction.sequences * reduction.max_completion_length),
    }
}

/// The loss of a microbatch.
///
/// A token without a finite `old` must have weight 0; its ratio is then taken as 1, so that no infinity meets a
/// zero.
///
/// # Shapes
/// - `logprobs`: `[N]`, under the policy, with gradient; result: `[1]`
///
/// # Panics
/// When the vectors of `tokens` do not have N entries.
pub fn loss(logprobs: Tensor<1>, tokens: &Tokens, config: &Config) -> Loss {
    let device = logprobs.device();
    let [count] = logprobs.dims();
    assert!(
        [tokens.old.len(), tokens.advantages.len(), tokens.weights.len(), tokens.sequence.len()]
            == [count; 4],
        "one entry a loss token"
    );
    let present: Vec<f32> = tokens.old.iter().map(|old| f32::from(u8::from(old.is_finite()))).collect();
    let old: Vec<f32> = tokens.old.iter().map(|&old| if old.is_finite() { old } else { 0.0 }).collect();
    let upload = |values: &[f32]| Tensor::<1>::from_floats(values, &device);
    let advantages = upload(&tokens.advantages);
    let weights = upload(&tokens.weights);

    // Masked before exp: 0 x inf would be NaN in the backward pass.
    let log_ratio = (logprobs.clone() - upload(&old)) * upload(&present);
    let log_ratio = match config.importance_sampling_level {
        ImportanceLevel::Token => log_ratio,
        ImportanceLevel::Sequence => sequence_means(log_ratio, tokens, &device),
    };
    let ratio = log_ratio.exp();
    let (low, high) = (1.0 - config.epsilon, 1.0 + config.epsilon_high());
    let clipped = held(&ratio, tokens, low, high);
    let bounded = ratio.clone().clamp(low, high);
    let unclipped = match config.delta {
        Some(delta) => ratio.clamp_max(delta),
        None => ratio,
    };
    let surrogate = (unclipped * advantages.clone()).min_pair(bounded * advantages).neg();

    let (per_token, kl) = if config.beta > 0.0 {
        let difference = upload(&tokens.reference) - logprobs;
        let k3 = difference.clone().exp() - difference - 1.0;
        let counted =
            upload(&tokens.weights.iter().map(|&w| if w > 0.0 { 1.0 } else { 0.0 }).collect::<Vec<f32>>());
        let kl = scalar((k3.clone().detach() * counted).sum());
        (surrogate + k3.mul_scalar(config.beta), kl)
    } else {
        (surrogate, 0.0)
    };
    Loss {
        value: (per_token * weights).sum(),
        tally: LossStats {
            tokens: tokens.weights.iter().filter(|&&weight| weight > 0.0).count() as f64,
            kl,
            clipped,
        },
    }
}

/// The mean over each sequence's counted tokens, given to all of them.
fn sequence_means(values: Tensor<1>, tokens: &Tokens, device: &Device) -> Tensor<1> {
    let sequences = tokens.sequence.iter().max().map_or(0, |&last| last as usize + 1);
    let mut lengths = vec![0.0_f32; sequences];
    let mut counted = vec![0.0_f32; tokens.weights.len()];
    for ((&sequence, &weight), counted) in tokens.sequence.iter().zip(&tokens.weights).zip(&mut counted) {
        if weight > 0.0 {
            lengths[sequence as usize] += 1.0;
            *counted = 1.0;
        }
    }
    let share: Vec<f32> = lengths.iter().map(|&length| 1.0 / length.max(1.0)).collect();
    let ids: Vec<i32> = tokens.sequence.iter().map(|&sequence| sequence as i32).collect();
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), device);
    let values = values * Tensor::from_floats(counted.as_slice(), device);
    let sums =
        Tensor::<1>::zeros([sequences], device).select_assign(0, ids.clone(), values, IndexingUpdateOp::Add);
    (sums * Tensor::from_floats(share.as_slice(), device)).select(0, ids)
}

/// How many tokens the clip holds back: below with a negative advantage, above with a positive one.
fn held(ratio: &Tensor<1>, tokens: &Tokens, low: f64, high: f64) -> f64 {
    let ratios = ratio.clone().detach().try_into_vec_as::<f32>().expect("ratios are floats");
    let held = ratios.iter().zip(&tokens.advantages).zip(&tokens.weights).filter(
        |&((&ratio, &advantage), &weight)| {
            let ratio = f64::from(ratio);
            weight > 0.0 && ((ratio < low && advantage < 0.0) || (ratio > high && advantage > 0.0))
        },
    );
    held.count() as f64
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}
