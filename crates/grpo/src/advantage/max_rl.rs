//! `A_i = (r_i - mean) / mean` of the group: maximum-likelihood RL (MaxRL, arXiv 2602.02710; prime-rl's `max_rl`). A problem that is
//! solved with probability p has the weight 1/p: with groups that grow, the gradient becomes that of log p.

use super::mean;

/// Maps a reward to its advantage among the scored rewards of its group; 0 where their mean is not above 0.
pub(super) fn among(group: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let mean = mean(group);
    move |reward| if mean > 0.0 { (reward - mean) / mean } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use crate::{Advantage, advantages};

    #[test]
    fn a_rare_success_counts_for_as_much_as_it_is_rare() {
        let result = advantages(&[vec![Some(1.0), Some(0.0), None, Some(0.0), Some(0.0)]], Advantage::MaxRl);
        assert_eq!(result.values, [[3.0, -1.0, 0.0, -1.0, -1.0]]);
        let negative = advantages(&[vec![Some(-1.0), Some(0.5)]], Advantage::MaxRl);
        assert_eq!(negative.values, [[0.0, 0.0]]);
    }
}
