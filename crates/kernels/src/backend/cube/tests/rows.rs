//! What works on rows or elements: the gate, the rotary embedding, rows of an embedding, the router.

use super::{close_to, device, launches, pitched, same_everywhere};
use crate::ComputeDtype;
use crate::embedding::{self, embedding};
use crate::grad_check::value_and_gradients;
use crate::rope::{Angles, Pairs, rotate_halves, rotate_interleaved};
use crate::router::{
    Normalisation, Scoring, reference_scores, reference_weights, route_weights, router_scores,
};
use crate::swiglu::{self, swiglu, swiglu_operand};
use crate::test_inputs::{self, tensor};
use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Tensor};
use ruminate_testkit as testkit;

#[test]
fn the_gate_is_the_references() {
    for [rows, width] in [[1, 1], [3, 31], [17, 130], [2, 1030]] {
        same_everywhere(
            |device| (tensor::<2>([rows, width], 1, device), tensor::<2>([rows, width], 2, device)),
            |(gate, up)| swiglu::reference(gate, up),
            |(gate, up)| swiglu(gate, up),
        );
    }
    // Halves of one product, of large numbers, too.
    same_everywhere(
        |device| tensor::<2>([5, 66], 3, device) * 30.0,
        |both| swiglu::reference(both.clone().narrow(1, 0, 33), both.narrow(1, 33, 33)),
        |both| swiglu(both.clone().narrow(1, 0, 33), both.narrow(1, 33, 33)),
    );
    let device = device().autodiff();
    let inputs = || (tensor::<2>([5, 9], 1, &device), tensor::<2>([9, 5], 2, &device).transpose());
    let apart = (pitched(inputs().0), pitched(tensor::<2>([9, 5], 2, &device)).transpose());
    close_to(
        &value_and_gradients(inputs(), |(gate, up)| swiglu::reference(gate, up)),
        &value_and_gradients(apart, |(gate, up)| swiglu(gate, up)),
    );
}

#[test]
fn the_gate_in_bfloat16_is_rounded() {
    let device = device();
    if !device.supports_dtype(DType::BF16) {
        return;
    }
    let (gate, up) = (tensor::<2>([5, 9], 1, &device), tensor::<2>([5, 9], 2, &device));
    let exact = testkit::floats(swiglu::reference(gate.clone(), up.clone()));
    let out = swiglu_operand(gate, up, ComputeDtype::Bf16);
    assert_eq!(out.dtype(), DType::BF16);
    for (held, exact) in testkit::floats(out.cast(DType::F32)).into_iter().zip(exact) {
        assert!((held - exact).abs() <= exact.abs() / 256.0, "{held} instead of {exact}");
    }
}

#[test]
fn the_gate_is_one_kernel_each_way() {
    let device = device().autodiff();
    let [gate, up] = [1, 2].map(|seed| tensor::<2>([5, 64], seed, &device).require_grad());
    let (composed, _) = launches(|| swiglu::reference(gate.clone(), up.clone()));
    assert!(composed.len() >= 2, "{composed:?}");
    let (fused, out) = launches(|| swiglu(gate, up));
    assert_eq!(fused.len(), 1, "{fused:?}");
    let (backward, _) = launches(|| out.backward());
    assert_eq!(backward.iter().filter(|name| name.contains("swiglu_backward")).count(), 1, "{backward:?}");
}

/// Angles of `rows` places.
fn angles(rows: usize, frequencies: usize) -> Angles {
    let turns = test_inputs::values(rows * frequencies, 5);
    let of = |part: fn(f32) -> f32| turns.iter().map(|&turn| part(3.0 * turn)).collect();
    Angles::new(of(f32::cos), of(f32::sin), frequencies)
}

#[test]
fn the_rotation_is_the_references_in_both_layouts() {
    for (batch, tokens, heads, still, frequencies) in
        [(1, 1, 1, 0, 1), (2, 3, 5, 0, 16), (1, 7, 2, 5, 3), (2, 2, 3, 1, 40)]
    {
        let shape = [batch, tokens, heads, still + 2 * frequencies];
        for (rotate, pairs) in [
            (rotate_halves as fn(Tensor<4>, &Angles) -> Tensor<4>, Pairs::Halves),
            (rotate_interleaved, Pairs::Interleaved),
        ] {
            let table = || angles(batch * tokens, frequencies);
            same_everywhere(
                |device| tensor::<4>(shape, 4, device),
                |x| crate::rope::reference(x, &table(), pairs),
                |x| rotate(x, &table()),
            );
            let device = device().autodiff();
            let x = tensor::<4>(shape, 4, &device);
            // Heads before tokens, as attention has them, and rows apart.
            let view = pitched(x.clone().swap_dims(1, 2)).swap_dims(1, 2);
            close_to(
                &value_and_gradients(x, |x| crate::rope::reference(x, &table(), pairs)),
                &value_and_gradients(view, |x| rotate(x, &table())),
            );
        }
    }
}

