//! Advantages: what `grpo.advantage` chooses. A file per choice; all but GDPO map one reward per completion.

mod batch;
mod gdpo;
mod group;
mod max_rl;
mod pass_at_k;
mod reinforce_plus_plus;
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
    /// The reward on the scale of the whole step, without a baseline of its group (REINFORCE++, arXiv
    /// 2501.03262).
    ReinforcePlusPlus,
    /// Centred on the group's mean, then normalised over the whole step (REINFORCE++ with a baseline).
    ReinforcePlusPlusBaseline,
    /// Centred on the group's mean and divided by it (MaxRL, arXiv 2602.02710): rewards from 0.
    MaxRl,
    /// What a completion adds to the best of `pass_at_k` (PKPO, arXiv 2505.15201).
    PassAtK,
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

/// What a group's advantages depend on besides its rewards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison<'a> {
    /// The weights of the verdicts' components ([`Score::weights`](ruminate_data::Score::weights)), which only
    /// [`Advantage::Gdpo`] reads; without components it normalises the score.
    pub weights: &'a [(String, f64)],
    /// What is subtracted from each completion's score, by group; empty for nothing. [`Advantage::Gdpo`] does not take any.
    pub penalties: &'a [Vec<f64>],
    /// The k of [`Advantage::PassAtK`].
    pub pass_at_k: usize,
}

impl Advantage {
    /// Advantages of judged groups.
    pub fn of(self, groups: &[Group], comparison: Comparison) -> Advantages {
        let weights = comparison.weights;
        if self == Self::Gdpo && !weights.is_empty() {
            let counted: Vec<&(String, f64)> = weights.iter().filter(|(_, weight)| *weight != 0.0).collect();
            let parts =
                by_group(groups, |verdict| counted.iter().map(|(name, _)| verdict.reward(name)).collect());
            return decoupled_advantages(
                &parts,
                &counted.iter().map(|(_, weight)| *weight).collect::<Vec<f64>>(),
            );
        }
        let mut rewards = by_group(groups, |verdict| Some(verdict.score));
        for (group, penalties) in rewards.iter_mut().zip(comparison.penalties) {
            for (reward, penalty) in group.iter_mut().zip(penalties) {
                *reward = reward.map(|reward| reward - penalty);
            }
        }
        advantages_at_k(&rewards, self, comparison.pass_at_k)
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
/// [`Advantage::Gdpo`] the reward is the only part, and [`Advantage::PassAtK`] is of the whole group.
pub fn advantages(rewards: &[Vec<Option<f64>>], advantage: Advantage) -> Advantages {
    advantages_at_k(rewards, advantage, usize::MAX)
}

/// The same with the k of [`Advantage::PassAtK`], from 2; a group of fewer scored completions takes their number.
pub fn advantages_at_k(rewards: &[Vec<Option<f64>>], advantage: Advantage, k: usize) -> Advantages {
    match advantage {
        Advantage::Group => in_groups(rewards, group::among),
        Advantage::Batch => {
            let step: Vec<f64> = rewards.iter().flatten().flatten().copied().collect();
            in_groups(rewards, |group| batch::among(group, &step))
        }
        Advantage::Unscaled => in_groups(rewards, unscaled::among),
        Advantage::Rloo => in_groups(rewards, rloo::among),
        Advantage::MaxRl => in_groups(rewards, max_rl::among),
        Advantage::PassAtK => in_groups(rewards, |group| pass_at_k::among(group, k)),
        Advantage::ReinforcePlusPlus => {
            reinforce_plus_plus::advantages(rewards, reinforce_plus_plus::Of::Rewards)
        }
        Advantage::ReinforcePlusPlusBaseline => {
            reinforce_plus_plus::advantages(rewards, reinforce_plus_plus::Of::Centred)
        }
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

    const RELATIVE: [Advantage; 8] = [
        Advantage::Group,
        Advantage::Batch,
        Advantage::Unscaled,
        Advantage::Rloo,
        Advantage::Gdpo,
        Advantage::ReinforcePlusPlusBaseline,
        Advantage::MaxRl,
        Advantage::PassAtK,
    ];

    #[test]
    fn equal_rewards_give_exactly_zero() {
        for advantage in RELATIVE {
            let result = advantages(&[vec![Some(0.1); 3], vec![Some(0.0), Some(1.0), Some(0.0)]], advantage);
            assert_eq!(result.values[0], [0.0; 3], "{advantage:?}");
            assert!(result.values[1][1] > 0.0, "{advantage:?}");
            assert_eq!(result.frac_reward_zero_std, 0.5);
        }
        let equal = advantages(&[vec![Some(0.1); 3], vec![Some(0.1); 3]], Advantage::ReinforcePlusPlus);
        assert_eq!(equal.values, [[0.0; 3]; 2]);
    }

    #[test]
    fn a_shift_of_all_rewards_changes_no_advantage_but_that_of_max_rl() {
        let rewards = [vec![Some(0.25), None, Some(1.0), Some(0.0)], vec![Some(0.5), Some(0.5), Some(0.75)]];
        let shifted: Vec<Vec<Option<f64>>> = rewards
            .iter()
            .map(|group| group.iter().map(|reward| reward.map(|reward| reward + 4.0)).collect())
            .collect();
        for advantage in RELATIVE.into_iter().chain([Advantage::ReinforcePlusPlus]) {
            let (before, after) = (advantages(&rewards, advantage), advantages(&shifted, advantage));
            let (before, after) = (before.values.concat(), after.values.concat());
            let largest =
                before.iter().zip(&after).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
            // MaxRL divides by the mean, which is what it is for.
            assert_eq!(largest > 1e-9, advantage == Advantage::MaxRl, "{advantage:?}: {largest}");
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
