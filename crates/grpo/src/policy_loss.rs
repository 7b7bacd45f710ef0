//! From the keys of a recipe to a [`PolicyLoss`]: `advantage`, `loss_type`, `reduction`, `correction`, the KL term, and TRL's names
//! of the same.

mod parameters;

use crate::loss::{
    Bounds, Cispo, Clip, ClipCov, Correction, Divergence, Dppo, Dro, Gamma, GeoMean, Gspo, GspoToken,
    ImportanceSampling, Kl, KlCov, KlEstimator, KlPlacement, Reduction, Reinforce, Sapo, SequenceClip,
    Surrogate, Vespo,
};
use crate::{
    Advantage, Aggregation, Config, Error, ImportanceLevel, LossType, PolicyLoss, RouterReplay, Scale,
};
use parameters::{CAPPED, OF_BOTH_LEVELS};
use ruminate_rollout::Logprobs;
use std::fmt::Debug;
use std::sync::Arc;

impl Config {
    /// What the keys mean, for a sampler with such log-probabilities.
    ///
    /// # Errors
    /// [`Error::Range`] for a value that cannot be, [`Error::Conflict`] for two keys that do not go together.
    pub fn policy_loss(&self, logprobs: Logprobs) -> Result<PolicyLoss, Error> {
        self.check_parameters()?;
        let correction = self.chosen_correction(logprobs)?;
        let loss = PolicyLoss {
            advantage: self.chosen_advantage()?,
            surrogate: self.chosen_surrogate()?,
            reduction: self.chosen_reduction()?,
            correction,
            bounds: self.chosen_bounds(correction)?,
            off_policy_mask_threshold: self.off_policy_mask_threshold,
            kl: self.chosen_kl()?,
            top_entropy_quantile: self.top_entropy_quantile.unwrap_or(1.0),
        };
        self.check_entropy_mask()?;
        Ok(loss)
    }

    fn chosen_advantage(&self) -> Result<Advantage, Error> {
        let decoupled = self.multi_objective_aggregation == Aggregation::NormalizeThenSum;
        if decoupled && self.scale_rewards != Scale::Group {
            let expected = "\"group\", since normalize_then_sum scales by group and then by batch";
            return Err(Error::Range { key: "scale_rewards", found: name(self.scale_rewards), expected });
        }
        // TRL's defaults name nothing, so that `advantage` alone decides beside them.
        let (other, stated, named) = if decoupled {
            ("multi_objective_aggregation", name(self.multi_objective_aggregation), Some(Advantage::Gdpo))
        } else {
            let named = (self.scale_rewards != Scale::Group).then(|| self.scale_rewards.into());
            ("scale_rewards", name(self.scale_rewards), named)
        };
        match (self.advantage, named) {
            (Some(advantage), Some(named)) if advantage != named => {
                let advice = format!("expected {}, or one of the two keys alone", name(named));
                Err(Error::Conflict { key: "advantage", found: name(advantage), other, stated, advice })
            }
            (advantage, named) => Ok(advantage.or(named).unwrap_or_default()),
        }
    }

    fn chosen_surrogate(&self) -> Result<Arc<dyn Surrogate>, Error> {
        let of_sequences = self.importance_sampling_level == ImportanceLevel::Sequence;
        if of_sequences && !OF_BOTH_LEVELS.contains(&self.loss_type) {
            let advice = match self.loss_type {
                LossType::Cispo => {
                    "expected \"token\": each token has its own weight; `loss_type = \"gspo\"` has ratios of \
                     sequences"
                }
                _ => "expected \"token\": the loss has a level of its own",
            };
            let found = name(self.importance_sampling_level);
            return Err(self.not_with_loss_type("importance_sampling_level", found, advice));
        }
        let clip = || self.clip();
        Ok(match self.loss_type {
            LossType::Gspo | LossType::Luspo => Arc::new(Gspo(clip()?)),
            LossType::Clip | LossType::Grpo | LossType::Bnpo | LossType::Dapo | LossType::DrGrpo => {
                if of_sequences {
                    Arc::new(Gspo(clip()?))
                } else {
                    Arc::new(clip()?)
                }
            }
            LossType::GspoToken => Arc::new(GspoToken(clip()?)),
            LossType::SequenceClip => Arc::new(SequenceClip(clip()?)),
            LossType::Cispo => Arc::new(self.cispo()?),
            LossType::Sapo => Arc::new(Sapo {
                positive: self.sapo_temperature_pos.unwrap_or(1.0),
                negative: self.sapo_temperature_neg.unwrap_or(1.05),
            }),
            LossType::DppoTv => Arc::new(self.dppo(Divergence::TotalVariation, 0.2)),
            LossType::DppoKl => Arc::new(self.dppo(Divergence::Kl, 0.05)),
            LossType::Vespo => Arc::new(self.vespo()),
            LossType::GeoMean => {
                Arc::new(GeoMean { epsilon: self.epsilon, epsilon_high: self.epsilon_high() })
            }
            LossType::Dro => Arc::new(self.dro()?),
            LossType::ImportanceSampling => Arc::new(ImportanceSampling),
            LossType::Reinforce => Arc::new(Reinforce),
            LossType::ClipCov => Arc::new(self.clip_cov()?),
            LossType::KlCov => Arc::new(KlCov {
                ratio: self.kl_cov_ratio.unwrap_or(2e-4),
                coef: self.kl_cov_coef.unwrap_or(1.0),
            }),
        })
    }

