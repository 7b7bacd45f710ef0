//! Speculative decoding: a draft of the next token is drawn from a cheap distribution q, and taken or replaced such that
//! what comes out has the target's distribution p, whatever q is (Leviathan et al., arXiv 2211.17192, algorithm 1; Chen et
//! al., arXiv 2302.01318). Here is the rule for one token; who makes drafts is `speculation.rs`.

use super::sampler::{SampledToken, greedy, inverse_temperature, nucleus, sample, uniform};
use ruminate_data::{SamplingParams, Seed};
use ruminate_kernels::SoftmaxRow;

/// The distribution that tokens are drawn from, after temperature, top-k, top-p and min-p.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    /// Unnormalised; 0 for what is not kept.
    weights: Vec<f32>,
    total: f64,
}

impl Distribution {
    fn of(row: &SoftmaxRow, sampling: &SamplingParams) -> Self {
        let weights = if sampling.cuts() {
            let mut weights = vec![0.0; row.weights().len()];
            for token in nucleus(row, sampling) {
                weights[token] = row.weights()[token];
            }
            weights
        } else {
            row.weights().to_vec()
        };
        // Not the row's sum, which is rounded block by block: probabilities have to add up to 1.
        let total = weights.iter().map(|&weight| f64::from(weight)).sum();
        Self { weights, total }
    }

    fn probability(&self, token: usize) -> f64 {
        f64::from(self.weights[token]) / self.total
    }

    /// The tokens that have a probability.
    fn kept(&self) -> Vec<u32> {
        let kept = self.weights.iter().zip(0..).filter(|&(&weight, _)| weight > 0.0);
        kept.map(|(_, id)| id).collect()
    }

    fn draw(&self, uniform: f64) -> usize {
        first_beyond(self.weights.iter().map(|&weight| f64::from(weight)), uniform * self.total)
    }
}

/// A guess of a token.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) token: u32,
    /// What it was drawn from; absent where sampling is greedy.
    from: Option<Distribution>,
}

/// Draws the draft of the token at `position` among a request's draws. None where there is no distribution.
pub(super) fn draft(
    logits: &[f32],
    sampling: &SamplingParams,
    seed: Seed,
    position: u64,
    row: &mut SoftmaxRow,
) -> Option<Draft> {
    if !row.fill(logits, inverse_temperature(sampling)) {
        return None;
    }
    if sampling.temperature == 0.0 {
        return Some(Draft { token: greedy(logits, row) as u32, from: None });
    }
    let from = Distribution::of(row, sampling);
    let token = from.draw(uniform(seed.child("draft"), position)) as u32;
    Some(Draft { token, from: Some(from) })
}

/// The token at `position`, distributed as [`sample`] would draw it, and whether it is the draft; None where the target is
/// no distribution. The draws are of randomness of their own, so they depend neither on each other nor on the draft's.
pub(super) fn verify(
    draft: Option<&Draft>,
    logits: &[f32],
    sampling: &SamplingParams,
    seed: Seed,
    position: u64,
    row: &mut SoftmaxRow,
) -> Option<(SampledToken, bool)> {
    let Some(Draft { token, from: Some(drafted) }) = draft else {
        let choice = sample(logits, sampling, seed, position, row)?;
        let right = draft.is_some_and(|draft| draft.token == choice.token);
        return Some((choice, right));
    };
    if !row.fill(logits, inverse_temperature(sampling)) {
        return None;
    }
    let target = Distribution::of(row, sampling);
    let token = *token as usize;
    let accepted = uniform(seed.child("accept"), position) < acceptance(&target, drafted, token);
    let token = if accepted {
        token
    } else {
        let rest = residual(&target, drafted);
        let total: f64 = rest.clone().sum();
        // Where nothing is left, rounding alone has refused: both are the same distribution.
        if total > 0.0 {
            first_beyond(rest, uniform(seed.child("residual"), position) * total)
        } else {
            target.draw(uniform(seed.child("residual"), position))
        }
    };
    let kept_mass = (target.total / row.total()).min(1.0) as f32;
    let kept = if sampling.cuts() { target.kept() } else { Vec::new() };
    let logprob = row.logprob(logits[token]);
    let drawn = SampledToken { token: token as u32, logprob, kept_mass, kept, is_forced: false };
    Some((drawn, accepted))
}

/// `min(1, p(x) / q(x))`
fn acceptance(target: &Distribution, drafted: &Distribution, token: usize) -> f64 {
    (target.probability(token) / drafted.probability(token)).min(1.0)
}

/// `max(0, p(x) - q(x))` of every x, which is to be normalised: what a refused draft is replaced from.
fn residual<'a>(
    target: &'a Distribution,
    drafted: &'a Distribution,
) -> impl Iterator<Item = f64> + Clone + 'a {
    (0..target.weights.len()).map(|token| (target.probability(token) - drafted.probability(token)).max(0.0))
}

