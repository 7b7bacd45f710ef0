//! Losses that spare entropy (Cui et al., arXiv 2505.22617): tokens whose log-probability and advantage vary together the most
//! are left out (clip-cov) or held by a KL term (kl-cov).

// N loss tokens

use super::{Clip, Surrogate, TokenLosses};
use crate::loss::tokens::upload;
use crate::loss::{Correction, Tokens};
use burn::tensor::Tensor;
use ruminate_model::read::{Place, floats};

/// [`Clip`] without a share of the tokens whose covariance lies between two limits (verl's `clip_cov`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipCov {
    /// What the others have.
    pub clip: Clip,
    /// Share of the microbatch's tokens that is left out, at least one.
    pub ratio: f64,
    /// A covariance above it may be left out.
    pub lower: f64,
    /// A covariance below it may be left out.
    pub upper: f64,
}

impl Surrogate for ClipCov {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses {
        let device = logprobs.device();
        let values = floats(logprobs.clone().detach(), Place::Logprobs);
        let counted: Vec<bool> = tokens.counted().collect();
        let (low, high) = (1.0 - self.clip.epsilon, 1.0 + self.clip.epsilon_high);
        let clipped = |token: usize| {
            let ratio = f64::from(values[token] - tokens.old[token]).exp();
            let advantage = tokens.advantages[token];
            (ratio < low && advantage < 0.0) || (ratio > high && advantage > 0.0)
        };
        let candidates: Vec<usize> = covariances(&values, tokens)
            .into_iter()
            .filter(|&(token, value)| value > self.lower && value < self.upper && !clipped(token))
            .map(|(token, _)| token)
            .collect();
        let total = counted.iter().filter(|&&counts| counts).count();
        let dropped = ((self.ratio * total as f64) as usize).max(1).min(candidates.len());
        let mut kept = vec![1.0_f32; values.len()];
        // Spread over the candidates, so that the choice needs no random numbers.
        for index in 0..dropped {
            kept[candidates[index * candidates.len() / dropped]] = 0.0;
        }
        let spared = upload(&kept, &device);
        let TokenLosses { values, .. } = self.clip.losses(logprobs, tokens, correction);
        TokenLosses::from(values * spared.clone()).counting(spared, |kept, _| kept < 0.5)
    }
}

/// `l_t = -ρ_t A`, and `+ coef |ln ρ_t|` for the share of the tokens with the largest covariance (verl's `kl_cov`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlCov {
    /// Share of the microbatch's tokens that is held, at least one.
    pub ratio: f64,
    /// Weight of what holds them.
    pub coef: f64,
}

impl Surrogate for KlCov {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        let device = logprobs.device();
        let values = floats(logprobs.clone().detach(), Place::Logprobs);
        let mut ordered = covariances(&values, tokens);
        ordered.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let held = ((self.ratio * ordered.len() as f64) as usize).max(1);
        let mut coefficients = vec![0.0_f32; values.len()];
        for &(token, _) in ordered.iter().take(held) {
            coefficients[token] = self.coef as f32;
        }
        let coefficients = upload(&coefficients, &device);
        let log_ratios = tokens.log_ratios(logprobs);
        let gain = log_ratios.clone().exp() * tokens.advantages_on(&device);
        let losses = TokenLosses::from(log_ratios.abs() * coefficients.clone() - gain);
        losses.counting(coefficients, |coefficient, _| coefficient > 0.0)
    }
}

/// `(A - mean A) (logp - mean logp)` of each token that counts, with its index.
fn covariances(logprobs: &[f32], tokens: &Tokens) -> Vec<(usize, f64)> {
    let counted: Vec<usize> =
        tokens.counted().enumerate().filter(|&(_, counts)| counts).map(|(token, _)| token).collect();
    let mean = |values: &[f32]| {
        counted.iter().map(|&token| f64::from(values[token])).sum::<f64>() / counted.len().max(1) as f64
    };
    let (advantage, logprob) = (mean(&tokens.advantages), mean(logprobs));
    let value = |token: usize| {
        (f64::from(tokens.advantages[token]) - advantage) * (f64::from(logprobs[token]) - logprob)
    };
    counted.iter().map(|&token| (token, value(token))).collect()
}
