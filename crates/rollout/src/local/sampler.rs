//! From one row of logits to one token, on the host.

use ruminate_data::{SamplingParams, Seed};
use ruminate_kernels::SoftmaxRow;

/// A drawn token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SampledToken {
    /// Token id.
    pub(super) token: u32,
    /// `ln p(token)` of softmax(logits / T) before top-k, top-p and min-p; T = 1 where greedy.
    pub(super) logprob: f32,
    /// The probability that these kept; 1 where nothing was cut.
    pub(super) kept_mass: f32,
    /// The tokens that they kept; empty where nothing was cut.
    pub(super) kept: Vec<u32>,
    /// Whether it was put there, and not drawn.
    pub(super) is_forced: bool,
}

impl SampledToken {
    /// A token that was not drawn.
    pub(super) fn forced(token: u32) -> Self {
        Self { token, logprob: 0.0, kept_mass: 1.0, kept: vec![token], is_forced: true }
    }
}

/// What drawing needs space for.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) row: SoftmaxRow,
    /// Logits after penalties.
    pub(super) logits: Vec<f32>,
}

/// Draws one token. `position` numbers the draws of a request: the same seed and position give the same
/// uniform, whatever was drawn before. `row` is scratch space.
///
/// None where a logit is NaN or none is finite: then there is no distribution to draw from.
pub(super) fn sample(
    logits: &[f32],
    sampling: &SamplingParams,
    seed: Seed,
    position: u64,
    row: &mut SoftmaxRow,
) -> Option<SampledToken> {
    if !row.fill(logits, inverse_temperature(sampling)) {
        return None;
    }
    let choice = |token: usize, kept_mass: f32, kept: Vec<u32>| {
        let logprob = row.logprob(logits[token]);
        Some(SampledToken { token: token as u32, logprob, kept_mass, kept, is_forced: false })
    };
    let best = || greedy(logits, row);
    if sampling.temperature == 0.0 {
        return choice(best(), 1.0, Vec::new());
    }
    let uniform = uniform(seed, position);
    if !sampling.cuts() {
        return choice(row.passes(uniform * row.total()).unwrap_or_else(best), 1.0, Vec::new());
    }
    let kept = nucleus(row, sampling);
    let weight = |token: usize| f64::from(row.weights()[token]);
    let kept_weight: f64 = kept.iter().map(|&token| weight(token)).sum();
    let target = uniform * kept_weight;
    let mut sum = 0.0;
    let passed = kept.iter().copied().find(|&token| {
        sum += weight(token);
        target < sum
    });
    let token = passed.unwrap_or(kept[0]);
    choice(token, (kept_weight / row.total()) as f32, kept.into_iter().map(|id| id as u32).collect())
}

/// What logits are multiplied with: 1 where sampling is greedy.
pub(super) fn inverse_temperature(sampling: &SamplingParams) -> f32 {
    if sampling.temperature == 0.0 { 1.0 } else { (1.0 / sampling.temperature) as f32 }
}

/// The first of the most probable tokens of a row that was filled with these logits.
pub(super) fn greedy(logits: &[f32], row: &SoftmaxRow) -> usize {
    logits.iter().position(|&logit| logit == row.largest()).unwrap_or(0)
}

/// Tokens kept by top-k, then top-p, then min-p, most probable first; ties go to the lower id. Only tokens that could be
/// among them are sorted.
pub(super) fn nucleus(row: &SoftmaxRow, sampling: &SamplingParams) -> Vec<usize> {
    let weights = row.weights();
    let by_probability = |&a: &usize, &b: &usize| weights[b].total_cmp(&weights[a]).then(a.cmp(&b));
    let mut order: Vec<usize>;
    let mass: f64;
    if sampling.top_k == 0 || sampling.top_k >= weights.len() {
        // All tokens below this weight together miss 1 - p of the mass, so the others hold at least p of it.
        mass = row.total();
        // The largest weight is 1, so min-p is a weight itself.
        let floor = ((1.0 - sampling.top_p) * mass / weights.len() as f64).max(sampling.min_p);
        order = (0..weights.len()).filter(|&token| f64::from(weights[token]) >= floor).collect();
    } else {
        order = (0..weights.len()).collect();
        order.select_nth_unstable_by(sampling.top_k - 1, by_probability);
        order.truncate(sampling.top_k);
        // As transformers does, top-p counts probabilities renormalised over what top-k kept.
        mass = order.iter().map(|&token| f64::from(weights[token])).sum();
    }
    order.sort_unstable_by(by_probability);
    let mut sum = 0.0;
    let reached = order.iter().position(|&token| {
        sum += f64::from(weights[token]);
        sum >= sampling.top_p * mass
    });
    order.truncate(reached.map_or(order.len(), |last| last + 1));
    order.truncate(order.partition_point(|&token| f64::from(weights[token]) >= sampling.min_p));
    order
}

