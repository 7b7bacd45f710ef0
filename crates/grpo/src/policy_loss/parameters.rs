//! Keys that belong to one choice: each is refused by name beside another, and where its value cannot be.

use super::name;
use crate::{Advantage, Config, Error, LossType};

use LossType::{
    Bnpo, Cispo, Clip, ClipCov, Dapo, DppoKl, DppoTv, DrGrpo, Dro, GeoMean, Grpo, Gspo, GspoToken, KlCov,
    Luspo, Sapo, SequenceClip, Vespo,
};

/// Losses with PPO's clip of a ratio.
const CLIPPED: [LossType; 10] =
    [Clip, Grpo, Bnpo, Dapo, DrGrpo, Gspo, GspoToken, SequenceClip, Luspo, ClipCov];

/// Losses whose ratio a correction can cap.
pub(super) const CAPPED: [LossType; 11] = [
    Clip,
    Grpo,
    Bnpo,
    Dapo,
    DrGrpo,
    Gspo,
    GspoToken,
    SequenceClip,
    Luspo,
    ClipCov,
    LossType::ImportanceSampling,
];

/// Losses that are of sequences where `importance_sampling_level` says so: TRL's names.
pub(super) const OF_BOTH_LEVELS: [LossType; 7] = [Clip, Grpo, Bnpo, Dapo, DrGrpo, Gspo, Luspo];

/// What a number of a recipe may be.
#[derive(Clone, Copy, Debug)]
enum Range {
    AboveZero,
    NotNegative,
    AboveOne,
    /// Above 0 and at most 1.
    Share,
    /// From 0 to 1.
    UpToOne,
    Finite,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::AboveZero => value > 0.0,
                Self::NotNegative => value >= 0.0,
                Self::AboveOne => value > 1.0,
                Self::Share => value > 0.0 && value <= 1.0,
                Self::UpToOne => (0.0..=1.0).contains(&value),
                Self::Finite => true,
            }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::AboveZero => "a finite number above 0",
            Self::NotNegative => "a finite number, not negative",
            Self::AboveOne => "a finite number above 1",
            Self::Share => "a number above 0 and at most 1",
            Self::UpToOne => "a number from 0 to 1",
            Self::Finite => "a finite number",
        }
    }
}

impl Config {
    /// Refuses a key of another loss than the chosen one, and a value out of range.
    pub(super) fn check_parameters(&self) -> Result<(), Error> {
        let dppo: &[LossType] = &[DppoTv, DppoKl];
        let with_high: Vec<LossType> = CLIPPED.into_iter().chain([Cispo, GeoMean]).collect();
        let parameters: [(&'static str, Option<f64>, &[LossType], Range); 20] = [
            ("epsilon_high", self.epsilon_high, &with_high, Range::NotNegative),
            ("delta", self.delta, &CLIPPED, Range::AboveOne),
            ("dual_clip", self.dual_clip, &CLIPPED, Range::AboveOne),
            ("cispo_ratio_min", self.cispo_ratio_min, &[Cispo], Range::UpToOne),
            ("sapo_temperature_pos", self.sapo_temperature_pos, &[Sapo], Range::AboveZero),
            ("sapo_temperature_neg", self.sapo_temperature_neg, &[Sapo], Range::AboveZero),
            ("vespo_k_pos", self.vespo_k_pos, &[Vespo], Range::AboveZero),
            ("vespo_lambda_pos", self.vespo_lambda_pos, &[Vespo], Range::AboveZero),
            ("vespo_k_neg", self.vespo_k_neg, &[Vespo], Range::AboveZero),
            ("vespo_lambda_neg", self.vespo_lambda_neg, &[Vespo], Range::AboveZero),
            ("dppo_mask_low", self.dppo_mask_low, dppo, Range::NotNegative),
            ("dppo_mask_high", self.dppo_mask_high, dppo, Range::NotNegative),
            ("dppo_ratio_max", self.dppo_ratio_max, dppo, Range::AboveOne),
            ("dppo_kl_tau", self.dppo_kl_tau, dppo, Range::NotNegative),
            ("dro_beta", self.dro_beta, &[Dro], Range::AboveZero),
            ("clip_cov_ratio", self.clip_cov_ratio, &[ClipCov], Range::Share),
            ("clip_cov_lb", self.clip_cov_lb, &[ClipCov], Range::Finite),
            ("clip_cov_ub", self.clip_cov_ub, &[ClipCov], Range::Finite),
            ("kl_cov_ratio", self.kl_cov_ratio, &[KlCov], Range::Share),
            ("kl_cov_coef", self.kl_cov_coef, &[KlCov], Range::NotNegative),
        ];
        for (key, value, of, range) in parameters {
            let Some(value) = value else { continue };
            if !of.contains(&self.loss_type) {
                let names: Vec<String> = of.iter().map(|&one| name(one)).collect();
                let advice = format!("expected no `{key}`, or `loss_type = {}`", names.join("`, `"));
                return Err(self.not_with_loss_type(key, value.to_string(), &advice));
            }
            if !range.holds(value) {
                return Err(Error::Range { key, found: value.to_string(), expected: range.expected() });
            }
        }
        let shares = [("top_entropy_quantile", self.top_entropy_quantile, Range::Share)];
        let positive = [("off_policy_mask_threshold", self.off_policy_mask_threshold, Range::AboveZero)];
        for (key, value, range) in shares.into_iter().chain(positive) {
            if let Some(value) = value.filter(|&value| !range.holds(value)) {
                return Err(Error::Range { key, found: value.to_string(), expected: range.expected() });
            }
        }
        self.check_pass_at_k()
    }

    fn check_pass_at_k(&self) -> Result<(), Error> {
        let chosen = self.advantage == Some(Advantage::PassAtK);
        let expected = "a whole number from 2 to num_generations with advantage \"pass_at_k\"";
        match self.pass_at_k {
            Some(k) if !chosen => Err(Error::Conflict {
                key: "pass_at_k",
                found: k.to_string(),
                other: "advantage",
                stated: self.advantage.map_or_else(|| "not given".to_owned(), name),
                advice: "expected no `pass_at_k`, or `advantage = \"pass_at_k\"`".to_owned(),
            }),
            None if chosen => Err(Error::Range { key: "pass_at_k", found: "not given".to_owned(), expected }),
            Some(k) if !(2..=self.num_generations).contains(&k) => {
                Err(Error::Range { key: "pass_at_k", found: k.to_string(), expected })
            }
            _ => Ok(()),
        }
    }
}
