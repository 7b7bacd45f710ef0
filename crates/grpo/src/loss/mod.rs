//! The policy-gradient loss of GRPO's family, over the loss tokens of packed sequences, in parts.
//!
//! ```text
//! A      = advantage(rewards)                   of each completion: advantage/
//! l_t    = surrogate(logp_t, old_t, A)          of each token: surrogate/
//! w_t    = reduction                            over what token losses are averaged: reduction/
//! c_t    = correction                           of the difference between sampler and trainer: correction/
//! kl_t   = estimate of KL(π || π_ref)           k3 unless another is chosen: kl.rs
//! loss   = Σ_t w_t (c_t l_t + beta kl_t)
//! ```

// N loss tokens

mod correction;
mod entropy;
mod kl;
mod reduction;
mod surrogate;
mod tokens;

use crate::Advantage;
use burn::tensor::{Bool, Tensor};
use correction::{Weights, on_policy};
use entropy::high_entropy;
use ruminate_model::read::{Place, floats};
use std::sync::Arc;
use tokens::upload;

pub use correction::{Bounds, Correction};
pub use kl::{Kl, KlEstimator, KlPlacement};
pub use reduction::{Counts, Reduction};
pub use surrogate::{
    Cispo, Clip, ClipCov, Divergence, Dppo, Dro, Gamma, GeoMean, Gspo, GspoToken, ImportanceSampling, KlCov,
    Reinforce, Sapo, SequenceClip, Surrogate, TokenLosses, Vespo,
};
pub use tokens::Tokens;

/// What a policy learns by: parts that go together freely. [`Config::policy_loss`](crate::Config::policy_loss) makes
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
    /// The limits of the correction's ratios.
    pub bounds: Bounds,
    /// KL between sampler and policy, in nats per token, above which a completion with a negative advantage is left out
    /// (DeepSeek-V3.2's off-policy sequence mask).
    pub off_policy_mask_threshold: Option<f64>,
    /// The term that holds the policy at its reference.
    pub kl: Kl,
    /// Share of a microbatch's tokens, those with the largest entropy, that the surrogate is of; 1 is all.
    pub top_entropy_quantile: f64,
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
    /// Sum of the estimates of KL from the reference, in nats; 0 without a reference in the loss.
    pub kl: f64,
    /// How many the surrogate held back, in the direction in which it matters.
    pub clipped: f64,
    /// How many the correction left out.
    pub dropped: f64,
    /// How many of the correction's ratios were truncated.
    pub cut: f64,
    /// How many the off-policy sequence mask left out.
    pub off_policy: f64,
    /// Sum of the policy's entropies, in nats; 0 without an entropy bonus.
    pub entropy: f64,
}

impl LossStats {
    /// Adds another microbatch's sums.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.kl += other.kl;
        self.clipped += other.clipped;
        self.dropped += other.dropped;
        self.cut += other.cut;
        self.off_policy += other.off_policy;
        self.entropy += other.entropy;
    }
}

