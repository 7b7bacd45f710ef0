//! `A_i = r_i - mean of the group's other rewards`: leave-one-out (RLOO, arXiv 2402.14740).

/// Maps a reward to its advantage among the scored rewards of its group, of which there are at least two.
pub(super) fn among(group: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let (sum, others) = (group.iter().sum::<f64>(), (group.len() - 1) as f64);
    move |reward| reward - (sum - reward) / others
}

#[cfg(test)]
mod tests {
    use crate::{Advantage, advantages};

    #[test]
    fn each_reward_is_compared_with_the_mean_of_the_others() {
        // By hand: 1 - (0 + 0.5)/2, 0 - (1 + 0.5)/2, 0.5 - (1 + 0)/2.
        let result = advantages(&[vec![Some(1.0), None, Some(0.0), Some(0.5)]], Advantage::Rloo);
        assert_eq!(result.values, [[0.75, 0.0, -0.75, 0.0]]);
    }

    #[test]
    fn it_is_the_unscaled_advantage_times_n_over_n_minus_1() {
        let rewards = [vec![Some(0.3), Some(1.1), Some(0.1), Some(0.0), Some(1.0)]];
        let left_out = advantages(&rewards, Advantage::Rloo);
        let centred = advantages(&rewards, Advantage::Unscaled);
        for (one, other) in left_out.values[0].iter().zip(&centred.values[0]) {
            assert!((one - other * 5.0 / 4.0).abs() < 1e-12, "{one} {other}");
        }
    }
}