    fn clip(&self) -> Result<Clip, Error> {
        if let Some(delta) = self.delta.filter(|&delta| delta <= 1.0 + self.epsilon_high()) {
            let expected = "a number above 1 + epsilon_high";
            return Err(Error::Range { key: "delta", found: delta.to_string(), expected });
        }
        if let (Some(delta), Some(dual)) = (self.delta, self.dual_clip) {
            return Err(Error::Conflict {
                key: "dual_clip",
                found: dual.to_string(),
                other: "delta",
                stated: delta.to_string(),
                advice: "both are the limit of the ratio of negative advantages; give one of them".to_owned(),
            });
        }
        Ok(Clip {
            epsilon: self.epsilon,
            epsilon_high: self.epsilon_high(),
            delta: self.delta,
            dual: self.dual_clip,
        })
    }

    fn cispo(&self) -> Result<Cispo, Error> {
        match self.epsilon_high {
            Some(limit) if limit >= 1.0 => Ok(Cispo { floor: self.cispo_ratio_min.unwrap_or(0.0), limit }),
            found => {
                let found = found.map_or_else(|| "not given".to_owned(), |limit| limit.to_string());
                let expected =
                    "the upper limit of the ratio with loss_type \"cispo\": a number from 1, such as 5";
                Err(Error::Range { key: "epsilon_high", found, expected })
            }
        }
    }

    fn dppo(&self, divergence: Divergence, limit: f64) -> Dppo {
        Dppo {
            divergence,
            low: self.dppo_mask_low.unwrap_or(limit),
            high: self.dppo_mask_high.unwrap_or(limit),
            ratio_max: self.dppo_ratio_max,
            kl_tau: self.dppo_kl_tau.unwrap_or(1e-3),
        }
    }

    fn vespo(&self) -> Vespo {
        Vespo {
            positive: Gamma {
                k: self.vespo_k_pos.unwrap_or(2.0),
                lambda: self.vespo_lambda_pos.unwrap_or(3.0),
            },
            negative: Gamma {
                k: self.vespo_k_neg.unwrap_or(3.0),
                lambda: self.vespo_lambda_neg.unwrap_or(2.0),
            },
        }
    }

    fn dro(&self) -> Result<Dro, Error> {
        let expected =
            "the weight of the squared log-ratio with loss_type \"dro\": a number above 0, such as 0.05";
        let beta =
            self.dro_beta.ok_or(Error::Range { key: "dro_beta", found: "not given".to_owned(), expected })?;
        Ok(Dro { beta })
    }

    fn clip_cov(&self) -> Result<ClipCov, Error> {
        let (lower, upper) = (self.clip_cov_lb.unwrap_or(1.0), self.clip_cov_ub.unwrap_or(5.0));
        if lower >= upper {
            let expected = "a number above clip_cov_lb, which is 1 unless it is given";
            return Err(Error::Range { key: "clip_cov_ub", found: upper.to_string(), expected });
        }
        Ok(ClipCov { clip: self.clip()?, ratio: self.clip_cov_ratio.unwrap_or(2e-4), lower, upper })
    }

