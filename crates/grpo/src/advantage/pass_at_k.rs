//! What a completion adds to the best of k (PKPO, arXiv 2505.15201, the leave-one-out-minus-one estimator; with k = n and its
//! completions all there verl's `grpo_passk`, arXiv 2503.19595, without its division).
//!
//! ```text
//! A_i = mean over the sets S of k completions with i in them of (max r_S - max r_{S without i})
//! ```
//!
//! With k = 2 that is the mean of max(r_i - r_j, 0) over the others. Rewards need not be 0 or 1.

/// Maps a reward to its advantage among the scored rewards of its group, of which there are at least two; `k` above their number is
/// their number.
pub(super) fn among(group: &[f64], k: usize) -> impl Fn(f64) -> f64 + use<> {
    let mut ordered = group.to_vec();
    ordered.sort_by(f64::total_cmp);
    let (n, k) = (ordered.len(), k.clamp(2, ordered.len()));
    // Of C(n - 1, k - 1) sets of others, C(j, k - 2) have the reward of rank j (from 0) as their largest.
    let mut share = vec![0.0; n];
    share[n - 2] = (k - 1) as f64 / (n - 1) as f64;
    for rank in (k - 1..n - 1).rev() {
        share[rank - 1] = share[rank] * (rank + 2 - k) as f64 / rank as f64;
    }
    move |reward| {
        let below = ordered.iter().zip(&share).take_while(|&(&other, _)| other < reward);
        below.map(|(other, share)| (reward - other) * share).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Advantage, advantages_at_k};

    fn values(rewards: &[f64], k: usize) -> Vec<f64> {
        let group = rewards.iter().copied().map(Some).collect();
        advantages_at_k(&[group], Advantage::PassAtK, k).values.remove(0)
    }

    /// By the definition: over all sets.
    fn enumerated(rewards: &[f64], k: usize) -> Vec<f64> {
        let best = |set: u32, without: usize| {
            let members = (0..rewards.len()).filter(|&j| set >> j & 1 == 1 && j != without);
            members.map(|j| rewards[j]).fold(f64::NEG_INFINITY, f64::max)
        };
        let of = |i: usize| {
            let sets: Vec<u32> = (0..1_u32 << rewards.len())
                .filter(|set| set.count_ones() as usize == k && set >> i & 1 == 1)
                .collect();
            let gains = sets.iter().map(|&set| best(set, usize::MAX) - best(set, i));
            gains.sum::<f64>() / sets.len() as f64
        };
        (0..rewards.len()).map(of).collect()
    }

    #[test]
    fn it_is_the_mean_over_all_sets_of_what_a_completion_adds() {
        for rewards in [&[0.0, 1.0, 0.25, 1.0, -0.5, 0.75][..], &[1.0, 0.0, 0.0], &[0.5, 0.0]] {
            for k in 2..=rewards.len() {
                for (one, other) in values(rewards, k).iter().zip(enumerated(rewards, k)) {
                    assert!((one - other).abs() < 1e-12, "{rewards:?} {k}: {one} {other}");
                }
            }
        }
    }

    #[test]
    fn with_k_of_the_group_the_best_alone_has_an_advantage() {
        assert_eq!(values(&[0.0, 1.0, 0.25], 3), [0.0, 0.75, 0.0]);
        assert_eq!(values(&[0.0, 1.0, 0.25], 8), [0.0, 0.75, 0.0], "a group has no more");
        assert_eq!(values(&[1.0, 1.0, 0.0], 3), [0.0; 3], "each of two best can be spared");
    }

    #[test]
    fn large_groups_have_finite_shares() {
        let rewards: Vec<f64> = (0..3000).map(f64::from).collect();
        assert!(values(&rewards, 1500).iter().all(|value| value.is_finite()));
    }
}
