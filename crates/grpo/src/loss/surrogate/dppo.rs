//! A trust region on probabilities instead of ratios (DPPO, arXiv 2602.04879): tokens that have left it in the direction of
//! their advantage have no gradient.

use super::{Surrogate, TokenLosses};
use crate::loss::{Correction, Tokens};
use burn::tensor::{Bool, Tensor};
use std::fmt::Debug;

/// `l_t = -M_t ρ_t A + kl_tau (ln ρ_t)²`; with `ratio_max` the first term is `-M_t sg(min(ρ_t, ratio_max)) A logp_t`.
///
/// M is 0 where the token's probability is further from the old one than the advantage's limit, upwards where A > 0, else
/// downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dppo {
    /// How far apart two probabilities are.
    pub divergence: Divergence,
    /// Limit of what falls.
    pub low: f64,
    /// Limit of what rises.
    pub high: f64,
    /// Limit of the ratio (verl's form); without one there is none (prime-rl's).
    pub ratio_max: Option<f64>,
    /// Weight of the squared log-ratio (Kimi K2.5, arXiv 2602.02276; prime-rl's `kl_tau`).
    pub kl_tau: f64,
}

/// How far apart the probabilities of one token are: a lower bound of that of the distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// `|π - π_old|`
    TotalVariation,
    /// `KL(Bernoulli(π_old) || Bernoulli(π))`
    Kl,
}

impl Surrogate for Dppo {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let advantages = tokens.advantages_on(&logprobs.device());
        let left = self.has_left(logprobs.clone().detach(), tokens);
        // Masked before exp: what has left has a log-ratio of 0 here and no gradient.
        let inside = left.clone().bool_not().float();
        let log_ratios = tokens.log_ratios(logprobs.clone());
        let kept = (log_ratios.clone() * inside.clone()).exp();
        let gain = match self.ratio_max {
            Some(limit) => kept.detach().clamp_max(limit) * inside * advantages * logprobs,
            None => kept * inside * advantages,
        };
        let losses = match self.kl_tau {
            0.0 => gain.neg(),
            tau => log_ratios.square() * tau - gain,
        };
        TokenLosses::from(losses).counting(left.float(), |left, _| left > 0.5)
    }

    fn is_zero_without_advantage(&self) -> bool {
        self.kl_tau == 0.0
    }
}

impl Dppo {
    /// Which tokens have left the trust region, `[N]`.
    fn has_left(&self, logprobs: Tensor<1>, tokens: &Tokens) -> Tensor<1, Bool> {
        let device = logprobs.device();
        let limit =
            tokens.by_advantage(&device, |a| if a > 0.0 { self.high as f32 } else { self.low as f32 });
        let direction = tokens.by_advantage(&device, |a| if a > 0.0 { 1.0 } else { -1.0 });
        let log_ratios = tokens.log_ratios(logprobs.clone());
        let (new, old) = (logprobs.clone().exp(), (logprobs - log_ratios.clone()).exp());
        let moved = (new.clone() - old.clone()) * direction;
        match self.divergence {
            Divergence::TotalVariation => moved.greater(limit),
            Divergence::Kl => {
                // The constant of verl, where a probability is 1.
                let others = (old.clone().neg() + 1.0 + 1e-8).log() - (new.neg() + 1.0 + 1e-8).log();
                let kl = (old.clone().neg() + 1.0) * others - old * log_ratios;
                kl.greater(limit).bool_and(moved.greater_elem(0.0))
            }
        }
    }
}