/// A uniform in [0, 1) with 53 random bits.
pub(super) fn uniform(seed: Seed, position: u64) -> f64 {
    (seed.index(position).value() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::{SampledToken, nucleus};
    use ruminate_data::{SamplingParams, Seed};
    use ruminate_kernels::SoftmaxRow;

    const LOGITS: [f32; 5] = [0.5, 2.0, -1.0, 1.0, 2.0];

    fn sample(logits: &[f32], sampling: &SamplingParams, seed: Seed, position: u64) -> SampledToken {
        super::sample(logits, sampling, seed, position, &mut SoftmaxRow::default()).expect("a distribution")
    }

    fn frequencies(sampling: &SamplingParams, draws: u64) -> Vec<f64> {
        let mut counts = vec![0.0; LOGITS.len()];
        for i in 0..draws {
            counts[sample(&LOGITS, sampling, Seed::new(i), 3).token as usize] += 1.0 / draws as f64;
        }
        counts
    }

    fn softmax(temperature: f64) -> Vec<f64> {
        let weights: Vec<f64> = LOGITS.iter().map(|&logit| (f64::from(logit) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }

    #[test]
    fn frequencies_approach_the_softmax_at_every_temperature() {
        for temperature in [0.5, 1.0, 2.0] {
            let sampling = SamplingParams { temperature, ..SamplingParams::default() };
            for (found, expected) in frequencies(&sampling, 40_000).iter().zip(softmax(temperature)) {
                assert!(
                    (found - expected).abs() < 0.01,
                    "{found} instead of {expected} at T = {temperature}"
                );
            }
        }
    }

    #[test]
    fn logprobs_are_of_the_unfiltered_distribution() {
        let filtered = SamplingParams { top_k: 2, temperature: 0.7, ..SamplingParams::default() };
        for i in 0..50 {
            let choice = sample(&LOGITS, &filtered, Seed::new(i), 0);
            let expected = softmax(0.7)[choice.token as usize].ln() as f32;
            assert!((choice.logprob - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn top_k_and_top_p_keep_only_the_most_probable() {
        let top_k = frequencies(&SamplingParams { top_k: 2, ..SamplingParams::default() }, 2_000);
        assert!(top_k[1] > 0.4 && top_k[4] > 0.4 && top_k[0] + top_k[2] + top_k[3] == 0.0, "{top_k:?}");
        let top_p = frequencies(&SamplingParams { top_p: 0.3, ..SamplingParams::default() }, 500);
        assert!((top_p[1] - 1.0).abs() < 1e-9, "the tie goes to the lower id: {top_p:?}");
    }

    #[test]
    fn the_nucleus_is_that_of_a_sort_of_the_whole_vocabulary() {
        for (seed, top_p) in (0..40).zip([0.05, 0.3, 0.9, 0.999].into_iter().cycle()) {
            let logits: Vec<f32> =
                (0..400).map(|i| (Seed::new(seed).index(i).value() >> 40) as f32 / 2_f32.powi(21)).collect();
            let mut row = SoftmaxRow::default();
            assert!(row.fill(&logits, 1.0));
            let mut sorted: Vec<usize> = (0..logits.len()).collect();
            sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            let mut sum = 0.0;
            let beyond = sorted.iter().position(|&token| {
                sum += f64::from(row.weights()[token]) / row.total();
                sum >= top_p
            });
            sorted.truncate(beyond.map_or(sorted.len(), |last| last + 1));
            assert_eq!(
                nucleus(&row, &SamplingParams { top_p, ..SamplingParams::default() }),
                sorted,
                "p = {top_p}"
            );
        }
    }

    #[test]
    fn greedy_takes_the_first_maximum_and_reports_it_at_temperature_one() {
        let choice = sample(
            &LOGITS,
            &SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            Seed::new(0),
            0,
        );
        assert_eq!(choice.token, 1);
        assert!((f64::from(choice.logprob) - softmax(1.0)[1].ln()).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_drawn_from_a_row_with_nan_or_without_a_finite_logit() {
        let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        for row in [[f32::NAN, 1.0], [1.0, f32::NAN], [f32::NEG_INFINITY; 2], [f32::INFINITY, 1.0]] {
            for sampling in [SamplingParams::default(), greedy] {
                let drawn = super::sample(&row, &sampling, Seed::new(0), 0, &mut SoftmaxRow::default());
                assert_eq!(drawn, None, "{row:?}");
            }
        }
        // One token that can be drawn is enough.
        assert_eq!(sample(&[f32::NEG_INFINITY, 1.0], &SamplingParams::default(), Seed::new(0), 0).token, 1);
    }
}
