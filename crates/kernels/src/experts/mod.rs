//! The expert layer of a mixture: tokens grouped by expert, one gated feed-forward an expert, results returned
//! to their tokens. Who goes where is decided by the router and arrives as expert ids.

mod permutation;

use crate::backend::{Form, operation};
use crate::compute_dtype::ComputeDtype;
use crate::linear::products;
use burn::tensor::{Int, Tensor, activation::silu};
use std::sync::Arc;

pub use permutation::Permutation;

/// The weights of all experts of a layer, in Hugging Face's fused layout.
#[derive(Clone, Debug)]
pub struct ExpertWeights {
    /// `[E, 2 F, D]`: gate rows, then up rows.
    pub gate_up: Tensor<3>,
    /// `[E, D, F]`
    pub down: Tensor<3>,
}

/// `sum_k weight[n, k] * down_e(silu(gate_e x_n) * up_e x_n)` with `e = experts[n, k]`.
///
/// Products are in the dtype of `x`, as those of [`linear`](crate::linear()).
///
/// # Shapes
/// - `x`: `[N, D]`, `route_weights`: `[N, K]`, result: `[N, D]`
pub fn experts(
    x: Tensor<2>,
    weights: ExpertWeights,
    permutation: Permutation,
    route_weights: Tensor<2>,
) -> Tensor<2> {
    match Experts::form_of_products(&x) {
        Form::Reference => reference(x, weights, &permutation, route_weights),
        Form::Fused => fused(x, weights, permutation, route_weights),
    }
}

/// The operation of [`experts`].
#[derive(Clone, Debug)]
pub(crate) struct Experts {
    pub(crate) permutation: Arc<Permutation>,
}

operation!(
    Experts(x: Tensor<2>, gate_up: Tensor<3>, down: Tensor<3>, route_weights: Tensor<2>) -> (out: Tensor<2>)
);

fn fused(
    x: Tensor<2>,
    weights: ExpertWeights,
    permutation: Permutation,
    route_weights: Tensor<2>,
) -> Tensor<2> {
    let ExpertWeights { gate_up, down } = weights;
    Experts { permutation: Arc::new(permutation) }.fused(x, gate_up, down, route_weights)
}

/// One batched product: experts get blocks of equal capacity C, the largest load.
fn reference(
    x: Tensor<2>,
    weights: ExpertWeights,
    permutation: &Permutation,
    route_weights: Tensor<2>,
) -> Tensor<2> {
    let device = x.device();
    let [tokens, width] = x.dims();
    let [_, chosen] = route_weights.dims();
    let [n_experts, _, inner] = weights.down.dims();
    let Padded { capacity, token_of_place, place_of_slot } = Padded::new(permutation);
    let indices = |values: &[i32]| Tensor::<1, Int>::from_ints(values, &device);

    let dtype = ComputeDtype::of(&x);
    let (x, all) = products(x, weights.gate_up);
    let grouped = x.select(0, indices(&token_of_place)).reshape([n_experts, capacity, width]);
    let gate_up = grouped.matmul(all.swap_dims(1, 2)); // [E, C, 2 F]
    let gate = gate_up.clone().narrow(2, 0, inner);
    let up = gate_up.narrow(2, inner, inner);
    let gated = (silu(gate) * up).reshape([n_experts * capacity, inner]);
    let (gated, down) = products(dtype.operand(gated), weights.down);
    let gated = gated.reshape([n_experts, capacity, inner]);
    let out = gated.matmul(down.swap_dims(1, 2)); // [E, C, D]
    let out = out.reshape([n_experts * capacity, width]).select(0, indices(&place_of_slot));
    let out = out.reshape([tokens, chosen, width]) * route_weights.unsqueeze_dim(2);
    out.sum_dim(1).reshape([tokens, width])
}

/// A permutation with gaps, so that all experts have as many places.
struct Padded {
    capacity: usize,
    /// `[E * C]`: the token in each place; unused places repeat token 0, whose result is not read.
    token_of_place: Vec<i32>,
    /// `[N * K]`: the place of each slot.
    place_of_slot: Vec<i32>,
}

