//! From the keys of a recipe to a [`PolicyLoss`]: `advantage`, `loss_type`, `reduction`, `correction`, and TRL's names of
//! the same.

use crate::loss::{Cispo, Clip, Correction, Gspo, Reduction, Surrogate};
use crate::{
    Advantage, Aggregation, Config, Error, ImportanceLevel, LossType, PolicyLoss, RouterReplay, Scale,
};
use ruminate_rollout::Logprobs;
use std::fmt::Debug;
use std::sync::Arc;

impl Config {
    /// What the keys mean, for a sampler with such log-probabilities.
    ///
    /// # Errors
    /// [`Error::Range`] for a value that cannot be, [`Error::Conflict`] for two keys that do not go together.
    pub fn policy_loss(&self, logprobs: Logprobs) -> Result<PolicyLoss, Error> {
        Ok(PolicyLoss {
            advantage: self.chosen_advantage()?,
            surrogate: self.chosen_surrogate()?,
            reduction: self.chosen_reduction()?,
            correction: self.chosen_correction(logprobs)?,
        })
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
        let clip = Clip { epsilon: self.epsilon, epsilon_high: self.epsilon_high(), delta: self.delta };
        let of_sequences = self.importance_sampling_level == ImportanceLevel::Sequence;
        if self.loss_type == LossType::Cispo {
            return Ok(Arc::new(self.cispo()?));
        }
        match self.delta {
            Some(delta) if !(delta.is_finite() && delta > 1.0 + self.epsilon_high()) => {
                let expected = "a number above 1 + epsilon_high";
                Err(Error::Range { key: "delta", found: delta.to_string(), expected })
            }
            _ if of_sequences || self.loss_type == LossType::Gspo => Ok(Arc::new(Gspo(clip))),
            _ => Ok(Arc::new(clip)),
        }
    }

    fn cispo(&self) -> Result<Cispo, Error> {
        if self.importance_sampling_level == ImportanceLevel::Sequence {
            let advice = "expected \"token\": each token has its own weight; `loss_type = \"gspo\"` has ratios of \
                          sequences";
            let found = name(self.importance_sampling_level);
            return Err(self.not_with_loss_type("importance_sampling_level", found, advice));
        }
        if let Some(delta) = self.delta {
            let advice = "expected no `delta`: `epsilon_high` is the limit of the ratio";
            return Err(self.not_with_loss_type("delta", delta.to_string(), advice));
        }
        match self.epsilon_high {
            Some(limit) if limit >= 1.0 && limit.is_finite() => Ok(Cispo { limit }),
            found => {
                let found = found.map_or_else(|| "not given".to_owned(), |limit| limit.to_string());
                let expected =
                    "the upper limit of the ratio with loss_type \"cispo\": a number from 1, such as 5";
                Err(Error::Range { key: "epsilon_high", found, expected })
            }
        }
    }

    fn chosen_reduction(&self) -> Result<Reduction, Error> {
        let (own, is_named) = match self.loss_type {
            LossType::Clip | LossType::Cispo => (Reduction::TokenMean, false),
            LossType::Gspo => (Reduction::SequenceMean, false),
            LossType::Grpo => (Reduction::SequenceMean, true),
            LossType::Bnpo => (Reduction::MicrobatchMean, true),
            LossType::Dapo => (Reduction::TokenMean, true),
            LossType::DrGrpo => (Reduction::Constant, true),
        };
        match self.reduction {
            Some(reduction) if is_named && reduction != own => {
                let advice = format!(
                    "expected {}, which is what that name says, or `loss_type = \"clip\"`, which goes with each",
                    name(own)
                );
                Err(self.not_with_loss_type("reduction", name(reduction), &advice))
            }
            reduction => Ok(reduction.unwrap_or(own)),
        }
    }

