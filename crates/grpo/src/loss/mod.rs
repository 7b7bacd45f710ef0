//! The policy-gradient loss of GRPO's family, over the loss tokens of packed sequences, in four parts.
//!
//! ```text
//! A      = advantage(rewards)                   of each completion: advantage/
//! l_t    = surrogate(logp_t, old_t, A)          of each token: surrogate/
//! w_t    = reduction                            over what token losses are averaged: reduction/
//! c_t    = correction                           of the difference between sampler and trainer: correction/
//! k3_t   = exp(ref_t - logp_t) - (ref_t - logp_t) - 1        (Schulman 2020: unbiased, never negative)
//! loss   = Σ_t w_t (c_t l_t + beta k3_t)
//! ```

// N loss tokens

mod correction;
mod reduction;
mod surrogate;
mod tokens;

use crate::Advantage;
use burn::tensor::Tensor;
use ruminate_model::read::{Place, floats};
use std::sync::Arc;
use tokens::upload;

pub use correction::Correction;
pub use reduction::{Counts, Reduction};
pub use surrogate::{Cispo, Clip, Gspo, Surrogate, TokenLosses};
pub use tokens::Tokens;

/// What a policy learns by: four parts that go together freely. [`Config::policy_loss`](crate::Config::policy_loss) makes
/// it from a recipe's keys; [`Trainer::with_loss`](crate::Trainer::with_loss) takes any other.
#[derive(Clone, Debug)]
pub struct PolicyLoss {
    /// How rewards become advantages.
    pub advantage: Advantage,
    /// The loss of each token; one of this crate's or a program's own.
    pub surrogate: Arc<dyn Surrogate>,
    /// How the losses of tokens become one number.
    pub reduction: Reduction,
    /// How the difference between sampler and trainer is bounded.
    pub correction: Correction,
}

/// A loss with what its metrics are made of.
#[derive(Clone, Debug)]
pub struct Loss {
    /// `[1]`, to be differentiated.
    pub value: Tensor<1>,
    /// `[N]`, under the policy, as numbers.
    pub logprobs: Vec<f32>,
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
    /// How many the surrogate held back, in the direction in which it matters.
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

impl PolicyLoss {
    /// The loss of a microbatch; `beta` is the weight of the KL term, and at 0 there is no reference. Reads once from the
    /// device.
    ///
    /// A token without a finite `old` must have weight 0; its ratio is then taken as 1.
    ///
    /// # Shapes
    /// - `logprobs`: `[N]`, under the policy, with gradient; result: `[1]`
    ///
    /// # Panics
    /// When the vectors of `tokens` do not have N entries.
    pub fn loss(&self, logprobs: Tensor<1>, tokens: &Tokens, beta: f64) -> Loss {
        let device = logprobs.device();
        let [count] = logprobs.dims();
        assert!(
            [tokens.old.len(), tokens.advantages.len(), tokens.weights.len(), tokens.sequence.len()]
                == [count; 4],
            "one entry per loss token"
        );
        let TokenLosses { values, held } = self.surrogate.losses(logprobs.clone(), tokens, self.correction);
        let corrected = match self.correction.weights(tokens) {
            Some(weights) => values * upload(&weights, &device),
            None => values,
        };
        let (per_token, kl) = if beta > 0.0 {
            let difference = upload(&tokens.reference, &device) - logprobs.clone();
            let k3 = difference.clone().exp() - difference - 1.0;
            let counted: Vec<f32> =
                tokens.weights.iter().map(|&weight| if weight > 0.0 { 1.0 } else { 0.0 }).collect();
            let kl = (k3.clone().detach() * upload(&counted, &device)).sum();
            (corrected + k3.mul_scalar(beta), Some(kl))
        } else {
            (corrected, None)
        };
        let ratio = held.as_ref().map(|held| held.ratio.clone());
        let known: Vec<Tensor<1>> = [Some(logprobs.detach()), ratio, kl].into_iter().flatten().collect();
        let mut numbers = floats(Tensor::cat(known, 0), Place::Logprobs);
        let kl = if beta > 0.0 { numbers.pop().map_or(0.0, f64::from) } else { 0.0 };
        let ratios = numbers.split_off(count);
        let clipped = held.map_or(0.0, |held| tokens.count(&ratios, &*held.is_held));
        Loss {
            value: (per_token * upload(&tokens.weights, &device)).sum(),
            logprobs: numbers,
            tally: LossStats {
                tokens: tokens.weights.iter().filter(|&&weight| weight > 0.0).count() as f64,
                kl,
                clipped,
            },
        }
    }

    /// Whether a completion with advantage 0 may be left out of a microbatch.
    pub(crate) fn skips_zero_advantages(&self) -> bool {
        self.surrogate.is_zero_without_advantage() && !self.reduction.counts_the_microbatch()
    }
}
