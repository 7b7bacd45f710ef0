//! What a device does with products of a model's shape, measured: what a run is forecast by before its first step.

use super::Workload;
use burn::tensor::{Device, Distribution, Tensor};
use ruminate_model::Config;
use ruminate_model::read::{self, Place};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time that a measurement takes.
const TIME: Duration = Duration::from_millis(80);

/// Rows of a product in a training pass.
const PASS: usize = 512;

/// How much longer sampling takes than its products: attention over caches, norms, drawing.
const SAMPLING: f64 = 2.5;

/// How much longer learning takes than its products.
const LEARNING: f64 = 2.5;

/// Floating-point operations a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    sampling: f64,
    learning: f64,
}

/// Tokens of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tokens {
    /// Tokens of one completion with its prompt.
    pub(crate) a_completion: usize,
    /// Tokens that the base is pretrained on.
    pub(crate) pretraining: usize,
    /// Passes over what a step sampled.
    pub(crate) iterations: usize,
}

impl Rates {
    /// Measures them, for so many sequences decoded at once.
    pub(crate) fn measure(device: &Device, config: &Config, sequences: usize) -> Self {
        let of = |rows| {
            product(device, [rows, config.hidden_size, config.intermediate_size.max(config.hidden_size)])
        };
        Self { sampling: of(sequences.clamp(1, PASS)), learning: of(PASS) }
    }

    /// Seconds of a run of a model with so many active parameters: two operations a parameter and token forward, four
    /// backward.
    pub(crate) fn seconds(self, run: Workload, tokens: Tokens, active: usize) -> f64 {
        let Tokens { a_completion, pretraining, iterations } = tokens;
        let trained = run.steps * run.completions;
        let sampled = (trained + run.evaluated) * a_completion;
        let learned = trained * a_completion * iterations + pretraining;
        let operations = |passes: f64, tokens: usize| passes * tokens as f64 * active as f64;
        SAMPLING * operations(2.0, sampled) / self.sampling
            + LEARNING * operations(6.0, learned) / self.learning
    }
}

/// Operations a second of a product of `[rows, inner]` and `[inner, columns]`.
fn product(device: &Device, [rows, inner, columns]: [usize; 3]) -> f64 {
    let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), device);
    let (a, b) = (random([rows, inner]), random([inner, columns]));
    let once = || {
        let product = a.clone().matmul(b.clone());
        // A number on the host: the device has computed.
        black_box(read::scalar(product.slice([0..1, 0..1]), Place::Statistics));
    };
    once(); // not counted: what is made once is made here
    let (started, mut count) = (Instant::now(), 0_u32);
    while count == 0 || started.elapsed() < TIME {
        once();
        count += 1;
    }
    2.0 * f64::from(count) * (rows * inner * columns) as f64 / started.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::{LEARNING, Rates, SAMPLING, Tokens};
    use crate::forecast::Workload;

    #[test]
    fn sampling_and_learning_take_what_their_products_take() {
        let rates = Rates { sampling: 1e9, learning: 4e9 };
        let run = Workload { steps: 10, completions: 32, evaluated: 80 };
        let tokens = Tokens { a_completion: 100, pretraining: 1000, iterations: 2 };
        let sampling = SAMPLING * 2.0 * 400.0 * 100.0 * 1e6 / 1e9;
        let learning = LEARNING * 6.0 * (2.0 * 320.0 * 100.0 + 1000.0) * 1e6 / 4e9;
        assert!((rates.seconds(run, tokens, 1_000_000) - sampling - learning).abs() < 1e-6);
    }
}
