//! Group-relative advantages (arXiv 2402.03300, eq. 3; scaling as TRL has it).

use crate::Scale;

/// Added to the standard deviation, as TRL does.
const EPSILON: f64 = 1e-4;

/// Advantages of groups of completions.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// One value a completion, by group. Exactly 0 where a group's rewards are equal, and for unscored ones.
    pub values: Vec<Vec<f64>>,
    /// Share of groups whose scored rewards are all equal: they teach nothing.
    pub frac_reward_zero_std: f64,
}

/// `(r - mean of the group) / (std + 1e-4)`, with the sample standard deviation of the group or of the batch.
///
/// A reward of `None` is unscored: it takes no part in mean or deviation, and its advantage is 0.
pub fn advantages(rewards: &[Vec<Option<f64>>], scale: Scale) -> Advantages {
    let scored = |group: &Vec<Option<f64>>| group.iter().flatten().copied().collect::<Vec<f64>>();
    let all: Vec<f64> = rewards.iter().flat_map(scored).collect();
    let mut equal_groups = 0;
    let values = rewards
        .iter()
        .map(|group| {
            let own = scored(group);
            // Compared, not computed: rounding must not turn equal rewards into a tiny advantage.
            if all_equal(&own) {
                equal_groups += 1;
                return vec![0.0; group.len()];
            }
            let mean = mean(&own);
            let divisor = match scale {
                Scale::Group => std(&own) + EPSILON,
                Scale::Batch => std(&all) + EPSILON,
                Scale::None => 1.0,
            };
            group.iter().map(|reward| reward.map_or(0.0, |reward| (reward - mean) / divisor)).collect()
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
    use super::advantages;
    use crate::Scale;

    #[test]
    fn equal_rewards_give_exactly_zero() {
        for scale in [Scale::Group, Scale::Batch, Scale::None] {
            let result = advantages(&[vec![Some(0.1); 3], vec![Some(0.0), Some(1.0), Some(0.0)]], scale);
            assert_eq!(result.values[0], [0.0; 3]);
            assert!(result.values[1][1] > 0.0);
            assert_eq!(result.frac_reward_zero_std, 0.5);
        }
    }

    #[test]
    fn an_unscored_completion_changes_nothing_for_its_siblings() {
        let without = advantages(&[vec![Some(1.0), Some(0.0), Some(0.0)]], Scale::Group);
        let with = advantages(&[vec![Some(1.0), None, Some(0.0), Some(0.0)]], Scale::Group);
        assert_eq!(with.values[0][1], 0.0);
        assert_eq!([with.values[0][0], with.values[0][2]], [without.values[0][0], without.values[0][1]]);
    }

    #[test]
    fn a_group_with_one_scored_completion_teaches_nothing() {
        assert_eq!(advantages(&[vec![None, Some(1.0)]], Scale::Group).values, [[0.0, 0.0]]);
    }
}
