//! Advantages: what `grpo.advantage` chooses. A file per choice; all but GDPO map one reward per completion.

mod batch;
mod gdpo;
mod group;
mod rloo;
mod unscaled;

use crate::Scale;
use ruminate_data::{Group, Verdict};
use serde::{Deserialize, Serialize};

pub use gdpo::decoupled_advantages;

/// Added to the standard deviation, as TRL does.
const EPSILON: f64 = 1e-4;

/// How the rewards of a group become advantages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advantage {
    /// Centred on the group's mean, divided by its standard deviation (GRPO; TRL's `scale_rewards =
    /// "group"`).
    #[default]
    Group,
    /// Centred on the group's mean, divided by the standard deviation of the whole step (TRL's
    /// `scale_rewards = "batch"`).
    Batch,
    /// Centred on the group's mean (Dr. GRPO; TRL's `scale_rewards = "none"`).
    Unscaled,
    /// Centred on the mean of the group's other rewards (leave-one-out, arXiv 2402.14740).
    Rloo,
    /// Each part of the reward by itself (GDPO, arXiv 2601.05242; TRL's `multi_objective_aggregation =
    /// "normalize_then_sum"`).
    Gdpo,
}

impl From<Scale> for Advantage {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Group => Self::Group,
            Scale::Batch => Self::Batch,
            Scale::None => Self::Unscaled,
        }
    }
}

/// Advantages of groups of completions.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// One value per completion, by group. Exactly 0 where a group's rewards are equal, and for unscored ones.
    pub values: Vec<Vec<f64>>,
    /// Share of groups whose scored rewards are all equal: they teach nothing.
    pub frac_reward_zero_std: f64,
}

impl Advantage {
    /// Advantages of judged groups. `weights` are those of the verdicts' components ([`Score::weights`]), which only
    /// [`Gdpo`](Self::Gdpo) reads; without components it normalises the score.
    ///
    /// [`Score::weights`]: ruminate_data::Score::weights
    pub fn of(self, groups: &[Group], weights: &[(String, f64)]) -> Advantages {
        if self == Self::Gdpo && !weights.is_empty() {
            let counted: Vec<&(String, f64)> = weights.iter().filter(|(_, weight)| *weight != 0.0).collect();
            let parts =
                by_group(groups, |verdict| counted.iter().map(|(name, _)| verdict.reward(name)).collect());
            return decoupled_advantages(
                &parts,
                &counted.iter().map(|(_, weight)| *weight).collect::<Vec<f64>>(),
            );
        }
        advantages(&by_group(groups, |verdict| Some(verdict.score)), self)
    }
}

/// Rewards of scored completions, by group.
fn by_group<T>(groups: &[Group], reward: impl Fn(&Verdict) -> Option<T>) -> Vec<Vec<Option<T>>> {
    let scored = |verdict: &Verdict| verdict.is_scored().then(|| reward(verdict)).flatten();
    groups.iter().map(|group| group.verdicts.iter().map(scored).collect()).collect()
}

/// Advantages of one reward per completion, by group.
///
/// A reward of `None` is unscored: it takes no part in mean or deviation, and its advantage is 0. With
/// [`Advantage::Gdpo`] the reward is the only part.
pub fn advantages(rewards: &[Vec<Option<f64>>], advantage: Advantage) -> Advantages {
    match advantage {
        Advantage::Group => in_groups(rewards, group::among),
        Advantage::Batch => {
            let step: Vec<f64> = rewards.iter().flatten().flatten().copied().collect();
            in_groups(rewards, |group| batch::among(group, &step))
        }
        Advantage::Unscaled => in_groups(rewards, unscaled::among),
        Advantage::Rloo => in_groups(rewards, rloo::among),
        Advantage::Gdpo => {
            let part = |reward: &Option<f64>| reward.map(|reward| vec![reward]);
            let parts: Vec<Vec<Option<Vec<f64>>>> =
                rewards.iter().map(|group| group.iter().map(part).collect()).collect();
            decoupled_advantages(&parts, &[1.0])
        }
    }
}

/// The advantage of each reward by what `among` makes of the scored rewards of its group.
fn in_groups<A: Fn(f64) -> f64>(rewards: &[Vec<Option<f64>>], among: impl Fn(&[f64]) -> A) -> Advantages {
    let mut equal_groups = 0;
    let values = rewards
        .iter()
        .map(|group| {
            let scored: Vec<f64> = group.iter().flatten().copied().collect();
            // Compared, not computed: rounding must not turn equal rewards into a tiny advantage.
            if all_equal(&scored) {
                equal_groups += 1;
                return vec![0.0; group.len()];
            }
            let advantage = among(&scored);
            group.iter().map(|reward| reward.map_or(0.0, &advantage)).collect()
        })
        .collect();
    Advantages { values, frac_reward_zero_std: f64::from(equal_groups) / rewards.len().max(1) as f64 }
}

fn all_equal(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Sample standard deviation (divisor n - 1); 0 for fewer than two values.
pub(crate) fn std(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Advantage, advantages};

    const ALL: [Advantage; 5] =
        [Advantage::Group, Advantage::Batch, Advantage::Unscaled, Advantage::Rloo, Advantage::Gdpo];

    #[test]
    fn equal_rewards_give_exactly_zero() {
        for advantage in ALL {
            let result = advantages(&[vec![Some(0.1); 3], vec![Some(0.0), Some(1.0), Some(0.0)]], advantage);
            assert_eq!(result.values[0], [0.0; 3]);
            assert!(result.values[1][1] > 0.0);
            assert_eq!(result.frac_reward_zero_std, 0.5);
        }
    }

    #[test]
    fn an_unscored_completion_changes_nothing_for_its_siblings() {
        let without = advantages(&[vec![Some(1.0), Some(0.0), Some(0.0)]], Advantage::Group);
        let with = advantages(&[vec![Some(1.0), None, Some(0.0), Some(0.0)]], Advantage::Group);
        assert_eq!(with.values[0][1], 0.0);
        assert_eq!([with.values[0][0], with.values[0][2]], [without.values[0][0], without.values[0][1]]);
    }

    #[test]
    fn a_group_with_one_scored_completion_teaches_nothing() {
        assert_eq!(advantages(&[vec![None, Some(1.0)]], Advantage::Group).values, [[0.0, 0.0]]);
    }
}
