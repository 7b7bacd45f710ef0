//! `[grpo]` of published methods and of other libraries. Each says in docs/algorithms.md what it does not take over.

use crate::config::{Config, LossType, RouterReplay};
use crate::loss::{Correction, KlEstimator, Reduction};
use crate::{Advantage, Scale};
use serde::{Deserialize, Serialize};

/// A named choice of values for `[grpo]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// DeepSeek-R1-Zero (arXiv 2501.12948, section 2.2).
    #[serde(rename = "r1_zero")]
    R1Zero,
    /// The first reinforcement stage of DeepSeek-R1: `r1_zero` with a clip of 10 (arXiv 2501.12948).
    R1,
    /// DAPO (arXiv 2503.14476, section 4.1).
    Dapo,
    /// Dr. GRPO (arXiv 2503.20783).
    DrGrpo,
    /// DeepSeek-V3.2 (arXiv 2512.02556, section 3.1).
    #[serde(rename = "v3_2")]
    V32,
    /// The defaults of TRL 1.16's `GRPOConfig`.
    Trl,
    /// The defaults of prime-rl's trainer.
    Prime,
    /// The first recipe of Tinker's cookbook, `rl_loop` with `importance_sampling`.
    Tinker,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::R1Zero, Self::R1, Self::Dapo, Self::DrGrpo, Self::V32, Self::Trl, Self::Prime, Self::Tinker];

    /// Its `[grpo]`. Evaluation, microbatches and alarms are the defaults.
    pub fn config(self) -> Config {
        match self {
            Self::R1Zero => Config::r1_zero(),
            Self::R1 => Config { epsilon: 10.0, ..Config::r1_zero() },
            Self::Dapo => Config {
                num_generations: 16,
                prompts_per_step: 512,
                filter_groups: Some(true),
                num_minibatches: 16,
                epsilon: 0.2,
                epsilon_high: Some(0.28),
                loss_type: LossType::Dapo,
                ..Config::default()
            },
            Self::DrGrpo => Config {
                num_generations: 8,
                prompts_per_step: 128,
                loss_type: LossType::DrGrpo,
                scale_rewards: Scale::None,
                ..Config::default()
            },
            Self::V32 => Config {
                num_generations: 16,
                beta: 1e-3,
                loss_type: LossType::Grpo,
                advantage: Some(Advantage::Unscaled),
                kl_estimator: Some(KlEstimator::Unbiased),
                off_policy_mask_threshold: Some(0.5),
                router_replay: RouterReplay::On,
                ..Config::default()
            },
            Self::Trl => Config {
                num_generations: 8,
                loss_type: LossType::Dapo,
                correction: Some(Correction::SequenceMask),
                correction_max: Some(3.0),
                ..Config::default()
            },
            Self::Prime => Config {
                loss_type: LossType::DppoTv,
                advantage: Some(Advantage::Unscaled),
                dppo_mask_low: Some(0.2),
                dppo_mask_high: Some(0.2),
                dppo_kl_tau: Some(1e-3),
                ..Config::default()
            },
            Self::Tinker => Config {
                num_generations: 16,
                prompts_per_step: 128,
                loss_type: LossType::ImportanceSampling,
                reduction: Some(Reduction::Sum),
                advantage: Some(Advantage::Unscaled),
                ..Config::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Preset;
    use crate::Advantage;
    use crate::loss::{Correction, KlEstimator, Reduction};
    use ruminate_rollout::Logprobs;

    #[test]
    fn every_preset_is_valid_and_means_what_its_source_says() {
        let of = |preset: Preset| {
            let config = preset.config();
            config.validate().unwrap_or_else(|error| panic!("{preset:?}: {error}"));
            config.policy_loss(Logprobs::Exact).expect("valid")
        };
        assert!(Preset::ALL.iter().all(|&preset| of(preset).advantage != Advantage::Rloo));
        assert_eq!(of(Preset::R1).reduction, Reduction::SequenceMean);
        let r1 = format!("{:?}", of(Preset::R1).surrogate);
        assert!(r1.contains("epsilon: 10.0, epsilon_high: 10.0"), "{r1}");
        let dapo = format!("{:?}", of(Preset::Dapo).surrogate);
        assert!(dapo.contains("epsilon: 0.2, epsilon_high: 0.28"), "{dapo}");
        let dr_grpo = of(Preset::DrGrpo);
        assert_eq!((dr_grpo.advantage, dr_grpo.reduction), (Advantage::Unscaled, Reduction::Constant));
        let v3_2 = of(Preset::V32);
        assert_eq!(v3_2.kl.estimator, KlEstimator::Unbiased);
        assert_eq!((v3_2.advantage, v3_2.off_policy_mask_threshold), (Advantage::Unscaled, Some(0.5)));
        assert_eq!(of(Preset::Trl).correction, Correction::SequenceMask);
        assert!(format!("{:?}", of(Preset::Prime).surrogate).starts_with("Dppo"));
        assert_eq!(of(Preset::Tinker).reduction, Reduction::Sum);
        let names: Vec<String> =
            Preset::ALL.iter().map(|preset| serde_json::to_string(preset).expect("a name")).collect();
        assert_eq!(names.join(" ").replace('"', ""), "r1_zero r1 dapo dr_grpo v3_2 trl prime tinker");
    }
}
