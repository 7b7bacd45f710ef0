//! The softmax of one row of logits on the host, as a sampler needs it: weights, their sum, and the token at which the
//! running sum passes a number, without walking all of them.

// V vocabulary

use crate::backend::cpu::{exp, lanewise, largest, total, vectorized};

/// Weights in a block: their sum is taken in f32, the sums of blocks are added in f64.
const BLOCK: usize = 1024;

/// `w[v] = e^((logit[v] - largest) / T)`, unnormalised. A value is meant to be filled again and again.
#[derive(Clone, Debug, Default)]
pub struct SoftmaxRow {
    weights: Vec<f32>,
    /// The sum up to the end of each block.
    running: Vec<f64>,
    largest: f32,
    inverse_temperature: f32,
}

impl SoftmaxRow {
    /// Takes another row. False where a logit is NaN or none is finite: then there is no distribution.
    #[must_use]
    pub fn fill(&mut self, logits: &[f32], inverse_temperature: f32) -> bool {
        self.inverse_temperature = inverse_temperature;
        self.largest = vectorized!(|logits: &[f32]| -> f32 { largest(logits) });
        if !self.largest.is_finite() {
            return false;
        }
        self.weights.resize(logits.len(), 0.0);
        self.running.clear();
        let largest = self.largest;
        let mut sum = 0.0;
        for (weights, logits) in self.weights.chunks_mut(BLOCK).zip(logits.chunks(BLOCK)) {
            let block = vectorized!(|weights: &mut [f32],
                                     logits: &[f32],
                                     largest: f32,
                                     inverse_temperature: f32|
             -> f32 {
                for (weight, logit) in weights.iter_mut().zip(logits) {
                    *weight = exp((logit - largest) * inverse_temperature);
                }
                total(lanewise(weights.len(), |v| weights[v]))
            });
            sum += f64::from(block);
            self.running.push(sum);
        }
        !sum.is_nan()
    }

    /// The weights, V of them; the largest is 1.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The largest logit.
    pub fn largest(&self) -> f32 {
        self.largest
    }

    /// Their sum.
    pub fn total(&self) -> f64 {
        self.running.last().copied().unwrap_or(0.0)
    }

    /// `ln softmax` of a token with this logit, in nats.
    pub fn logprob(&self, logit: f32) -> f32 {
        (f64::from(logit - self.largest) * f64::from(self.inverse_temperature) - self.total().ln()) as f32
    }

    /// The first token at which the sum of weights passes `target`; None where rounding kept the sum below it.
    pub fn passes(&self, target: f64) -> Option<usize> {
        let block = self.running.partition_point(|&sum| sum <= target);
        let start = block * BLOCK;
        let mut sum = if block == 0 { 0.0 } else { self.running[block - 1] };
        let weights = self.weights.get(start..)?;
        weights
            .iter()
            .position(|&weight| {
                sum += f64::from(weight);
                target < sum
            })
            .map(|place| start + place)
    }
}

#[cfg(test)]
mod tests {
    use super::SoftmaxRow;
    use crate::test_inputs;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn weights_logprobs_and_the_running_sum_are_those_of_the_softmax(
            length in 1_usize..5000,
            inverse_temperature in prop::sample::select(vec![0.5_f32, 1.0, 2.0]),
            part in 0.0_f64..1.0,
            seed in 0_u32..1000,
        ) {
            let logits: Vec<f32> = test_inputs::values(length, seed).iter().map(|x| x * 9.0).collect();
            let mut row = SoftmaxRow::default();
            prop_assert!(row.fill(&[7.0; 3000], 1.0), "what was there before does not count");
            prop_assert!(row.fill(&logits, inverse_temperature));
            let scaled: Vec<f64> = logits.iter().map(|&x| f64::from(x) * f64::from(inverse_temperature)).collect();
            let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scaled.iter().map(|x| (x - top).exp()).collect();
            let sum: f64 = weights.iter().sum();
            prop_assert!((row.total() / sum - 1.0).abs() < 1e-6);
            for (v, &logit) in logits.iter().enumerate() {
                prop_assert!((f64::from(row.weights()[v]) - weights[v]).abs() < 1e-5);
                prop_assert!((f64::from(row.logprob(logit)) - (scaled[v] - top - sum.ln())).abs() < 1e-5);
            }
            let target = part * row.total();
            let token = row.passes(target);
            let before: f64 = weights[..token.unwrap_or(length)].iter().sum();
            prop_assert!(before <= target * (1.0 + 1e-5));
            prop_assert!(token.is_none_or(|token| before + weights[token] >= target * (1.0 - 1e-5)));
            prop_assert!(token.is_some() || part > 0.999);
        }
    }

    #[test]
    fn an_impossible_token_is_never_passed_at() {
        let mut row = SoftmaxRow::default();
        assert!(row.fill(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY], 1.0));
        assert_eq!((row.passes(0.0), row.weights()), (Some(1), [0.0, 1.0, 0.0].as_slice()));
    }

    #[test]
    fn a_row_without_a_distribution_is_refused() {
        let mut row = SoftmaxRow::default();
        let cases: [&[f32]; 4] = [&[0.0, f32::NAN], &[f32::NEG_INFINITY; 2], &[f32::INFINITY, 0.0], &[]];
        for logits in cases {
            assert!(!row.fill(logits, 1.0), "{logits:?}");
        }
    }
}
