//! A partial backend computes what it has by its own forms, and everything else by the references.

use crate::ComputeDtype;
use crate::adamw::{AdamWState, AdamWStep, SumOfSquares, adamw, sum_of_squares};
use crate::attention::{
    DecodeAttention, DecodeLatentAttention, KeyValueRing, PackedAttention, Segments, VisibleColumns,
    attention, decode_attention, decode_latent_attention, latent_attention,
};
use crate::backend::{Form, form};
use crate::candidates::{CandidateLogprobs, candidate_logprobs};
use crate::embedding::{Embedding, embedding};
use crate::experts::{ExpertWeights, Experts, Permutation, experts};
use crate::grad_check::{same_numbers, same_with_gradients, value_and_gradients};
use crate::linear::{Linear, linear};
use crate::logprobs::{TargetLogprobs, token_logprobs};
use crate::norm::{self, RmsNorm, rms_norm};
use crate::prepared::{Precision, PreparedExperts, PreparedWeight};
use crate::rope::{Angles, Rotation, rotate_halves};
use crate::router::{Normalisation, RouteWeights, RouterScores, Scoring, route_weights, router_scores};
use crate::swiglu::{self, SwiGlu, swiglu};
use crate::test_inputs::tensor;
use burn::tensor::Device;
use proptest::prelude::*;
use ruminate_testkit as testkit;

fn device() -> Device {
    Device::ndarray()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn its_forms_are_the_references_in_value_and_gradients(
        rows in 1_usize..30,
        width in 2_usize..70, // of a single column the gradient of the norm is nothing but cancellation
        eps in prop::sample::select(vec![1e-6, 1e-5, 0.5]),
        seed in 0_u32..1000,
    ) {
        let device = device().autodiff();
        let x = tensor::<2>([rows, width], seed, &device);
        let gamma = tensor::<1>([width], seed + 1, &device);
        prop_assert_eq!((RmsNorm::form(&x), SwiGlu::form(&x)), (Form::Fused, Form::Fused));
        // Once as they are, once as the views that a transpose leaves.
        for x in [x.clone(), x.clone().reshape([width, rows]).transpose()] {
            same_with_gradients(
                (x.clone(), gamma.clone()),
                |(x, gamma)| norm::reference(x, gamma, eps),
                |(x, gamma)| rms_norm(x, gamma, eps),
            );
            let up = tensor::<2>([rows, width], seed + 2, &device);
            same_with_gradients(
                (x, up),
                |(gate, up)| swiglu::reference(gate, up),
                |(gate, up)| swiglu(gate, up),
            );
        }
    }
}

#[test]
fn what_it_has_no_form_of_is_its_reference_where_the_cpu_has_one() {
    let forms = |device: &Device| {
        let x = tensor::<2>([3, 4], 1, device);
        [
            CandidateLogprobs::form(&x),
            DecodeAttention::form(&x),
            DecodeLatentAttention::form(&x),
            Embedding::form(&x),
            Experts::form(&x),
            Linear::form(&x),
            PackedAttention::form(&x),
            RouteWeights::form(&x),
            RouterScores::form(&x),
            Rotation::form(&x),
            TargetLogprobs::form(&x),
            AdamWStep::form(&x),
            SumOfSquares::form(&x),
            form(&x), // packed weights
        ]
    };
    for (ours, cpu) in [(device(), testkit::device()), (device().autodiff(), testkit::autodiff_device())] {
        assert_eq!(forms(&ours), [Form::Reference; 14]);
        assert_eq!(forms(&cpu), [Form::Fused; 14]);
    }
}

