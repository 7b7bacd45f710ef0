//! GDPO (arXiv 2601.05242): the parts of a reward are normalised one by one, so that weights alone say what counts.

use super::{Advantages, EPSILON, all_equal, mean, std};

/// Advantages of rewards in parts, each of which is normalised by itself (GDPO, arXiv 2601.05242; TRL's
/// `normalize_then_sum`): `z = (r - mean) / (std + 1e-4)` of each part within its group, `R = sum of weight * z`, and
/// `(R - mean of the batch) / (std of the batch + 1e-4)`.
///
/// `rewards` has the parts of each completion, by group; `None` is unscored, as in [`advantages`](super::advantages). A group counts as
/// equal when every part is.
pub fn decoupled_advantages(rewards: &[Vec<Option<Vec<f64>>>], weights: &[f64]) -> Advantages {
    let sums: Vec<Option<Vec<Option<f64>>>> = rewards.iter().map(|group| summed(group, weights)).collect();
    let all: Vec<f64> = sums.iter().flatten().flatten().flatten().copied().collect();
    // An equal group's sums are 0 and take part in the batch's deviation, as in TRL.
    let zeros = rewards
        .iter()
        .zip(&sums)
        .filter(|(_, sum)| sum.is_none())
        .map(|(group, _)| group.iter().flatten().count());
    let all: Vec<f64> = all.into_iter().chain(std::iter::repeat_n(0.0, zeros.sum())).collect();
    let (mean, divisor) = (mean(&all), std(&all) + EPSILON);
    let equal_groups = sums.iter().filter(|sum| sum.is_none()).count();
    let values = rewards
        .iter()
        .zip(sums)
        .map(|(group, sums)| match sums {
            None => vec![0.0; group.len()],
            Some(sums) => sums.into_iter().map(|sum| sum.map_or(0.0, |sum| (sum - mean) / divisor)).collect(),
        })
        .collect();
    Advantages { values, frac_reward_zero_std: equal_groups as f64 / rewards.len().max(1) as f64 }
}

/// The weighted sums of a group's normalised parts; none where all parts are equal.
fn summed(group: &[Option<Vec<f64>>], weights: &[f64]) -> Option<Vec<Option<f64>>> {
    let mut sums: Vec<Option<f64>> = group.iter().map(|parts| parts.as_ref().map(|_| 0.0)).collect();
    let mut equal = true;
    for (part, weight) in weights.iter().enumerate() {
        let own: Vec<f64> = group.iter().flatten().map(|parts| parts[part]).collect();
        if all_equal(&own) {
            continue;
        }
        equal = false;
        let (mean, divisor) = (mean(&own), std(&own) + EPSILON);
        for (sum, parts) in sums.iter_mut().zip(group) {
            if let (Some(sum), Some(parts)) = (sum, parts) {
                *sum += weight * (parts[part] - mean) / divisor;
            }
        }
    }
    (!equal).then_some(sums)
}

#[cfg(test)]
mod tests {
    use super::decoupled_advantages;
    use crate::{Advantage, advantages};

    #[test]
    fn a_part_counts_by_its_weight_and_not_by_its_spread() {
        // The second part varies a hundred times less, and has a little more weight.
        let parts = [[1.0, 0.00], [0.0, 0.01]];
        let weights = [1.0, 1.1];
        let decoupled = decoupled_advantages(&[parts.map(|part| Some(part.to_vec())).to_vec()], &weights);
        assert!(decoupled.values[0][0] < 0.0, "{:?}", decoupled.values);
        let sums = parts.map(|part| Some(part[0] * weights[0] + part[1] * weights[1]));
        assert!(advantages(&[sums.to_vec()], Advantage::Group).values[0][0] > 0.0);
    }

    #[test]
    fn parts_that_are_equal_or_unscored_give_exactly_zero() {
        let equal = vec![Some(vec![0.1, 0.2]), Some(vec![0.1, 0.2]), None];
        let other = vec![Some(vec![1.0, 0.2]), Some(vec![0.0, 0.2]), None];
        let result = decoupled_advantages(&[equal, other], &[1.0, 0.5]);
        assert_eq!(result.values[0], [0.0; 3]);
        assert_eq!((result.values[1][2], result.frac_reward_zero_std), (0.0, 0.5));
        assert!(result.values[1][0] > 0.0 && result.values[1][1] < 0.0);
    }
}