impl PolicyLoss {
    /// The loss of a microbatch; `beta` is the weight of the KL term, and at 0 there is no reference. Reads once from the
    /// device, and where a surrogate ranks tokens twice.
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
        let Kept { weights, dropped, cut } = self.kept(tokens);
        let on_policy = self.off_policy_mask_threshold.map(|most| on_policy(logprobs.clone(), tokens, most));
        // Masked before exp: what is left out has the ratio 1 and no gradient, so that no infinity meets a zero.
        let compared = match &on_policy {
            Some(stays) => logprobs.clone().mask_where(stays.clone().bool_not(), tokens.old_on(&device)),
            None => logprobs.clone(),
        };
        let masked = self.without_dropped(tokens, weights.as_deref());
        let TokenLosses { values, held } =
            self.surrogate.losses(compared, masked.as_ref().unwrap_or(tokens), self.correction);
        let mut per_token = match &weights {
            Some(weights) => values * upload(weights, &device),
            None => values,
        };
        let on_policy = on_policy.map(Tensor::<1, Bool>::float);
        if let Some(stays) = &on_policy {
            per_token = per_token * stays.clone();
        }
        let mut kl = None;
        if beta > 0.0 && self.kl.placement == KlPlacement::Loss {
            let estimates = self.kl.of(&logprobs, tokens);
            kl = Some(estimates.clone().detach().sum());
            per_token = per_token + estimates * beta;
        }
        let has_kl = kl.is_some();
        let ratio = held.as_ref().map(|held| held.ratio.clone());
        let has_mask = on_policy.is_some();
        let known: Vec<Tensor<1>> =
            [Some(logprobs.detach()), ratio, on_policy, kl].into_iter().flatten().collect();
        let mut numbers = floats(Tensor::cat(known, 0), Place::Logprobs);
        let kl = if has_kl { numbers.pop().map_or(0.0, f64::from) } else { 0.0 };
        let stays = if has_mask { numbers.split_off(numbers.len() - count) } else { Vec::new() };
        let ratios = numbers.split_off(count);
        let clipped = held.map_or(0.0, |held| tokens.count(&ratios, &*held.is_held));
        Loss {
            value: (per_token * upload(&tokens.weights, &device)).sum(),
            logprobs: numbers,
            tally: LossStats {
                tokens: tokens.counted().filter(|&counts| counts).count() as f64,
                kl,
                clipped,
                dropped,
                cut,
                off_policy: tokens.count(&stays, &|stays, _| stays < 0.5),
                entropy: 0.0,
            },
        }
    }

    /// What each token's surrogate is multiplied by, before the policy is known.
    fn kept(&self, tokens: &Tokens) -> Kept {
        let count = |of: &dyn Fn(usize) -> bool| {
            tokens.counted().enumerate().filter(|&(token, counts)| counts && of(token)).count() as f64
        };
        let mut kept = Kept { weights: None, dropped: 0.0, cut: 0.0 };
        if let Some(Weights { values, cut }) = self.correction.weights(tokens, self.bounds) {
            kept.dropped = count(&|token| values[token] == 0.0);
            kept.cut = count(&|token| cut[token]);
            kept.weights = Some(values);
        }
        if self.top_entropy_quantile < 1.0 {
            let undecided = high_entropy(tokens, self.top_entropy_quantile);
            let weights = kept.weights.get_or_insert_with(|| vec![1.0; undecided.len()]);
            for (weight, undecided) in weights.iter_mut().zip(undecided) {
                *weight *= f32::from(u8::from(undecided));
            }
        }
        kept
    }

    /// The tokens with those that `weights` leaves out without an `old`, so that their ratios are not computed; none where
    /// that would change what others share with them.
    fn without_dropped(&self, tokens: &Tokens, weights: Option<&[f32]>) -> Option<Tokens> {
        let weights = weights.filter(|weights| weights.contains(&0.0))?;
        if self.surrogate.spans_sequences() && !self.correction.drops_sequences() {
            return None;
        }
        let mut masked = tokens.clone();
        for (old, &weight) in masked.old.iter_mut().zip(weights) {
            if weight == 0.0 {
                *old = f32::NAN;
            }
        }
        Some(masked)
    }

    /// Whether a completion with advantage 0 may be left out of a microbatch.
    pub(crate) fn skips_zero_advantages(&self) -> bool {
        self.surrogate.is_zero_without_advantage()
            && !self.reduction.counts_the_microbatch()
            && self.top_entropy_quantile >= 1.0
    }

    /// The weight of the KL term in the loss, where `beta` is its weight.
    pub(crate) fn beta_in_loss(&self, beta: f64) -> f64 {
        if self.kl.placement == KlPlacement::Loss { beta } else { 0.0 }
    }
}

/// What corrections and masks make of the tokens.
struct Kept {
    /// One per token; none for 1 throughout.
    weights: Option<Vec<f32>>,
    /// Tokens that the correction left out.
    dropped: f64,
    /// Tokens whose ratio it truncated.
    cut: f64,
}
