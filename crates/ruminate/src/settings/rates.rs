//! Sensible learning rates by model size, by kind of training, and by full weights or adapters. Pure numbers: this
//! module reads no recipe and no model.

/// What the optimizer learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rewards: `[train]` under `train-rl`.
    Reinforcement,
    /// Given texts: `[sft]` and `[pretrain]`.
    Supervised,
}

/// Peak learning rates of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// A rate to start with.
    pub(crate) default: f64,
    /// Below it a run of a few hundred steps changes almost nothing.
    pub(crate) low: f64,
    /// Above it runs are known to be ruined.
    pub(crate) high: f64,
}

/// A point of a table: parameters, default, high.
type Anchor = (f64, f64, f64);

/// Full fine-tuning by rewards.
///
/// - 0.67M: `recipes/default.toml` learns at 6e-4, `recipes/r1-tiny` at up to 1e-3; a dense model of that size collapses
///   at 1e-3 and learns at 5e-4 (`docs/experiments.md`).
/// - 135M: SmolLM2-135M learns sums at 1.5e-5 to 4e-5 (`docs/experiments.md`); the first step above 1e-4 ruins it (2.6e-4
///   on the way to 6e-4).
/// - 0.5B and more: TRL's default and `recipes/gsm8k.toml` are 1e-6, DeepSeek-R1-Zero's rate is 3e-6 (arXiv 2501.12948);
///   5e-5 is known to ruin models of this size.
const REINFORCEMENT: [Anchor; 4] =
    [(1e6, 6e-4, 1e-3), (135e6, 2e-5, 1e-4), (500e6, 3e-6, 3e-5), (7e9, 1e-6, 1e-5)];

/// Full fine-tuning on given texts.
///
/// - 0.14M to 7M: `recipes/default.toml` and `recipes/smollm2-sums-distill.toml` train at 2e-3 and 3e-3 from random weights,
///   `recipes/ci-r1` at 5e-3.
/// - 135M: SmolLM2's own fine-tuning ran at 1e-3 (Hugging Face's alignment-handbook); 3e-3 ruins the model in 30 steps.
/// - 1.7B: 3e-4, from the same source; 7B: 1e-5 to 2e-5 is usual (Llama 2, Tulu 3).
const SUPERVISED: [Anchor; 4] =
    [(1e6, 3e-3, 1e-2), (10e6, 1e-3, 5e-3), (135e6, 5e-5, 1e-3), (7e9, 1e-5, 1e-4)];

/// Adapters of low rank take about ten times the rate of full fine-tuning: `recipes/smollm2-sums-lora.toml` learns at 2e-4
/// and 4e-4 where all weights take 2e-5, and "LoRA Without Regret" (Schulman et al. 2025) finds a factor of ten over
/// models and data.
const ADAPTERS: f64 = 10.0;

/// The default divided by this is the low end of the range.
const LOW: f64 = 30.0;

/// The range for a model with so many parameters, frozen ones included: adapters are rated by the model that they adapt.
pub(crate) fn sensible(kind: Kind, parameters: usize, adapters: bool) -> Rates {
    let anchors = match kind {
        Kind::Reinforcement => &REINFORCEMENT,
        Kind::Supervised => &SUPERVISED,
    };
    let (default, high) = interpolated(anchors, parameters as f64);
    let factor = if adapters { ADAPTERS } else { 1.0 };
    let default = one_digit(default * factor);
    Rates { default, low: default / LOW, high: one_digit(high * factor) }
}

/// Default and high between two anchors, on logarithmic scales; the outermost values beyond them.
fn interpolated(anchors: &[Anchor], parameters: f64) -> (f64, f64) {
    let above = anchors.iter().position(|anchor| parameters <= anchor.0);
    let (below, above) = match above {
        Some(0) => (anchors[0], anchors[0]),
        Some(i) => (anchors[i - 1], anchors[i]),
        None => (anchors[anchors.len() - 1], anchors[anchors.len() - 1]),
    };
    let width = (above.0 / below.0).ln();
    let share = if width > 0.0 { (parameters / below.0).ln() / width } else { 0.0 };
    let between = |a: f64, b: f64| (a.ln() + share * (b / a).ln()).exp();
    (between(below.1, above.1), between(below.2, above.2))
}

/// Rounded to one significant digit, so that a recipe states 2e-5 and not 2.0368e-5.
fn one_digit(rate: f64) -> f64 {
    // Through decimal text: 2 * 10^-5 as a product is another float than 2e-5.
    format!("{rate:.0e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::Kind::{Reinforcement, Supervised};
    use super::sensible;

    #[test]
    fn rates_that_work_are_inside_and_rates_that_ruin_are_above() {
        for (kind, parameters, adapters, rate, ruins) in [
            (Reinforcement, 670_000, false, 6e-4, false), // recipes/default.toml
            (Reinforcement, 670_000, false, 1e-3, false), // recipes/r1-tiny
            (Reinforcement, 670_000, false, 5e-3, true),
            (Reinforcement, 134_515_008, false, 2e-5, false), // recipes/smollm2-sums.toml
            (Reinforcement, 134_515_008, false, 4e-5, false),
            (Reinforcement, 134_515_008, false, 2.6e-4, true),
            (Reinforcement, 134_515_008, false, 6e-4, true),
            (Reinforcement, 134_515_008, true, 2e-4, false),
            (Reinforcement, 134_515_008, true, 4e-4, false), // recipes/smollm2-sums-lora.toml
            (Reinforcement, 494_032_768, false, 1e-6, false), // recipes/gsm8k.toml
            (Reinforcement, 494_032_768, false, 5e-5, true),
            (Reinforcement, 1_543_714_304, true, 1e-5, false), // recipes/lora-24gb.toml
            (Supervised, 670_000, false, 3e-3, false),         // pretraining of recipes/default.toml
            (Supervised, 670_000, false, 5e-3, false),         // recipes/ci-r1
            (Supervised, 7_080_000, false, 2e-3, false),       // recipes/smollm2-sums-distill.toml
            (Supervised, 134_515_008, false, 2e-5, false),
            (Supervised, 134_515_008, false, 3e-3, true),
        ] {
            let rates = sensible(kind, parameters, adapters);
            let case = format!("{kind:?}, {parameters} parameters, adapters {adapters}, {rate}: {rates:?}");
            assert_eq!(rate > rates.high, ruins, "{case}");
            assert!(rate >= rates.low, "{case}");
        }
    }

    #[test]
    fn defaults_lie_within_the_range_and_fall_with_the_size() {
        for kind in [Reinforcement, Supervised] {
            for adapters in [false, true] {
                let mut last = f64::INFINITY;
                for parameters in [1, 30_000, 670_000, 7_000_000, 134_515_008, 500_000_000, usize::MAX] {
                    let rates = sensible(kind, parameters, adapters);
                    assert!(rates.low < rates.default && rates.default < rates.high, "{rates:?}");
                    assert!(rates.default <= last, "{kind:?} {parameters}");
                    last = rates.default;
                }
            }
        }
        assert_eq!(sensible(Reinforcement, 134_515_008, false).default, 2e-5);
        assert_eq!(sensible(Supervised, 134_515_008, false).default, 5e-5);
        assert_eq!(sensible(Supervised, 134_515_008, true).default, 5e-4);
    }
}