    fn chosen_reduction(&self) -> Result<Reduction, Error> {
        let (own, is_named) = match self.loss_type {
            LossType::Clip
            | LossType::Cispo
            | LossType::DppoTv
            | LossType::DppoKl
            | LossType::Vespo
            | LossType::Dro
            | LossType::ImportanceSampling
            | LossType::Reinforce
            | LossType::ClipCov
            | LossType::KlCov => (Reduction::TokenMean, false),
            LossType::Gspo
            | LossType::GspoToken
            | LossType::SequenceClip
            | LossType::Sapo
            | LossType::GeoMean => (Reduction::SequenceMean, false),
            LossType::Luspo => (Reduction::SequenceSum, true),
            LossType::Grpo => (Reduction::SequenceMean, true),
            LossType::Bnpo => (Reduction::MicrobatchMean, true),
            LossType::Dapo => (Reduction::TokenMean, true),
            LossType::DrGrpo => (Reduction::Constant, true),
        };
        match self.reduction {
            Some(reduction) if is_named && reduction != own => {
                let advice = format!(
                    "expected {}, which is what that name says, or `loss_type = \"{}\"`, which goes with each",
                    name(own),
                    if self.loss_type == LossType::Luspo { "gspo" } else { "clip" }
                );
                Err(self.not_with_loss_type("reduction", name(reduction), &advice))
            }
            reduction => Ok(reduction.unwrap_or(own)),
        }
    }

    fn chosen_correction(&self, logprobs: Logprobs) -> Result<Correction, Error> {
        let conflict = |other, stated, advice: &str| Error::Conflict {
            key: "correction",
            found: name(self.correction.unwrap_or_default()),
            other,
            stated,
            advice: advice.to_owned(),
        };
        let bounded = [("delta", self.delta), ("dual_clip", self.dual_clip)];
        let bounded = bounded.into_iter().find_map(|(key, limit)| limit.map(|limit| (key, limit)));
        let is_capped = CAPPED.contains(&self.loss_type);
        match (self.correction, bounded) {
            (Some(Correction::Cap), Some((key, limit))) => {
                let advice = "both are the limit of the ratio; give one of them";
                Err(conflict(key, limit.to_string(), advice))
            }
            (Some(Correction::Cap), None) if !is_capped => {
                let advice = match self.loss_type {
                    LossType::Cispo => "expected no `correction`: `epsilon_high` is the limit of the ratio",
                    _ => "expected another `correction`: the loss has no ratio that a cap could limit",
                };
                Err(conflict("loss_type", name(self.loss_type), advice))
            }
            (Some(correction), _)
                if correction.needs_trainer_logprobs() && self.loss_type == LossType::Vespo =>
            {
                let advice = "expected no `correction`: the ratio is of the whole completion to the sampler already, \
                              and has a smooth limit";
                Err(conflict("loss_type", name(self.loss_type), advice))
            }
            (Some(correction), _)
                if correction.needs_trainer_logprobs() && self.router_replay == RouterReplay::On =>
            {
                let advice = "expected \"off\" there: the correction compares the trainer's own routes with the sampler's";
                Err(conflict("router_replay", name(self.router_replay), advice))
            }
            (Some(correction), _) => Ok(correction),
            (None, _) if self.truncates_by_default() => Ok(Correction::Truncate),
            // A ratio against a sampler that rounds, or is old, must not grow without limit.
            (None, None) if (logprobs == Logprobs::Approximate || self.staleness() > 0) && is_capped => {
                Ok(Correction::Cap)
            }
            (None, _) => Ok(Correction::None),
        }
    }

    /// Whether old completions are corrected for by the trainer's own policy before the step: the clip is then around that one,
    /// and not around weights of steps ago (AReaL's decoupled objective, arXiv 2505.24298).
    pub(crate) fn truncates_by_default(&self) -> bool {
        self.staleness() > 0 && self.loss_type != LossType::Vespo && self.router_replay != RouterReplay::On
    }

