//! From one row of logits to one token, on the host.

use ruminate_data::Seed;
use serde::{Deserialize, Serialize};

/// How tokens are drawn. Names and meaning are those of transformers' generation parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// Nucleus: the most probable tokens whose probabilities reach this sum. 1 keeps all.
    pub top_p: f64,
    /// The most probable tokens. 0 keeps all.
    pub top_k: usize,
    /// Longest completion, in tokens, its ending token included.
    pub max_new_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 512 }
    }
}

/// A sampling parameter out of range.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{key} is {found}; expected {expected}")]
pub struct SamplingError {
    /// The parameter.
    pub key: &'static str,
    /// Its value.
    pub found: f64,
    /// Its range.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let error = |key, found, expected| Err(SamplingError { key, found, expected });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error("temperature", self.temperature, "a number of at least 0 (0 is greedy)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error("top_p", self.top_p, "a number above 0 and at most 1");
        }
        if self.max_new_tokens == 0 {
            return error("max_new_tokens", 0.0, "at least 1");
        }
        Ok(())
    }
}

/// A drawn token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Token id.
    pub token: u32,
    /// `ln p(token)` of softmax(logits / T) before top-k and top-p; T = 1 where greedy.
    pub logprob: f32,
}

/// Draws one token. `position` numbers the draws of a request: the same seed and position give the same
/// uniform, whatever was drawn before.
///
/// A row with NaN or without a finite logit gives token 0 with the log-probability NaN: the caller masks it.
pub(crate) fn sample(logits: &[f32], sampling: &Sampling, seed: Seed, position: u64) -> Choice {
    let greedy = sampling.temperature == 0.0;
    let inverse_temperature = if greedy { 1.0 } else { 1.0 / sampling.temperature };
    let (best, &largest) = logits
        .iter()
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .expect("a vocabulary has tokens");
    if !largest.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return Choice { token: 0, logprob: f32::NAN };
    }
    let exponent = |logit: f32| f64::from(logit - largest) * inverse_temperature;
    let total: f64 = logits.iter().map(|&logit| exponent(logit).exp()).sum();
    let choice =
        |token: usize| Choice { token: token as u32, logprob: (exponent(logits[token]) - total.ln()) as f32 };
    if greedy {
        return choice(best);
    }
    let uniform = uniform(seed, position);
    if sampling.top_k == 0 && sampling.top_p >= 1.0 {
        return choice(draw(logits.iter().map(|&logit| exponent(logit).exp()), uniform * total, best));
    }
    let kept = nucleus(logits, sampling, total, exponent);
    let mass: f64 = kept.iter().map(|&token| exponent(logits[token]).exp()).sum();
    let weights = kept.iter().map(|&token| exponent(logits[token]).exp());
    choice(kept[draw(weights, uniform * mass, 0)])
}

/// Index at which the running sum of weights passes `target`; `fallback` where rounding kept it below.
fn draw(weights: impl Iterator<Item = f64>, target: f64, fallback: usize) -> usize {
    let mut sum = 0.0;
    for (index, weight) in weights.enumerate() {
        sum += weight;
        if target < sum {
            return index;
        }
    }
    fallback
}

/// Tokens kept by top-k, then top-p, most probable first; ties go to the lower id.
fn nucleus(logits: &[f32], sampling: &Sampling, total: f64, exponent: impl Fn(f32) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let by_probability = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    let top_k = if sampling.top_k == 0 { order.len() } else { sampling.top_k.min(order.len()) };
    if top_k < order.len() {
        order.select_nth_unstable_by(top_k - 1, by_probability);
        order.truncate(top_k);
    }
    order.sort_unstable_by(by_probability);
    // As transformers does, top-p counts probabilities renormalised over what top-k kept.
    let mass =
        if top_k == logits.len() { total } else { order.iter().map(|&t| exponent(logits[t]).exp()).sum() };
    let mut sum = 0.0;
    let reached = order.iter().position(|&token| {
        sum += exponent(logits[token]).exp() / mass;
        sum >= sampling.top_p
    });
    order.truncate(reached.map_or(order.len(), |last| last + 1));
    order
}

/// A uniform in [0, 1) with 53 random bits.
fn uniform(seed: Seed, position: u64) -> f64 {
    (seed.index(position).value() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::{Sampling, sample};
    use ruminate_data::Seed;

    const LOGITS: [f32; 5] = [0.5, 2.0, -1.0, 1.0, 2.0];

    fn frequencies(sampling: &Sampling, draws: u64) -> Vec<f64> {
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
            let sampling = Sampling { temperature, ..Sampling::default() };
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
        let filtered = Sampling { top_k: 2, temperature: 0.7, ..Sampling::default() };
        for i in 0..50 {
            let choice = sample(&LOGITS, &filtered, Seed::new(i), 0);
            let expected = softmax(0.7)[choice.token as usize].ln() as f32;
            assert!((choice.logprob - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn top_k_and_top_p_keep_only_the_most_probable() {
        let top_k = frequencies(&Sampling { top_k: 2, ..Sampling::default() }, 2_000);
        assert!(top_k[1] > 0.4 && top_k[4] > 0.4 && top_k[0] + top_k[2] + top_k[3] == 0.0, "{top_k:?}");
        let top_p = frequencies(&Sampling { top_p: 0.3, ..Sampling::default() }, 500);
        assert!((top_p[1] - 1.0).abs() < 1e-9, "the tie goes to the lower id: {top_p:?}");
    }

    #[test]
    fn greedy_takes_the_first_maximum_and_reports_it_at_temperature_one() {
        let choice = sample(&LOGITS, &Sampling { temperature: 0.0, ..Sampling::default() }, Seed::new(0), 0);
        assert_eq!(choice.token, 1);
        assert!((f64::from(choice.logprob) - softmax(1.0)[1].ln()).abs() < 1e-6);
    }

    #[test]
    fn a_row_without_finite_logits_is_marked_not_sampled() {
        for row in [[f32::NAN, 1.0], [f32::NEG_INFINITY; 2]] {
            assert!(sample(&row, &Sampling::default(), Seed::new(0), 0).logprob.is_nan());
        }
    }
}