#[test]
fn angles_are_uploaded_once_and_a_rotation_is_one_kernel() {
    let device = device().autodiff();
    let (x, table) = (tensor::<4>([1, 4, 2, 8], 4, &device).require_grad(), angles(4, 4));
    let first = rotate_halves(x, &table);
    let (fused, _) = launches(|| rotate_halves(first, &table));
    assert_eq!(fused.len(), 1, "{fused:?}");
}

#[test]
fn rows_of_an_embedding_and_their_sums_are_the_references() {
    for (vocabulary, width, tokens) in [(1, 1, 1), (7, 5, 20), (50, 130, 3), (9, 33, 0)] {
        // Some ids come several times, some never.
        let ids: Vec<u32> = (0..tokens).map(|t| ((t * t + 3) % vocabulary) as u32).collect();
        if tokens > 0 {
            same_everywhere(
                |device| tensor::<2>([vocabulary, width], 1, device),
                |weight| embedding::reference(weight, &ids),
                |weight| embedding(weight, &ids),
            );
        }
        let device = device().autodiff();
        let weight = tensor::<2>([vocabulary, width], 1, &device).require_grad();
        assert_eq!(embedding(weight, &ids).dims(), [tokens, width]);
    }
    let device = device().autodiff();
    let weight = tensor::<2>([6, 9], 1, &device);
    let ids = [5, 0, 5, 2];
    close_to(
        &value_and_gradients(weight.clone(), |weight| embedding::reference(weight, &ids)),
        &value_and_gradients(pitched(weight), |weight| embedding(weight, &ids)),
    );
}

#[test]
fn scores_of_the_router_are_the_references() {
    for scoring in [Scoring::Sigmoid, Scoring::Softmax] {
        for [rows, width, n_experts] in [[1, 1, 1], [5, 33, 7], [3, 130, 64]] {
            same_everywhere(
                |device| (tensor::<2>([rows, width], 1, device), tensor::<2>([n_experts, width], 2, device)),
                |(x, weight)| reference_scores(x, weight, scoring),
                |(x, weight)| router_scores(x, weight, scoring),
            );
        }
        let device = device().autodiff();
        let (x, weight) = (tensor::<2>([4, 9], 1, &device), tensor::<2>([6, 9], 2, &device));
        close_to(
            &value_and_gradients((x.clone(), weight.clone()), |(x, weight)| {
                reference_scores(x, weight, scoring)
            }),
            &value_and_gradients((pitched(x), pitched(weight)), |(x, weight)| {
                router_scores(x, weight, scoring)
            }),
        );
        let (x, weight) = (tensor::<2>([4, 9], 1, &device), tensor::<2>([6, 9], 2, &device));
        let (fused, _) = launches(|| router_scores(x.inner(), weight.inner(), scoring));
        assert_eq!(fused.len(), 1, "{fused:?}");
    }
}

#[test]
fn logits_of_any_size_give_finite_scores() {
    let device = device();
    let x = Tensor::<2>::from_floats([[1e30], [-1e30], [0.0]], &device);
    let weight = Tensor::<2>::from_floats([[1.0], [-1.0]], &device);
    for scoring in [Scoring::Sigmoid, Scoring::Softmax] {
        let scores = testkit::floats(router_scores(x.clone(), weight.clone(), scoring));
        testkit::assert_close(&scores, &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], 1e-6);
    }
}

#[test]
fn weights_of_the_chosen_are_the_references() {
    let experts = [0, 2, 1, 1, 3, 0, 2, 3, 1, 0]; // one place names an expert twice
    for normalisation in [Normalisation::Sum, Normalisation::None] {
        same_everywhere(
            |device| sigmoid(tensor::<2>([5, 4], 1, device)),
            |scores| reference_weights(scores, &experts, normalisation, 2.5),
            |scores| route_weights(scores, &experts, normalisation, 2.5),
        );
    }
}
