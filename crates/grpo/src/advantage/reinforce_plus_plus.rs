//! Rewards on the scale of the whole step (REINFORCE++, arXiv 2501.03262): `(x - mean of the step) / sqrt(variance of the step +
//! 1e-8)`, of rewards, or with a baseline of rewards less the mean of their group. The constant is verl's.

use super::{Advantages, mean, std};

/// Added to the variance, as verl does.
const EPSILON: f64 = 1e-8;

/// What is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The rewards: a problem that is easier than the others counts for its completions.
    Rewards,
    /// The rewards less the mean of their group.
    Centred,
}

/// The advantages of a step's groups.
pub(super) fn advantages(rewards: &[Vec<Option<f64>>], of: Of) -> Advantages {
    let mut equal_groups = 0;
    let values = |group: &Vec<Option<f64>>| -> Vec<Option<f64>> {
        let scored: Vec<f64> = group.iter().flatten().copied().collect();
        let equal = super::all_equal(&scored);
        equal_groups += usize::from(equal);
        match of {
            Of::Rewards => group.clone(),
            // Compared, not computed: rounding must not turn equal rewards into a tiny advantage.
            Of::Centred if equal => group.iter().map(|reward| reward.map(|_| 0.0)).collect(),
            Of::Centred => {
                let mean = mean(&scored);
                group.iter().map(|reward| reward.map(|reward| reward - mean)).collect()
            }
        }
    };
    let values: Vec<Vec<Option<f64>>> = rewards.iter().map(values).collect();
    let step: Vec<f64> = values.iter().flatten().flatten().copied().collect();
    let equal = super::all_equal(&step);
    let mean = match of {
        Of::Rewards => mean(&step),
        // It is 0 but for rounding, which must not become an advantage of groups with equal rewards.
        Of::Centred => 0.0,
    };
    let divisor = (std(&step).powi(2) + EPSILON).sqrt();
    let normalised =
        |value: &Option<f64>| value.filter(|_| !equal).map_or(0.0, |value| (value - mean) / divisor);
    Advantages {
        values: values.iter().map(|group| group.iter().map(normalised).collect()).collect(),
        frac_reward_zero_std: equal_groups as f64 / rewards.len().max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Advantage, advantages};

    #[test]
    fn without_a_baseline_an_easy_problem_counts_for_its_completions() {
        let rewards = [vec![Some(1.0), Some(1.0)], vec![Some(0.0), None, Some(0.0)]];
        let plain = advantages(&rewards, Advantage::ReinforcePlusPlus);
        let one = 0.5 / (1.0_f64 / 3.0 + 1e-8).sqrt();
        assert_eq!(plain.values, [vec![one, one], vec![-one, 0.0, -one]]);
        assert_eq!(plain.frac_reward_zero_std, 1.0);
        let centred = advantages(&rewards, Advantage::ReinforcePlusPlusBaseline);
        assert_eq!(centred.values, [vec![0.0; 2], vec![0.0; 3]]);
    }
}
