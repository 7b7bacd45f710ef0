//! Weights packed for the CPU, and products with them.

// N tokens, K chosen experts per token, D hidden, F expert width

use super::experts::gated;
use super::{Floats, Packed, Threads, flex, tensor};
use crate::backend::{PackedExperts, PackedWeight, Packing};
use crate::experts::{ExpertWeights, Permutation};
use crate::prepared::Precision;
use burn::backend::Flex;
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::sync::Arc;

/// Multiplications below which waking another thread costs more than it saves.
const WORTH_SHARING: usize = 1 << 19;

impl Packing for Flex {
    fn pack_weight(weights: Vec<Tensor<2>>, precision: Precision) -> Arc<dyn PackedWeight> {
        let weights: Vec<(Floats, usize)> = weights
            .into_iter()
            .map(|weight| {
                let [_, width] = weight.dims();
                (Floats::of(&flex(weight)), width)
            })
            .collect();
        let rows: Vec<&[f32]> =
            weights.iter().flat_map(|(weight, width)| weight.slice().chunks_exact((*width).max(1))).collect();
        Arc::new(Packed::new(&rows, precision))
    }

    fn pack_experts(weights: ExpertWeights, precision: Precision) -> Arc<dyn PackedExperts> {
        let [count, both, width] = weights.gate_up.dims();
        let [_, _, inner] = weights.down.dims();
        let (gate_up, down) = (Floats::of(&flex(weights.gate_up)), Floats::of(&flex(weights.down)));
        let pack = |all: &Floats, expert: usize, rows: usize, columns: usize| {
            let weight = &all.slice()[expert * rows * columns..][..rows * columns];
            Packed::new(&weight.chunks_exact(columns.max(1)).collect::<Vec<_>>(), precision)
        };
        let expert = |expert| Expert {
            gate_up: pack(&gate_up, expert, both, width),
            down: pack(&down, expert, width, inner),
        };
        Arc::new(Experts((0..count).map(expert).collect()))
    }
}

impl PackedWeight for Packed {
    fn times(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, _] = x.dims();
        let x = Floats::of(&flex(x));
        let out = self.times_of(x.slice(), rows, Threads::Pool);
        Tensor::from_primitive::<Flex>(tensor(out, [rows, self.outputs()]))
    }
}

#[derive(Debug)]
struct Experts(Vec<Expert>);

#[derive(Debug)]
struct Expert {
    /// `[2 F, D]`: gate rows, then up rows.
    gate_up: Packed,
    /// `[D, F]`
    down: Packed,
}

impl PackedExperts for Experts {
    fn forward(&self, x: Tensor<2>, permutation: &Permutation, route_weights: Tensor<2>) -> Tensor<2> {
        let shape = x.dims();
        let (x, route) = (Floats::of(&flex(x)), Floats::of(&flex(route_weights)));
        let out = forward(&self.0, x.slice(), route.slice(), permutation, shape[1]);
        Tensor::from_primitive::<Flex>(tensor(out, shape))
    }
}

/// Experts in parallel, each on its own tokens; what they yield is then summed by token in the order of its choices.
fn forward(
    experts: &[Expert],
    x: &[f32],
    route: &[f32],
    permutation: &Permutation,
    width: usize,
) -> Vec<f32> {
    let mut results = vec![0.0; permutation.n_places() * width];
    let mut rest = results.as_mut_slice();
    let mut tasks = Vec::new();
    for (number, expert) in experts.iter().enumerate() {
        let places = permutation.places(number);
        let out = rest.split_off_mut(..places.len() * width).expect("a row for each place");
        if !places.is_empty() {
            tasks.push((expert, places, out));
        }
    }
    let run = |(expert, places, out): (&Expert, std::ops::Range<usize>, &mut [f32])| {
        let rows = places.len();
        let both = expert.gate_up.outputs();
        let gathered: Vec<f32> = places
            .clone()
            .flat_map(|place| &x[permutation.token(place) * width..][..width])
            .copied()
            .collect();
        let mut gates_and_ups = vec![0.0; rows * both];
        expert.gate_up.times(&mut gates_and_ups, &gathered, rows, Threads::One);
        let mut activation = vec![0.0; rows * both / 2];
        let pairs = activation.chunks_exact_mut(both / 2).zip(gates_and_ups.chunks_exact(both));
        for (place, (activation, gate_up)) in places.zip(pairs) {
            gated(activation, gate_up, route[permutation.slot(place)]);
        }
        expert.down.times(out, &activation, rows, Threads::One);
    };
    if permutation.n_places() * width * width < WORTH_SHARING {
        tasks.into_iter().for_each(run);
    } else {
        tasks.into_par_iter().for_each(run);
    }
    let mut out = vec![0.0; x.len()];
    let per_token = permutation.experts_per_token();
    for (out, places) in out.chunks_exact_mut(width).zip(permutation.place_of_slot().chunks_exact(per_token))
    {
        for &place in places {
            let row = &results[place as usize * width..][..width];
            out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
        }
    }
    out
}