/// Values and gradients of each operation with a gradient that the backend has no form of.
fn tracked_operations(device: &Device) -> Vec<Vec<f32>> {
    let two = |shape, seed| tensor::<2>(shape, seed, device);
    let four = |shape, seed| tensor::<4>(shape, seed, device);
    let segments = Segments::new(&[1, 1, 1, 2, 2, 2], [1, 6]);
    let angles = Angles::new(vec![0.9; 6 * 2], vec![0.3; 6 * 2], 2);
    let chosen = [0, 2, 1, 0, 2, 1];
    [
        value_and_gradients(two([5, 4], 1), |weight| embedding(weight, &[4, 0, 4])),
        value_and_gradients((two([5, 4], 1), two([3, 4], 2)), |(x, weight)| linear(x, weight)),
        value_and_gradients((two([5, 4], 1), two([3, 4], 2)), |(x, weight)| {
            router_scores(x, weight, Scoring::Sigmoid)
        }),
        value_and_gradients(two([3, 4], 3).square(), |scores| {
            route_weights(scores, &chosen, Normalisation::Sum, 2.5)
        }),
        value_and_gradients(four([1, 6, 2, 4], 4), |x| rotate_halves(x, &angles)),
        value_and_gradients(
            (four([1, 6, 4, 8], 5), four([1, 6, 2, 8], 6), four([1, 6, 2, 5], 7)),
            |(q, k, v)| attention(q, k, v, &segments, 0.3, ComputeDtype::F32),
        ),
        value_and_gradients(
            (four([1, 6, 2, 8], 5), four([1, 6, 2, 10], 6), four([1, 6, 1, 3], 7)),
            |(q, up, k_rope)| latent_attention(q, up, k_rope, &segments, 0.3, ComputeDtype::F32),
        ),
        value_and_gradients((two([5, 4], 8), two([9, 4], 9)), |(hidden, head)| {
            token_logprobs(hidden, head, &[0, 8, 3, 1, 4], 0.7).logprobs
        }),
        value_and_gradients((two([2, 4], 8), two([9, 4], 9)), |(hidden, head)| {
            candidate_logprobs(hidden, head, &[0, 8, 3, 1], 0.7)
        }),
        value_and_gradients(
            (two([3, 4], 10), tensor([3, 10, 4], 11, device), tensor([3, 4, 5], 12, device), two([3, 2], 13)),
            |(x, gate_up, down, route)| {
                experts(x, ExpertWeights { gate_up, down }, Permutation::new(&chosen, 2, 3), route)
            },
        ),
    ]
    .concat()
}

/// Results of the operations without a gradient, and of prepared weights.
fn untracked_operations(device: &Device) -> Vec<Vec<f32>> {
    let one = |seed| tensor::<1>([7], seed, device);
    let state = AdamWState { parameter: one(1), mean: one(2), square: one(3).square() };
    let step = AdamWStep { beta1: 0.9, beta2: 0.99, clip: 0.7, keep: 0.999, step: 1e-2, epsilon: 1e-8 };
    let moved = adamw(state, one(4), step);

    let three = |shape, seed| tensor::<3>(shape, seed, device);
    let latest = VisibleColumns::new([(3, 2), (5, 4)]);
    let ring =
        KeyValueRing { keys: tensor([2, 1, 4, 6], 5, device), values: tensor([2, 1, 6, 3], 6, device) };
    let (out, ring) =
        decode_attention(three([2, 2, 4], 7), three([2, 1, 4], 8), three([2, 1, 3], 9), ring, &latest, 0.5);
    let (latent, kept) = decode_latent_attention(
        three([2, 2, 4], 7),
        tensor([2, 4], 8, device),
        three([2, 6, 4], 9),
        3,
        &latest,
        0.5,
    );

    let x = tensor::<2>([3, 4], 14, device);
    let weights = || ExpertWeights { gate_up: three([3, 10, 4], 11), down: three([3, 4, 5], 12) };
    let route = tensor::<2>([3, 2], 13, device);
    let mut all = vec![
        testkit::floats(moved.parameter),
        testkit::floats(moved.mean),
        testkit::floats(moved.square),
        testkit::floats(sum_of_squares(one(4))),
        testkit::floats(out),
        testkit::floats(ring.keys),
        testkit::floats(ring.values),
        testkit::floats(latent),
        testkit::floats(kept),
    ];
    for precision in [Precision::F32, Precision::Bf16] {
        let weight = PreparedWeight::new(tensor([5, 4], 15, device), precision);
        all.push(testkit::floats(weight.times(x.clone())));
        let permutation = Permutation::new(&[0, 2, 1, 0, 2, 1], 2, 3);
        let experts = PreparedExperts::new(weights(), precision);
        all.push(testkit::floats(experts.forward(x.clone(), permutation, route.clone())));
    }
    all
}

#[test]
fn what_it_has_no_form_of_is_computed_as_on_the_cpu_in_value_and_gradients() {
    same_numbers(
        0.1,
        &tracked_operations(&testkit::autodiff_device()),
        &tracked_operations(&device().autodiff()),
    );
    let (cpu, ours) = (untracked_operations(&testkit::device()), untracked_operations(&device()));
    let (exact, rounded) = (cpu.len() - 2, cpu.len());
    same_numbers(0.1, &cpu[..exact], &ours[..exact]);
    // In bf16 the CPU rounds what is multiplied with the weights, too; the reference rounds the weights alone.
    for (cpu, ours) in cpu[exact..rounded].iter().zip(&ours[exact..]) {
        testkit::assert_close(ours, cpu, 2e-2 * crate::test_inputs::magnitude(cpu));
    }
}
