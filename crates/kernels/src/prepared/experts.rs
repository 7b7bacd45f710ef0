//! The experts of a layer with prepared weights.

// N tokens, K chosen experts per token, E experts, D hidden, F expert width

use super::{Precision, rounded};
use crate::backend::{self, Form, PackedExperts, form};
use crate::experts::{ExpertWeights, Permutation, experts};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The weights of all experts of a layer, prepared. Clones share them.
///
/// In f32 they stay as they are: the few tokens of an expert leave nothing for packing to save.
#[derive(Clone, Debug)]
pub struct PreparedExperts(Prepared);

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, one a layer")]
enum Prepared {
    Plain(ExpertWeights),
    Packed(Arc<dyn PackedExperts>),
}

impl PreparedExperts {
    /// Prepares the weights of a layer.
    pub fn new(weights: ExpertWeights, precision: Precision) -> Self {
        let ExpertWeights { gate_up, down } = weights;
        let (gate_up, down) = (gate_up.inner(), down.inner());
        if precision == Precision::F32 {
            return Self(Prepared::Plain(ExpertWeights { gate_up, down }));
        }
        let [count, both, width] = gate_up.dims();
        let [_, _, inner] = down.dims();
        if form(&gate_up) == Form::Reference {
            let gate_up = rounded(gate_up.reshape([count * both, width]), precision);
            let down = rounded(down.reshape([count * width, inner]), precision);
            return Self(Prepared::Plain(ExpertWeights {
                gate_up: gate_up.reshape([count, both, width]),
                down: down.reshape([count, width, inner]),
            }));
        }
        Self(Prepared::Packed(backend::pack_experts(ExpertWeights { gate_up, down }, precision)))
    }

    /// As [`experts`](crate::experts).
    ///
    /// # Shapes
    /// - `x`: `[N, D]`, `route_weights`: `[N, K]`, result: `[N, D]`
    pub fn forward(&self, x: Tensor<2>, permutation: Permutation, route_weights: Tensor<2>) -> Tensor<2> {
        match &self.0 {
            Prepared::Plain(weights) => experts(x, weights.clone(), permutation, route_weights),
            Prepared::Packed(experts) => experts.forward(x, &permutation, route_weights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpertWeights, Permutation, Precision, PreparedExperts};
    use crate::backend::cpu::round;
    use crate::test_inputs;
    use burn::tensor::{Tensor, TensorData};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    fn held(rows: &[f32], width: usize, precision: Precision) -> Vec<f32> {
        let mut rows = rows.to_vec();
        if precision != Precision::F32 {
            rows.chunks_exact_mut(width).for_each(|row| round(row, precision));
        }
        rows
    }

    fn times(rows: &[f32], x: &[f32]) -> Vec<f64> {
        let dot = |row: &[f32]| row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        rows.chunks_exact(x.len()).map(dot).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn prepared_experts_compute_with_the_numbers_that_the_precision_holds(
            tokens in 1_usize..40,
            [count, per_token] in prop::array::uniform2(1_usize..5),
            [width, inner] in prop::array::uniform2(1_usize..70),
            draws in prop::collection::vec(any::<u16>(), 40 * 4),
            seed in 0_u32..1000,
        ) {
            let chosen: Vec<u16> =
                draws[..tokens * per_token].iter().map(|draw| draw % count as u16).collect();
            let permutation = Permutation::new(&chosen, per_token, count);
            let x = test_inputs::values(tokens * width, seed);
            let route = test_inputs::values(tokens * per_token, seed + 3);
            let gate_up = test_inputs::values(count * 2 * inner * width, seed + 1);
            let down = test_inputs::values(count * width * inner, seed + 2);
            let device = testkit::device();
            let tensor = |values: &[f32], shape| {
                Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &device)
            };
            // One rounding of an activation may fall to the other side.
            for (precision, tolerance) in
                [(Precision::F32, 1e-5), (Precision::Bf16, 1e-2), (Precision::Int8, 2e-2)]
            {
                let weights = ExpertWeights {
                    gate_up: tensor(&gate_up, [count, 2 * inner, width]),
                    down: tensor(&down, [count, width, inner]),
                };
                let prepared = PreparedExperts::new(weights, precision);
                let actual = prepared.forward(
                    tensor(&x, [1, tokens, width]).reshape([tokens, width]),
                    permutation.clone(),
                    tensor(&route, [1, tokens, per_token]).reshape([tokens, per_token]),
                );

                let (x, gate_up) = (held(&x, width, precision), held(&gate_up, width, precision));
                let down = held(&down, inner, precision);
                let mut expected = vec![0.0; tokens * width];
                let slots = chosen.chunks(per_token).zip(route.chunks(per_token));
                for ((x, out), (chosen, route)) in
                    x.chunks(width).zip(expected.chunks_mut(width)).zip(slots)
                {
                    for (&expert, &route) in chosen.iter().zip(route) {
                        let both = times(&gate_up[expert as usize * 2 * inner * width..][..2 * inner * width], x);
                        let (gates, ups) = both.split_at(inner);
                        let gated = gates.iter().zip(ups).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up);
                        let gated: Vec<f32> = gated.map(|value| (value * f64::from(route)) as f32).collect();
                        let gated = held(&gated, inner, precision);
                        let result = times(&down[expert as usize * width * inner..][..width * inner], &gated);
                        out.iter_mut().zip(result).for_each(|(out, value)| *out += value as f32);
                    }
                }
                // Terms of the size of a product of three inputs, which may cancel.
                let size = test_inputs::magnitude(&expected).max(((width * inner) as f32).sqrt());
                testkit::assert_close(&testkit::floats(actual), &expected, tolerance * size);
            }
        }
    }
}
