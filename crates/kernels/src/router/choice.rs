//! The choice of experts: the K best of each row by score plus bias, within the best groups. It runs on the host
//! because grouping tokens by expert needs it there anyway; that also makes ties the same on every device.

/// How many experts, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterChoice {
    /// K; at most the experts of the groups that a token may use.
    pub experts_per_token: usize,
    /// Groups of neighbouring experts, a divisor of E; 1 where there are none.
    pub n_group: usize,
    /// Groups that a token may use.
    pub topk_group: usize,
}

impl RouterChoice {
    /// The chosen experts of each row, `[N * K]`, best first; of equals the lowest index comes first, and NaN comes
    /// last.
    ///
    /// # Shapes
    /// - `scores`: `[N, E]`, `bias`: `[E]`, added for the choice only
    pub fn of(self, scores: &[f32], bias: Option<&[f32]>, n_experts: usize) -> Vec<u16> {
        let per_token = self.experts_per_token.min(n_experts);
        let mut chosen = Vec::with_capacity(scores.len() / n_experts * per_token);
        let mut biased = vec![0.0; n_experts];
        let mut best = vec![Candidate::NONE; per_token];
        let mut groups = vec![Candidate::NONE; self.topk_group.min(self.n_group)];
        for row in scores.chunks_exact(n_experts) {
            match bias {
                Some(bias) => {
                    for (sum, (score, bias)) in biased.iter_mut().zip(row.iter().zip(bias)) {
                        *sum = score + bias;
                    }
                }
                None => biased.copy_from_slice(row),
            }
            if groups.len() < self.n_group {
                self.leave_best_groups(&mut biased, &mut groups);
            }
            keep_best(&mut best, biased.iter().copied());
            chosen.extend(best.iter().map(|candidate| candidate.index as u16));
        }
        chosen
    }

    /// Node-limited routing (arXiv 2412.19437, section 2.1.2): a group's score is the sum of its two best; experts
    /// of the other groups are out.
    fn leave_best_groups(self, biased: &mut [f32], groups: &mut [Candidate]) {
        let size = biased.len() / self.n_group;
        let mut pair = [Candidate::NONE; 2];
        let worth = biased.chunks_exact(size).map(|group| {
            let pair = &mut pair[..size.min(2)];
            keep_best(pair, group.iter().copied());
            pair.iter().map(|candidate| candidate.score).sum()
        });
        keep_best(groups, worth);
        for (index, group) in biased.chunks_exact_mut(size).enumerate() {
            if groups.iter().all(|kept| kept.index != index) {
                group.fill(f32::NEG_INFINITY);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    index: usize,
}

impl Candidate {
    const NONE: Self = Self { score: f32::NEG_INFINITY, index: usize::MAX };

    /// Whether it goes before another of a lower index.
    fn beats(self, earlier: Self) -> bool {
        earlier.index == usize::MAX || self.score > earlier.score
    }
}

/// The largest of `scores`, as many as `best` has room for, in falling order: one pass, in which most compare with
/// the last one only.
fn keep_best(best: &mut [Candidate], scores: impl Iterator<Item = f32>) {
    best.fill(Candidate::NONE);
    for (index, score) in scores.enumerate() {
        let score = if score.is_nan() { f32::NEG_INFINITY } else { score };
        let candidate = Candidate { score, index };
        if best.last().is_some_and(|&worst| candidate.beats(worst)) {
            let mut rank = best.len() - 1;
            while rank > 0 && candidate.beats(best[rank - 1]) {
                best[rank] = best[rank - 1];
                rank -= 1;
            }
            best[rank] = candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RouterChoice;
    use crate::test_inputs;
    use proptest::prelude::*;

    const fn of_all(experts_per_token: usize) -> RouterChoice {
        RouterChoice { experts_per_token, n_group: 1, topk_group: 1 }
    }

    /// The definition: a stable sort, group by group and then expert by expert.
    fn by_sorting(choice: RouterChoice, row: &[f32]) -> Vec<u16> {
        let falling = |values: &[f32]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
            order
        };
        let size = row.len() / choice.n_group;
        let worth: Vec<f32> = row
            .chunks(size)
            .map(|group| falling(group).iter().take(2).map(|&expert| group[expert]).sum())
            .collect();
        let groups = &falling(&worth)[..choice.topk_group];
        let allowed = falling(row).into_iter().filter(|expert| groups.contains(&(expert / size)));
        allowed.take(choice.experts_per_token).map(|expert| expert as u16).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_choice_is_that_of_a_stable_sort(
            [n_group, size] in prop::array::uniform2(1_usize..7),
            [allowed, per_token] in prop::array::uniform2(0_usize..100),
            steps in 2_u8..40,
            seed in 0_u32..1000,
        ) {
            let topk_group = 1 + allowed % n_group;
            let experts_per_token = 1 + per_token % (topk_group * size);
            let choice = RouterChoice { experts_per_token, n_group, topk_group };
            let n_experts = n_group * size;
            // In few steps, so that many are equal.
            let scores: Vec<f32> = test_inputs::values(5 * n_experts, seed)
                .into_iter()
                .map(|score| (score * f32::from(steps)).round() / f32::from(steps) + 0.0)
                .collect();
            let bias: Vec<f32> = (0..n_experts).map(|expert| (expert % 3) as f32 * 0.5).collect();
            let expected: Vec<u16> = scores
                .chunks(n_experts)
                .flat_map(|row| {
                    let biased: Vec<f32> = row.iter().zip(&bias).map(|(score, bias)| score + bias + 0.0).collect();
                    by_sorting(choice, &biased)
                })
                .collect();
            prop_assert_eq!(choice.of(&scores, Some(&bias), n_experts), expected);
        }
    }

    #[test]
    fn a_group_wins_by_the_sum_of_its_two_best() {
        // The single best expert sits in the second group, but the first group's pair is worth more.
        let choice = RouterChoice { experts_per_token: 2, n_group: 2, topk_group: 1 };
        assert_eq!(choice.of(&[0.6, 0.6, 0.9, 0.1], None, 4), [0, 1]);
    }

    #[test]
    fn ties_go_to_the_lowest_index_and_nan_comes_last() {
        assert_eq!(of_all(2).of(&[0.5, 0.5, 0.1], None, 3), [0, 1]);
        assert_eq!(of_all(2).of(&[f32::NAN, 0.1, 0.1], None, 3), [1, 2]);
    }

    #[test]
    fn a_row_without_a_number_still_names_different_experts() {
        assert_eq!(of_all(2).of(&[f32::NAN; 3], None, 3), [0, 1]);
        assert_eq!(of_all(2).of(&[f32::NEG_INFINITY; 3], None, 3), [0, 1]);
    }
}