    fn chosen_bounds(&self, correction: Correction) -> Result<Bounds, Error> {
        let defaults = correction.default_bounds();
        for (key, given) in [("correction_min", self.correction_min), ("correction_max", self.correction_max)]
        {
            let Some(given) = given.filter(|_| !correction.needs_trainer_logprobs()) else { continue };
            return Err(Error::Conflict {
                key,
                found: given.to_string(),
                other: "correction",
                stated: self.correction.map_or_else(|| "not given".to_owned(), name),
                advice: format!("expected no `{key}`, or a `correction` with weights, such as \"truncate\""),
            });
        }
        let bounds = Bounds {
            min: self.correction_min.unwrap_or(defaults.min),
            max: self.correction_max.unwrap_or(defaults.max),
        };
        if !(0.0..=1.0).contains(&bounds.min) {
            let expected = "a number from 0 to 1: a sampler that agrees has the ratio 1";
            return Err(Error::Range { key: "correction_min", found: bounds.min.to_string(), expected });
        }
        if bounds.max.is_nan() || bounds.max < 1.0 {
            let expected = "a number from 1, or inf: a sampler that agrees has the ratio 1";
            return Err(Error::Range { key: "correction_max", found: bounds.max.to_string(), expected });
        }
        Ok(bounds)
    }

    fn chosen_kl(&self) -> Result<Kl, Error> {
        let kl = Kl {
            estimator: self.kl_estimator.unwrap_or_default(),
            straight_through: self.kl_straight_through.unwrap_or_default(),
            placement: self.kl_placement.unwrap_or_default(),
        };
        let conflict = |key, found, other, stated, advice: &str| {
            Err(Error::Conflict { key, found, other, stated, advice: advice.to_owned() })
        };
        if self.beta == 0.0 {
            let given = [
                ("kl_estimator", self.kl_estimator.map(name)),
                ("kl_placement", self.kl_placement.map(name)),
                ("kl_straight_through", self.kl_straight_through.map(|on| on.to_string())),
            ];
            if let Some((key, Some(found))) = given.into_iter().find(|(_, found)| found.is_some()) {
                let advice =
                    format!("expected no `{key}`, or `beta` above 0: without it there is no reference");
                return conflict(key, found, "beta", "0".to_owned(), &advice);
            }
        }
        let in_reward = kl.placement == KlPlacement::Reward;
        let placement = name(kl.placement);
        if kl.straight_through && (in_reward || kl.estimator == KlEstimator::Unbiased) {
            let found = "true".to_owned();
            return if in_reward {
                let advice = "expected \"loss\" there: a reward has no gradient";
                conflict("kl_straight_through", found, "kl_placement", placement, advice)
            } else {
                let advice = "expected no `kl_straight_through`: the estimator has the gradient of KL itself";
                conflict("kl_straight_through", found, "kl_estimator", name(kl.estimator), advice)
            };
        }
        if in_reward && kl.estimator == KlEstimator::Unbiased {
            let advice =
                "expected \"k1\" or another without a ratio: what is in the reward was drawn by the sampler";
            return conflict("kl_estimator", name(kl.estimator), "kl_placement", placement, advice);
        }
        let advantage = self.chosen_advantage()?;
        if in_reward && matches!(advantage, Advantage::Gdpo | Advantage::MaxRl) {
            let advice = match advantage {
                Advantage::Gdpo => "expected \"loss\": the advantage is of the reward's parts",
                _ => "expected \"loss\": the advantage is of rewards from 0",
            };
            return conflict("kl_placement", placement, "advantage", name(advantage), advice);
        }
        Ok(kl)
    }

    fn check_entropy_mask(&self) -> Result<(), Error> {
        let Some(share) = self.top_entropy_quantile.filter(|&share| share < 1.0) else { return Ok(()) };
        let of_sequences = self.importance_sampling_level == ImportanceLevel::Sequence;
        let spans = [
            LossType::Gspo,
            LossType::Luspo,
            LossType::SequenceClip,
            LossType::GeoMean,
            LossType::Vespo,
            LossType::ClipCov,
            LossType::KlCov,
        ];
        if of_sequences || spans.contains(&self.loss_type) {
            let advice = "expected a loss of single tokens, such as \"clip\": tokens that are left out would stay in what the \
                          others share";
            return Err(self.not_with_loss_type("top_entropy_quantile", share.to_string(), advice));
        }
        Ok(())
    }

    fn not_with_loss_type(&self, key: &'static str, found: String, advice: &str) -> Error {
        let (other, stated) = ("loss_type", name(self.loss_type));
        Error::Conflict { key, found, other, stated, advice: advice.to_owned() }
    }
}

/// A choice as a recipe writes it: `DrGrpo` is `"dr_grpo"`.
fn name(choice: impl Debug) -> String {
    let mut name = String::from("\"");
    for (index, letter) in format!("{choice:?}").chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name + "\""
}

#[cfg(test)]
mod tests;