    fn chosen_correction(&self, logprobs: Logprobs) -> Result<Correction, Error> {
        let cispo = self.loss_type == LossType::Cispo;
        let conflict = |other, stated, advice: &str| Error::Conflict {
            key: "correction",
            found: name(self.correction.unwrap_or_default()),
            other,
            stated,
            advice: advice.to_owned(),
        };
        match (self.correction, self.delta) {
            (Some(Correction::Cap), Some(delta)) => {
                let advice = "both are the limit of the ratio; give one of them";
                Err(conflict("delta", delta.to_string(), advice))
            }
            (Some(Correction::Cap), None) if cispo => {
                let advice = "expected no `correction`: `epsilon_high` is the limit of the ratio";
                Err(conflict("loss_type", name(self.loss_type), advice))
            }
            (Some(Correction::Truncate), _) if self.router_replay == RouterReplay::On => {
                let advice = "expected \"off\" there: the correction compares the trainer's own routes with the sampler's";
                Err(conflict("router_replay", name(self.router_replay), advice))
            }
            (Some(correction), _) => Ok(correction),
            // A ratio against a sampler that rounds must not grow without limit.
            (None, None) if logprobs == Logprobs::Approximate && !cispo => Ok(Correction::Cap),
            (None, _) => Ok(Correction::None),
        }
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(keys: Value) -> Config {
        serde_json::from_value(keys).expect("keys of [grpo]")
    }

    fn refusal(keys: Value) -> String {
        config(keys.clone()).validate().expect_err(&keys.to_string()).to_string()
    }

    #[test]
    fn trls_names_mean_the_four_parts() {
        let clip = "Clip { epsilon: 0.2, epsilon_high: 0.2, delta: None }";
        let gspo = &format!("Gspo({clip})");
        let (group, token_mean) = (Advantage::Group, Reduction::TokenMean);
        for (keys, advantage, surrogate, reduction) in [
            (json!({}), group, clip, token_mean),
            (json!({ "loss_type": "dapo" }), group, clip, token_mean),
            (json!({ "loss_type": "grpo" }), group, clip, Reduction::SequenceMean),
            (json!({ "loss_type": "bnpo" }), group, clip, Reduction::MicrobatchMean),
            (json!({ "loss_type": "dr_grpo" }), group, clip, Reduction::Constant),
            (json!({ "importance_sampling_level": "sequence" }), group, gspo, token_mean),
            (
                json!({ "importance_sampling_level": "sequence", "loss_type": "grpo" }),
                group,
                gspo,
                Reduction::SequenceMean,
            ),
            (json!({ "loss_type": "cispo", "epsilon_high": 5.0 }), group, "Cispo { limit: 5.0 }", token_mean),
            (json!({ "scale_rewards": "batch" }), Advantage::Batch, clip, token_mean),
            (json!({ "scale_rewards": "none" }), Advantage::Unscaled, clip, token_mean),
            (
                json!({ "multi_objective_aggregation": "normalize_then_sum" }),
                Advantage::Gdpo,
                clip,
                token_mean,
            ),
            // Names of this crate, alone and beside TRL's that mean the same.
            (json!({ "loss_type": "clip", "reduction": "sum" }), group, clip, Reduction::Sum),
            (json!({ "loss_type": "gspo" }), group, gspo, Reduction::SequenceMean),
            (json!({ "loss_type": "dr_grpo", "reduction": "constant" }), group, clip, Reduction::Constant),
            (json!({ "advantage": "rloo" }), Advantage::Rloo, clip, token_mean),
            (
                json!({ "advantage": "unscaled", "scale_rewards": "none" }),
                Advantage::Unscaled,
                clip,
                token_mean,
            ),
        ] {
            let loss = config(keys.clone()).policy_loss(Logprobs::Exact).expect("valid");
            let found = (loss.advantage, format!("{:?}", loss.surrogate), loss.reduction, loss.correction);
            assert_eq!(found, (advantage, surrogate.to_owned(), reduction, Correction::None), "{keys}");
        }
    }

    #[test]
    fn a_sampler_that_rounds_is_capped_unless_a_key_bounds_the_ratio() {
        for (keys, logprobs, expected) in [
            (json!({}), Logprobs::Exact, Correction::None),
            (json!({}), Logprobs::Approximate, Correction::Cap),
            (json!({ "delta": 4.0 }), Logprobs::Approximate, Correction::None),
            (json!({ "loss_type": "cispo", "epsilon_high": 5.0 }), Logprobs::Approximate, Correction::None),
            (json!({ "correction": "none" }), Logprobs::Approximate, Correction::None),
            (json!({ "correction": "cap" }), Logprobs::Exact, Correction::Cap),
            (json!({ "correction": "truncate", "delta": 4.0 }), Logprobs::Approximate, Correction::Truncate),
        ] {
            let loss = config(keys.clone()).policy_loss(logprobs).expect("valid");
            assert_eq!(loss.correction, expected, "{keys} {logprobs:?}");
        }
        assert_eq!(Correction::Cap.limit(1.2), Some(3.0));
        assert_eq!(Correction::Cap.limit(4.5), Some(4.5), "the cap never lies within the clip");
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused_by_name() {
        for (keys, says) in [
            (json!({ "reduction": "sum" }), ["`grpo.reduction = \"sum\"`", "`loss_type = \"clip\"`"]),
            (
                json!({ "loss_type": "dr_grpo", "reduction": "token_mean" }),
                ["`grpo.loss_type = \"dr_grpo\"`", "expected \"constant\""],
            ),
            (
                json!({ "advantage": "rloo", "scale_rewards": "none" }),
                ["`grpo.advantage = \"rloo\"`", "`grpo.scale_rewards = \"none\"`: expected \"unscaled\""],
            ),
            (
                json!({ "advantage": "group", "multi_objective_aggregation": "normalize_then_sum" }),
                ["`grpo.multi_objective_aggregation = \"normalize_then_sum\"`", "expected \"gdpo\""],
            ),
            (
                json!({ "scale_rewards": "none", "multi_objective_aggregation": "normalize_then_sum" }),
                ["`grpo.scale_rewards` is \"none\"", "expected \"group\""],
            ),
            (json!({ "loss_type": "cispo" }), ["`grpo.epsilon_high` is not given", "such as 5"]),
            (
                json!({ "loss_type": "cispo", "epsilon_high": 0.28 }),
                ["`grpo.epsilon_high` is 0.28", "from 1"],
            ),
            (
                json!({ "loss_type": "cispo", "epsilon_high": 5.0, "delta": 9.0 }),
                ["`grpo.delta = 9`", "expected no `delta`"],
            ),
            (
                json!({ "loss_type": "cispo", "epsilon_high": 5.0, "importance_sampling_level": "sequence" }),
                ["`grpo.importance_sampling_level = \"sequence\"`", "`loss_type = \"gspo\"`"],
            ),
            (
                json!({ "loss_type": "cispo", "epsilon_high": 5.0, "correction": "cap" }),
                ["`grpo.correction = \"cap\"`", "`epsilon_high` is the limit"],
            ),
            (json!({ "delta": 1.1 }), ["`grpo.delta` is 1.1", "above 1 + epsilon_high"]),
            (json!({ "delta": 4.0, "correction": "cap" }), ["`grpo.correction = \"cap\"`", "one of them"]),
            (
                json!({ "correction": "truncate", "router_replay": "on" }),
                ["`grpo.router_replay = \"on\"`", "expected \"off\""],
            ),
        ] {
            let message = refusal(keys);
            assert!(says.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn choices_are_named_as_recipes_write_them() {
        assert_eq!(json!(Advantage::Gdpo).to_string(), name(Advantage::Gdpo));
        assert_eq!(json!(LossType::DrGrpo).to_string(), name(LossType::DrGrpo));
        assert_eq!(json!(Reduction::MicrobatchMean).to_string(), name(Reduction::MicrobatchMean));
    }
}
