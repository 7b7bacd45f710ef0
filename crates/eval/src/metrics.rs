//! The estimators, as pure functions over judged completions. They do not know where completions come from.

use ruminate_data::{Completion, Group, Outcome, Seed, Verdict};
use std::collections::BTreeMap;

/// Resamples of [`bootstrap_ci`].
const RESAMPLES: u64 = 1_000;

/// pass@k without bias: the chance that at least one of `k` completions is correct when they are drawn without
/// replacement from `n` of which `correct` are, `1 - C(n - c, k) / C(n, k)` (Chen et al. 2021, equation 1, in the
/// product form of their figure 3, which overflows for no n).
///
/// # Panics
/// Unless `1 <= k <= n` and `correct <= n`.
pub fn pass_at_k(n: usize, correct: usize, k: usize) -> f64 {
    assert!((1..=n).contains(&k) && correct <= n, "pass@{k} of {correct} correct among {n} is not defined");
    if n - correct < k {
        return 1.0; // too few wrong ones to fill a draw
    }
    1.0 - (n - correct + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The completions of a group that were scored, with their verdicts.
pub fn scored(group: &Group) -> impl Iterator<Item = (&Completion, &Verdict)> {
    group.completions.iter().zip(&group.verdicts).filter(|(_, verdict)| verdict.is_scored())
}

/// The share of a group's scored completions that are correct: pass@1 estimated from all its samples. `None` when
/// none is scored.
pub fn solve_rate(group: &Group) -> Option<f64> {
    mean(scored(group).map(|(_, verdict)| f64::from(u8::from(verdict.outcome == Outcome::Correct))))
}

/// cons@k, self-consistency (Wang et al. 2022): whether the answer that most of the scored completions give is the
/// right one. `None` when none is scored.
///
/// Votes are equal when `extracted` is. A tie goes to the answer whose first vote came first, so that the result is
/// deterministic. Completions without an answer do not vote; a group of only such is wrong. The winning answer is
/// right when any of its voters was judged correct (a strict verifier may refuse a right answer for its form).
pub fn consensus(group: &Group) -> Option<bool> {
    struct Answer<'a> {
        text: &'a str,
        votes: usize,
        correct: bool,
    }
    let mut answers: Vec<Answer<'_>> = Vec::new(); // in order of first votes; groups are small
    let mut any_scored = false;
    for (_, verdict) in scored(group) {
        any_scored = true;
        let Some(text) = verdict.extracted.as_deref() else { continue };
        let correct = verdict.outcome == Outcome::Correct;
        match answers.iter_mut().find(|answer| answer.text == text) {
            Some(answer) => {
                answer.votes += 1;
                answer.correct |= correct;
            }
            None => answers.push(Answer { text, votes: 1, correct }),
        }
    }
    // `max_by_key` takes the last of equals: reversed, that is the first.
    let winner = answers.iter().rev().max_by_key(|answer| answer.votes);
    any_scored.then(|| winner.is_some_and(|answer| answer.correct))
}

/// The mean of each reward component and measure, by its name, over the scored completions that have it.
pub fn component_means(groups: &[Group]) -> BTreeMap<String, f64> {
    let mut values: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (name, value) in groups.iter().flat_map(scored).flat_map(|(_, verdict)| &verdict.rewards) {
        let (sum, count) = values.entry(name.as_str()).or_default();
        *sum += value;
        *count += 1;
    }
    values.into_iter().map(|(name, (sum, count))| (name.to_owned(), sum / count as f64)).collect()
}

/// The 95 % confidence interval of a mean over problems: the percentile bootstrap (Efron & Tibshirani 1993, chapter
/// 13) with 1,000 resamples of the problems. Draws are numbered below `seed`, so the same input gives the same
/// interval.
///
/// One value a problem, not a completion: completions of one problem are not independent. When all values are equal
/// the interval has no width, which says nothing of problems that were not asked.
///
/// # Panics
/// When `values` is empty.
pub fn bootstrap_ci(values: &[f64], seed: Seed) -> [f64; 2] {
    assert!(!values.is_empty(), "the mean of no problems has no confidence interval");
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|resample| {
            let draws = seed.index(resample);
            let total: f64 =
                (0..values.len() as u64).map(|draw| values[below(draws.index(draw), values.len())]).sum();
            total / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = means.len() / 40; // 2.5 % on each side
    [means[tail], means[means.len() - 1 - tail]]
}

/// The mean, or `None` of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0_usize), |(sum, count), x| (sum + x, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// A uniform index below `len`: the high half of a 64 x 64 bit product (Lemire 2019), biased by at most len / 2^64.
fn below(seed: Seed, len: usize) -> usize {
    ((u128::from(seed.value()) * len as u128) >> 64) as usize
}
