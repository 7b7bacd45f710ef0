//! Corrections: what `grpo.correction` chooses against the difference between sampler and trainer. A file per choice.

mod cap;
mod geometric;
mod mask;
mod off_policy;
mod sequence;
mod truncate;

use super::Tokens;
use serde::{Deserialize, Serialize};

pub(super) use off_policy::on_policy;

/// Upper limit of an importance ratio between sampler and trainer: TRL's `vllm_importance_sampling_clip_max`.
const LIMIT: f64 = 3.0;

/// How the difference between sampler and trainer is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// The ratio is against the sampler and has no limit but that of the surrogate.
    #[default]
    None,
    /// The ratio is against the sampler and at most 3, or `1 + epsilon_high` where that is more.
    Cap,
    /// The ratio is against the trainer's policy before the step, which takes one more forward pass; the
    /// loss is multiplied by the ratio of that policy to the sampler, at most `correction_max` (truncated
    /// importance sampling; TRL's `token_truncate`).
    #[serde(alias = "token_truncate")]
    Truncate,
    /// The same, but a token whose ratio lies outside the limits is left out (masked importance sampling;
    /// TRL's `token_mask`).
    #[serde(alias = "token_mask")]
    Mask,
    /// `mask` with the limits 0.5 and 5 unless others are given (IcePop, Ring-1T, arXiv 2510.18855).
    IcePop,
    /// `truncate` with the product of a completion's ratios, which all of its tokens share (TRL's
    /// `sequence_truncate`).
    SequenceTruncate,
    /// A completion whose product of ratios lies outside the limits is left out; the others are multiplied by
    /// it (TRL's `sequence_mask`, its default).
    SequenceMask,
    /// A completion whose geometric mean of ratios lies outside the limits is left out; the others are not
    /// multiplied by anything (verl's `seq_mean_k1`). The limits are 0.999 and 1.001 unless others are given.
    GeometricMask,
}

/// The limits of a correction's ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lower limit; 0 is none.
    pub min: f64,
    /// Upper limit; infinity is none.
    pub max: f64,
}

impl Default for Bounds {
    /// TRL's: at most 3.
    fn default() -> Self {
        Self { min: 0.0, max: LIMIT }
    }
}

impl Bounds {
    fn holds(self, ratio: f64) -> bool {
        (self.min..=self.max).contains(&ratio)
    }
}

/// What each token's surrogate is multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights {
    pub(super) values: Vec<f32>,
    /// Whether a ratio was truncated.
    pub(super) cut: Vec<bool>,
}

impl Correction {
    /// The largest ratio that a surrogate whose clip ends at `upper_end` may use; none without a cap.
    pub fn limit(self, upper_end: f64) -> Option<f64> {
        (self == Self::Cap).then(|| cap::limit(upper_end))
    }

    /// The limits where a recipe gives none.
    pub fn default_bounds(self) -> Bounds {
        match self {
            Self::IcePop => Bounds { min: 0.5, max: 5.0 },
            Self::GeometricMask => Bounds { min: 0.999, max: 1.001 },
            _ => Bounds::default(),
        }
    }

    /// What each token's surrogate is multiplied by; none for 1 throughout.
    ///
    /// # Panics
    /// When `tokens.sampler` does not have N entries where it is needed.
    pub(super) fn weights(self, tokens: &Tokens, bounds: Bounds) -> Option<Weights> {
        match self {
            Self::None | Self::Cap => None,
            Self::Truncate => Some(truncate::weights(log_ratios(tokens), bounds)),
            Self::Mask | Self::IcePop => Some(mask::weights(log_ratios(tokens), bounds)),
            Self::SequenceTruncate => {
                Some(truncate::weights(sequence::products(tokens, &log_ratios(tokens)), bounds))
            }
            Self::SequenceMask => {
                Some(mask::weights(sequence::products(tokens, &log_ratios(tokens)), bounds))
            }
            Self::GeometricMask => Some(geometric::weights(tokens, &log_ratios(tokens), bounds)),
        }
    }

    /// Whether the ratio is against the trainer's policy before the step instead of the sampler.
    pub(crate) fn needs_trainer_logprobs(self) -> bool {
        !matches!(self, Self::None | Self::Cap)
    }

    /// Whether a token is left out with its whole sequence or not at all.
    pub(super) fn drops_sequences(self) -> bool {
        matches!(self, Self::SequenceMask | Self::GeometricMask)
    }
}

/// `ln(π_old / π_sampler)` of each token; 0 where a log-probability is not finite.
fn log_ratios(tokens: &Tokens) -> Vec<f64> {
    assert_eq!(tokens.sampler.len(), tokens.old.len(), "one entry per loss token");
    let difference = |(&old, &sampler): (&f32, &f32)| {
        let difference = f64::from(old) - f64::from(sampler);
        if difference.is_finite() { difference } else { 0.0 }
    };
    tokens.old.iter().zip(&tokens.sampler).map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Correction};
    use crate::loss::Tokens;

    /// Ratios 0.25 and 2 of one sequence, 8 and 1 of another; the last token has no log-probability of the sampler.
    fn tokens() -> Tokens {
        let ratios = [0.25_f32, 2.0, 8.0, 1.0];
        let mut sampler: Vec<f32> = ratios.iter().map(|ratio| -1.0 - ratio.ln()).collect();
        sampler[3] = f32::NEG_INFINITY;
        Tokens {
            old: vec![-1.0; 4],
            sampler,
            advantages: vec![1.0; 4],
            weights: vec![0.25, 0.25, 0.25, 0.0],
            sequence: vec![0, 0, 1, 1],
            ..Tokens::default()
        }
    }

    fn weights(correction: Correction, min: f64, max: f64) -> (Vec<f32>, Vec<bool>) {
        let weights = correction.weights(&tokens(), Bounds { min, max }).expect("it has weights");
        (weights.values.iter().map(|weight| (weight * 1e4).round() / 1e4).collect(), weights.cut)
    }

    #[test]
    fn each_correction_weighs_as_its_formula_says() {
        let none = vec![false; 4];
        let of = |cut: [bool; 4]| cut.to_vec();
        let cut = of([false, false, true, false]);
        assert_eq!(weights(Correction::Truncate, 0.0, 3.0), (vec![0.25, 2.0, 3.0, 1.0], cut));
        let both = of([true, false, true, false]);
        assert_eq!(weights(Correction::Truncate, 0.5, 3.0), (vec![0.5, 2.0, 3.0, 1.0], both));
        assert_eq!(weights(Correction::Mask, 0.0, 3.0), (vec![0.25, 2.0, 0.0, 1.0], none.clone()));
        assert_eq!(weights(Correction::IcePop, 0.5, 5.0), (vec![0.0, 2.0, 0.0, 1.0], none.clone()));
        // Products: 0.5 and 8.
        let cut = of([false, false, true, true]);
        assert_eq!(weights(Correction::SequenceTruncate, 0.0, 3.0), (vec![0.5, 0.5, 3.0, 3.0], cut));
        assert_eq!(weights(Correction::SequenceMask, 0.0, 3.0), (vec![0.5, 0.5, 0.0, 0.0], none.clone()));
        // Geometric means: the root of 0.5, and 8.
        assert_eq!(weights(Correction::GeometricMask, 0.5, 2.0), (vec![1.0, 1.0, 0.0, 0.0], none.clone()));
        assert_eq!(weights(Correction::GeometricMask, 0.8, 2.0), (vec![0.0; 4], none));
        assert!(Correction::Cap.weights(&tokens(), Bounds::default()).is_none());
    }
}
