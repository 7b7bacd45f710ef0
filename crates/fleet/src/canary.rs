//! The canary: one fixed sequence, scored by the server and by the trainer. It finds wrong weights, a stale head, half a
//! reload and another rotary embedding by their one symptom.

/// Tokens of the sequence.
const LENGTH: usize = 64;

/// What a server has to compute after a push.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The sequence.
    pub ids: Vec<u32>,
    /// The trainer's log-probabilities at temperature 1, of all but the first.
    pub logprobs: Vec<f32>,
}

impl Canary {
    /// The sequence for a vocabulary: its last id, which a smaller one lacks, and the beginning of a text that a model of the
    /// language finds likely. What is unlikely has large log-probabilities, and rounding alone moves those far.
    pub fn sequence(text: &[u32], vocab_size: usize) -> Vec<u32> {
        let last = vocab_size.saturating_sub(1) as u32;
        std::iter::once(last).chain(text.iter().copied()).take(LENGTH).collect()
    }
}

/// A server's numbers beside the trainer's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// Mean k3 estimate of KL(server || trainer), in nats per token (Schulman 2020); infinite where a number is missing.
    pub(crate) kl: f64,
    /// Largest difference of a log-probability.
    pub(crate) max: f64,
}

impl Comparison {
    pub(crate) fn of(server: &[f32], trainer: &[f32]) -> Self {
        if server.len() != trainer.len() || server.is_empty() {
            return Self { kl: f64::INFINITY, max: f64::INFINITY };
        }
        let (mut kl, mut max) = (0.0, 0.0_f64);
        for (server, trainer) in server.iter().zip(trainer) {
            let difference = f64::from(*trainer) - f64::from(*server);
            if !difference.is_finite() {
                return Self { kl: f64::INFINITY, max: f64::INFINITY };
            }
            kl += difference.exp() - difference - 1.0;
            max = max.max(difference.abs());
        }
        Self { kl: kl / server.len() as f64, max }
    }

    pub(crate) fn is_within(&self, limit: f64) -> bool {
        self.kl <= limit
    }

    pub(crate) fn refusal(&self, limit: f64) -> String {
        format!(
            "canary: k3 {:.3e} per token, largest difference {:.3e}; expected at most {limit:e} (`fleet.max_canary_kl`)",
            self.kl, self.max
        )
    }
}

/// Whether log-probabilities of tokens that were sampled at temperature 0.5 are not those at temperature 1.
///
/// Both are equal for a token that is certain: the samples decide where some token was not.
pub(crate) fn score_of_samples(sampled: &[f32], raw: &[f32]) -> bool {
    let pairs = || sampled.iter().zip(raw).filter(|(_, raw)| **raw < -0.05);
    let same = |(sampled, raw): (&f32, &f32)| (sampled - raw).abs() <= 0.01 * raw.abs();
    pairs().count() == 0 || !pairs().all(same)
}

#[cfg(test)]
mod tests {
    use super::{Canary, Comparison, score_of_samples};

    #[test]
    fn the_sequence_begins_with_the_last_id_and_is_short() {
        assert_eq!(Canary::sequence(&[5, 6], 1000), [999, 5, 6]);
        assert_eq!(Canary::sequence(&[5; 100], 1000).len(), 64);
    }

    #[test]
    fn a_comparison_is_k3_and_infinite_where_a_number_is_missing() {
        let same = Comparison::of(&[-1.0, -2.0], &[-1.0, -2.0]);
        assert_eq!((same.kl, same.max), (0.0, 0.0));
        let apart = Comparison::of(&[-1.0, -2.0], &[-1.5, -2.0]);
        assert!((apart.kl - ((-0.5_f64).exp() + 0.5 - 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(apart.max, 0.5);
        assert!(apart.is_within(0.1) && !apart.is_within(0.01));
        for (server, trainer) in [(&[f32::NAN][..], &[-1.0][..]), (&[-1.0], &[-1.0, -2.0]), (&[], &[])] {
            assert!(!Comparison::of(server, trainer).is_within(1e300));
        }
    }

    #[test]
    fn the_mode_is_seen_by_the_numbers() {
        assert!(!score_of_samples(&[-1.0, -2.0, -0.001], &[-1.0, -2.0, -0.001]));
        assert!(score_of_samples(&[-0.4, -1.2, -0.001], &[-1.0, -2.0, -0.01]));
        assert!(score_of_samples(&[-0.001], &[-0.001]), "a certain token proves nothing");
    }
}