/// The first index at which the sum of `weights` passes `target`; the last one with a weight where rounding kept the sum
/// below it.
fn first_beyond(weights: impl Iterator<Item = f64>, target: f64) -> usize {
    let (mut sum, mut last) = (0.0, 0);
    for (index, weight) in weights.enumerate().filter(|&(_, weight)| weight > 0.0) {
        sum += weight;
        last = index;
        if target < sum {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distribution(logits: &[f32], sampling: &SamplingParams) -> Distribution {
        let mut row = SoftmaxRow::default();
        assert!(row.fill(logits, inverse_temperature(sampling)));
        Distribution::of(&row, sampling)
    }

    fn sampling() -> impl Strategy<Value = SamplingParams> {
        let top_p = prop_oneof![Just(1.0), 0.1_f64..1.0];
        let min_p = prop_oneof![Just(0.0), 0.01_f64..0.6];
        (0.2_f64..3.0, top_p, 0_usize..6, min_p).prop_map(|(temperature, top_p, top_k, min_p)| {
            SamplingParams { temperature, top_p, top_k, min_p, ..SamplingParams::default() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        /// p(x) = q(x) min(1, p(x) / q(x)) + P(refused) max(0, p(x) - q(x)) / sum, term by term.
        #[test]
        fn drafts_taken_and_replaced_add_up_to_the_target(
            target in prop::collection::vec(-6.0_f32..6.0, 2..9),
            drafted in prop::collection::vec(-6.0_f32..6.0, 9),
            sampling in sampling(),
        ) {
            let drafted = distribution(&drafted[..target.len()], &sampling);
            let target = distribution(&target, &sampling);
            let tokens = 0..target.weights.len();
            let taken: Vec<f64> = tokens
                .clone()
                .map(|x| match drafted.probability(x) {
                    q if q > 0.0 => q * acceptance(&target, &drafted, x),
                    _ => 0.0, // never drafted
                })
                .collect();
            let refused = 1.0 - taken.iter().sum::<f64>();
            let rest: Vec<f64> = residual(&target, &drafted).collect();
            let total: f64 = rest.iter().sum();
            prop_assert!((refused - total).abs() < 1e-12, "what is refused is what is left: {refused}, {total}");
            for x in tokens {
                let replaced = if total > 0.0 { refused * rest[x] / total } else { 0.0 };
                prop_assert!((taken[x] + replaced - target.probability(x)).abs() < 1e-9);
            }
        }
    }

    /// Hoeffding: a frequency of n draws is off by t or more with a probability of at most 2 exp(-2 n t^2). With n =
    /// 200,000 and t = 0.007 that is 6e-9 for one token; the seeds are fixed besides.
    #[test]
    fn verified_drafts_have_the_frequencies_of_the_target() {
        let (target, guess) = ([0.5, 2.0, -1.0, 1.0, 2.0], [1.5, -1.0, 0.0, 1.5, 1.0]);
        for sampling in [
            SamplingParams::default(),
            SamplingParams { temperature: 0.7, top_p: 0.8, ..SamplingParams::default() },
            SamplingParams { temperature: 1.4, top_k: 3, ..SamplingParams::default() },
        ] {
            let expected = distribution(&target, &sampling);
            let (n, mut row) = (200_000, SoftmaxRow::default());
            let (mut counts, mut taken) = ([0.0; 5], 0.0);
            for i in 0..n {
                let seed = Seed::new(i);
                let draft = draft(&guess, &sampling, seed, 7, &mut row);
                let (choice, accepted) =
                    verify(draft.as_ref(), &target, &sampling, seed, 7, &mut row).expect("a distribution");
                counts[choice.token as usize] += 1.0 / n as f64;
                taken += f64::from(u8::from(accepted)) / n as f64;
            }
            for (x, found) in counts.iter().enumerate() {
                assert!((found - expected.probability(x)).abs() < 0.007, "{x}: {found} under {sampling:?}");
            }
            // Drafts are taken as often as both distributions overlap: sum of min(p, q).
            let drafted = distribution(&guess, &sampling);
            let overlap: f64 = (0..5).map(|x| expected.probability(x).min(drafted.probability(x))).sum();
            assert!((taken - overlap).abs() < 0.007, "{taken} instead of {overlap}");
        }
    }

    #[test]
    fn the_logprob_is_the_targets_before_filters() {
        let (target, guess) = ([0.5_f32, 2.0, -1.0, 1.0, 2.0], [1.5, -1.0, 0.0, 1.5, 1.0]);
        let sampling = SamplingParams { temperature: 0.7, top_k: 2, ..SamplingParams::default() };
        let whole = distribution(&target, &SamplingParams { top_k: 0, ..sampling });
        let mut row = SoftmaxRow::default();
        for i in 0..50 {
            let draft = draft(&guess, &sampling, Seed::new(i), 0, &mut row);
            let verified = verify(draft.as_ref(), &target, &sampling, Seed::new(i), 0, &mut row);
            let (choice, _) = verified.expect("a distribution");
            let expected = whole.probability(choice.token as usize).ln() as f32;
            assert!((choice.logprob - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn greedily_the_targets_best_is_taken_and_nothing_is_drawn_from_a_row_without_numbers() {
        let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let mut row = SoftmaxRow::default();
        let seed = Seed::new(0);
        for (guess, hit) in [([0.0, 3.0, 1.0], true), ([5.0, 3.0, 1.0], false)] {
            let draft = draft(&guess, &sampling, seed, 0, &mut row);
            let verified = verify(draft.as_ref(), &[0.0, 2.0, 1.0], &sampling, seed, 0, &mut row);
            let (choice, accepted) = verified.expect("a distribution");
            assert_eq!((choice.token, accepted), (1, hit));
        }
        assert!(draft(&[f32::NAN; 3], &sampling, seed, 0, &mut row).is_none());
        for sampling in [sampling, SamplingParams::default()] {
            let guess = draft(&[0.0, 3.0, 1.0], &sampling, seed, 0, &mut row);
            assert_eq!(verify(guess.as_ref(), &[f32::NAN; 3], &sampling, seed, 0, &mut row), None);
        }
    }
}
