//! The expert layer of a mixture: tokens grouped by expert, one gated feed-forward an expert, results returned
//! to their tokens. Who goes where is decided by the router and arrives as expert ids.

use burn::tensor::{Device, Int, Tensor, activation::silu};

/// The weights of all experts of a layer, in Hugging Face's fused layout.
#[derive(Clone, Debug)]
pub struct ExpertWeights {
    /// `[E, 2 F, D]`: gate rows, then up rows.
    pub gate_up: Tensor<3>,
    /// `[E, D, F]`
    pub down: Tensor<3>,
}

/// Where each (token, choice) slot goes: experts get blocks of equal capacity C, the largest load.
#[derive(Clone, Debug)]
pub struct Permutation {
    capacity: usize,
    /// `[E * C]`: the token in each place; unused places repeat token 0, and nobody reads their result.
    token_of_place: Vec<i32>,
    /// `[N * K]`: the place of each slot.
    place_of_slot: Vec<i32>,
}

impl Permutation {
    /// Groups slots by expert; within an expert they keep their order.
    ///
    /// `experts` holds N * K expert ids, row-major by token.
    pub fn new(experts: &[u16], experts_per_token: usize, n_experts: usize) -> Self {
        let mut load = vec![0_usize; n_experts];
        for &expert in experts {
            load[usize::from(expert)] += 1;
        }
        let capacity = load.iter().copied().max().unwrap_or(0).max(1);
        let mut token_of_place = vec![0_i32; n_experts * capacity];
        let mut place_of_slot = vec![0_i32; experts.len()];
        let mut filled = vec![0_usize; n_experts];
        for (slot, &expert) in experts.iter().enumerate() {
            let expert = usize::from(expert);
            let place = expert * capacity + filled[expert];
            filled[expert] += 1;
            token_of_place[place] = (slot / experts_per_token) as i32;
            place_of_slot[slot] = place as i32;
        }
        Self { capacity, token_of_place, place_of_slot }
    }
}

/// `sum_k weight[n, k] * down_e(silu(gate_e x_n) * up_e x_n)` with `e = experts[n, k]`.
///
/// # Shapes
/// - `x`: `[N, D]`, `route_weights`: `[N, K]`, result: `[N, D]`
pub fn experts(
    x: Tensor<2>,
    weights: ExpertWeights,
    permutation: &Permutation,
    route_weights: Tensor<2>,
) -> Tensor<2> {
    let device = x.device();
    let [tokens, width] = x.dims();
    let [_, chosen] = route_weights.dims();
    let [n_experts, _, inner] = weights.down.dims();
    let Permutation { capacity, token_of_place, place_of_slot } = permutation;

    let grouped = x.select(0, indices(token_of_place, &device)).reshape([n_experts, *capacity, width]);
    let gate_up = grouped.matmul(weights.gate_up.swap_dims(1, 2)); // [E, C, 2 F]
    let gate = gate_up.clone().narrow(2, 0, inner);
    let up = gate_up.narrow(2, inner, inner);
    let out = (silu(gate) * up).matmul(weights.down.swap_dims(1, 2)); // [E, C, D]
    let out = out.reshape([n_experts * *capacity, width]).select(0, indices(place_of_slot, &device));
    let out = out.reshape([tokens, chosen, width]) * route_weights.unsqueeze_dim(2);
    out.sum_dim(1).reshape([tokens, width])
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints(values, device)
}

#[cfg(test)]
mod tests {
    use super::{ExpertWeights, Permutation, experts};
    use crate::noise;
    use burn::tensor::{Tensor, activation::silu};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    #[test]
    fn every_slot_finds_its_token_in_its_experts_block() {
        let chosen = [2_u16, 0, 1, 2, 2, 0, 3, 2];
        let permutation = Permutation::new(&chosen, 2, 4);
        assert_eq!(permutation.capacity, 4);
        for (slot, &expert) in chosen.iter().enumerate() {
            let place = permutation.place_of_slot[slot] as usize;
            assert_eq!(place / permutation.capacity, usize::from(expert));
            assert_eq!(permutation.token_of_place[place] as usize, slot / 2);
        }
    }

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
            let target = noise::tensor::<2>([tokens, width], seed + 4, &device);
            let run = |grouped: bool| {
                let x = noise::tensor::<2>([tokens, width], seed, &device).require_grad();
                let gate_up = noise::tensor::<3>([n_experts, 2 * inner, width], seed + 1, &device).require_grad();
                let down = noise::tensor::<3>([n_experts, width, inner], seed + 2, &device).require_grad();
                let route = noise::tensor::<2>([tokens, per_token], seed + 3, &device).require_grad();
                let weights = ExpertWeights { gate_up: gate_up.clone(), down: down.clone() };
                let out = if grouped {
                    let permutation = Permutation::new(&chosen, per_token, n_experts);
                    experts(x.clone(), weights, &permutation, route.clone())
                } else {
                    one_by_one(&x, &weights, &chosen, &route)
                };
                let gradients = (out.clone() * target.clone()).sum().backward();
                [
                    testkit::floats(out.inner()),
                    testkit::floats(x.grad(&gradients).expect("tracked")),
                    testkit::floats(gate_up.grad(&gradients).expect("tracked")),
                    testkit::floats(down.grad(&gradients).expect("tracked")),
                    testkit::floats(route.grad(&gradients).expect("tracked")),
                ]
            };
            for (grouped, reference) in run(true).iter().zip(&run(false)) {
                testkit::assert_close(grouped, reference, 1e-5);
            }
        }
    }
}