impl Padded {
    fn new(permutation: &Permutation) -> Self {
        let n_experts = permutation.n_experts();
        let capacity =
            (0..n_experts).map(|expert| permutation.places(expert).len()).max().unwrap_or(0).max(1);
        let mut token_of_place = vec![0; n_experts * capacity];
        let mut place_of_slot = vec![0; permutation.n_places()];
        for expert in 0..n_experts {
            for (padded, place) in (expert * capacity..).zip(permutation.places(expert)) {
                token_of_place[padded] = permutation.token(place) as i32;
                place_of_slot[permutation.slot(place)] = padded as i32;
            }
        }
        Self { capacity, token_of_place, place_of_slot }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpertWeights, Permutation, experts, fused, reference};
    use crate::ComputeDtype;
    use crate::grad_check::{close_with_gradients, same_with_gradients_of_terms};
    use crate::test_inputs;
    use burn::tensor::{DType, Tensor, activation::silu};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    /// The formula, a token and an expert at a time.
    fn one_by_one(x: &Tensor<2>, weights: &ExpertWeights, chosen: &[u16], route: &Tensor<2>) -> Tensor<2> {
        let [_, per_token] = route.dims();
        let [_, width, inner] = weights.down.dims();
        let row = |token: usize| {
            let x = x.clone().narrow(0, token, 1); // [1, D]
            (0..per_token)
                .map(|k| {
                    let expert = usize::from(chosen[token * per_token + k]);
                    let matrix = |all: &Tensor<3>, start, rows, columns| {
                        all.clone()
                            .narrow(0, expert, 1)
                            .narrow(1, start, rows)
                            .reshape([rows, columns])
                            .transpose()
                    };
                    let gate = x.clone().matmul(matrix(&weights.gate_up, 0, inner, width));
                    let up = x.clone().matmul(matrix(&weights.gate_up, inner, inner, width));
                    let out = (silu(gate) * up).matmul(matrix(&weights.down, 0, width, inner));
                    out * route.clone().narrow(0, token, 1).narrow(1, k, 1)
                })
                .reduce(|sum, out| sum + out)
                .expect("a token has experts")
        };
        Tensor::cat((0..x.dims()[0]).map(row).collect(), 0)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn grouping_by_expert_changes_neither_result_nor_gradients(
            tokens in 1_usize..7,
            [n_experts, per_token, width, inner] in prop::array::uniform4(1_usize..5),
            draws in prop::collection::vec(any::<u16>(), 6 * 4),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            // An expert may be chosen twice by one token, and by all: capacity is then everything.
            let chosen: Vec<u16> =
                draws[..tokens * per_token].iter().map(|draw| draw % n_experts as u16).collect();
            let inputs = (
                test_inputs::tensor::<2>([tokens, width], seed, &device),
                test_inputs::tensor::<3>([n_experts, 2 * inner, width], seed + 1, &device),
                test_inputs::tensor::<3>([n_experts, width, inner], seed + 2, &device),
                test_inputs::tensor::<2>([tokens, per_token], seed + 3, &device),
            );
            // A number of random sign and size 1 for each product on the way to a result.
            same_with_gradients_of_terms(
                (width as f32 * inner as f32).sqrt(),
                inputs,
                |(x, gate_up, down, route)| one_by_one(&x, &ExpertWeights { gate_up, down }, &chosen, &route),
                |(x, gate_up, down, route)| {
                    let permutation = Permutation::new(&chosen, per_token, n_experts);
                    reference(x, ExpertWeights { gate_up, down }, &permutation, route)
                },
            );
        }

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            // Beyond a block of places, and fewer tokens than experts.
            tokens in prop_oneof![1_usize..5, 1_usize..700],
            [n_experts, per_token] in prop::array::uniform2(1_usize..5),
            [width, inner] in prop::array::uniform2(1_usize..40),
            crowding in 0_usize..3,
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let chosen = drawn(tokens * per_token, n_experts, crowding, seed);
            let inputs = (
                test_inputs::tensor::<2>([tokens, width], seed, &device),
                test_inputs::tensor::<3>([n_experts, 2 * inner, width], seed + 1, &device),
                test_inputs::tensor::<3>([n_experts, width, inner], seed + 2, &device),
                test_inputs::tensor::<2>([tokens, per_token], seed + 3, &device),
            );
            let permutation = Permutation::new(&chosen, per_token, n_experts);
            // A number of random sign and size 1 for each product on the way to a result.
            same_with_gradients_of_terms(
                (width as f32 * inner as f32).sqrt(),
                inputs,
                |(x, gate_up, down, route)| reference(x, ExpertWeights { gate_up, down }, &permutation, route),
                |(x, gate_up, down, route)| {
                    fused(x, ExpertWeights { gate_up, down }, permutation.clone(), route)
                },
            );
        }
    }

    #[test]
    fn in_bfloat16_value_and_gradients_are_the_references() {
        let device = testkit::autodiff_device();
        for (tokens, n_experts, per_token, width, inner) in
            [(3, 4, 2, 9, 5), (300, 3, 2, 40, 24), (700, 2, 1, 16, 33)]
        {
            let chosen = drawn(tokens * per_token, n_experts, 1, 3);
            let permutation = Permutation::new(&chosen, per_token, n_experts);
            let inputs = (
                test_inputs::tensor::<2>([tokens, width], 1, &device),
                test_inputs::tensor::<3>([n_experts, 2 * inner, width], 2, &device),
                test_inputs::tensor::<3>([n_experts, width, inner], 3, &device),
                test_inputs::tensor::<2>([tokens, per_token], 4, &device),
            );
            // Two products and the gate between them.
            close_with_gradients(
                1.0 / 64.0,
                inputs,
                |(x, gate_up, down, route)| {
                    reference(x.cast(DType::BF16), ExpertWeights { gate_up, down }, &permutation, route)
                },
                |(x, gate_up, down, route)| {
                    experts(
                        ComputeDtype::Bf16.operand(x),
                        ExpertWeights { gate_up, down },
                        permutation.clone(),
                        route,
                    )
                },
            );
        }
    }

    /// Expert ids; the more crowding, the more of them are expert 0, and others go without tokens.
    fn drawn(count: usize, n_experts: usize, crowding: usize, seed: u32) -> Vec<u16> {
        let draws = test_inputs::values(count, seed + 5);
        draws
            .iter()
            .map(|draw| ((draw.abs().powi(1 + 4 * crowding as i32)) * n_experts as f32) as u16)
            .map(|expert| expert.min(n_experts as u16 - 1))
            .collect()
    }

    #[test]
    fn results_are_the_same_to_the_bit_on_any_number_of_threads() {
        let (tokens, n_experts, per_token, width, inner) = (500, 6, 2, 64, 48);
        let chosen = drawn(tokens * per_token, n_experts, 1, 3);
        let run = |dtype: ComputeDtype, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let device = testkit::autodiff_device();
                let x = test_inputs::tensor::<2>([tokens, width], 1, &device).require_grad();
                let gate_up =
                    test_inputs::tensor::<3>([n_experts, 2 * inner, width], 2, &device).require_grad();
                let down = test_inputs::tensor::<3>([n_experts, width, inner], 3, &device).require_grad();
                let route = test_inputs::tensor::<2>([tokens, per_token], 4, &device).require_grad();
                let weights = ExpertWeights { gate_up: gate_up.clone(), down: down.clone() };
                let permutation = Permutation::new(&chosen, per_token, n_experts);
                let out = experts(dtype.operand(x.clone()), weights, permutation, route.clone());
                let gradients = (out.clone() * test_inputs::tensor(out.dims(), 5, &device)).sum().backward();
                [
                    testkit::floats(out.inner()),
                    testkit::floats(x.grad(&gradients).expect("tracked")),
                    testkit::floats(gate_up.grad(&gradients).expect("tracked")),
                    testkit::floats(down.grad(&gradients).expect("tracked")),
                    testkit::floats(route.grad(&gradients).expect("tracked")),
                ]
            })
        };
        for dtype in [ComputeDtype::F32, ComputeDtype::Bf16] {
            let alone = run(dtype, 1);
            assert_eq!(alone, run(dtype, 2));
            assert_eq!(alone, run(dtype, 5));
        }
    }
}
