//! The linear map, and log-probabilities from an output head.

use super::{close_to, device, launches, pitched, same_everywhere};
use crate::ComputeDtype;
use crate::compute_dtype::rounded;
use crate::grad_check::value_and_gradients;
use crate::linear::linear;
use crate::logits::Plan;
use crate::logprobs::{LogitEdit, Shaping, TargetLogprobs, shaped_logprobs, token_logprobs};
use crate::test_inputs::{magnitude, tensor};
use burn::tensor::{DType, Tensor};
use ruminate_testkit as testkit;

#[test]
fn the_linear_map_is_the_references() {
    for [rows, input, output] in [[1, 1, 1], [5, 33, 7], [70, 20, 64]] {
        same_everywhere(
            |device| (tensor::<2>([rows, input], 1, device), tensor::<2>([output, input], 2, device)),
            |(x, weight)| x.matmul(weight.transpose()),
            |(x, weight)| linear(x, weight),
        );
    }
}

#[test]
fn in_bfloat16_products_are_of_rounded_operands_and_in_f32() {
    let device = device().autodiff();
    if !device.supports_dtype(DType::BF16) {
        return;
    }
    let x = tensor::<2>([9, 33], 1, &device).require_grad();
    let weight = tensor::<2>([7, 33], 2, &device).require_grad();
    let upstream = tensor::<2>([9, 7], 3, &device);
    let out = linear(ComputeDtype::Bf16.operand(x.clone()), weight.clone());
    assert_eq!(out.dtype(), DType::F32);
    let gradients = (out.clone() * upstream.clone()).sum().backward();
    let [x_held, weight_held, upstream] =
        [x.clone(), weight.clone(), upstream].map(|operand| rounded(operand.inner()));
    for (actual, expected) in [
        (out, x_held.clone().matmul(weight_held.clone().transpose())),
        (x.grad(&gradients).expect("tracked"), upstream.clone().matmul(weight_held)),
        (weight.grad(&gradients).expect("tracked"), upstream.transpose().matmul(x_held)),
    ] {
        assert_eq!(actual.dtype(), DType::F32);
        let expected = testkit::floats(expected);
        testkit::assert_close(&testkit::floats(actual), &expected, 1e-5 * magnitude(&expected));
    }
}

/// Log-probabilities and entropies side by side, `[2, N]`; the entropies have no gradient.
fn both(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32]) -> Tensor<2> {
    let statistics = token_logprobs(hidden, head, targets, 0.7);
    Tensor::stack(vec![statistics.logprobs, statistics.entropy], 0)
}

fn composed(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32]) -> Tensor<2> {
    let plan = Plan::rows(0.7, head.dims()[0]);
    let statistics =
        TargetLogprobs { targets: targets.to_vec(), shaping: None, plan }.reference(hidden, head);
    Tensor::stack(vec![statistics.logprobs, statistics.entropy], 0)
}

#[test]
fn logprobs_and_entropies_are_the_references() {
    for [tokens, width, vocabulary] in [[1, 1, 2], [5, 8, 33], [3, 17, 1030]] {
        let targets: Vec<u32> = (0..tokens).map(|t| ((t * 7 + 1) % vocabulary) as u32).collect();
        same_everywhere(
            |device| {
                (tensor::<2>([tokens, width], 1, device) * 4.0, tensor::<2>([vocabulary, width], 2, device))
            },
            |(hidden, head)| composed(hidden, head, &targets),
            |(hidden, head)| both(hidden, head, &targets),
        );
    }
    let device = device().autodiff();
    let (hidden, head) = (tensor::<2>([4, 9], 1, &device), tensor::<2>([30, 9], 2, &device));
    let targets = [29, 0, 3, 3];
    close_to(
        &value_and_gradients((hidden.clone(), head.clone()), |(hidden, head)| {
            composed(hidden, head, &targets)
        }),
        &value_and_gradients((pitched(hidden), pitched(head)), |(hidden, head)| both(hidden, head, &targets)),
    );
}

#[test]
fn a_shaped_distribution_is_computed_by_the_reference() {
    let of = |device: &burn::tensor::Device| {
        let mut shaping = Shaping::default();
        shaping.push([LogitEdit { id: 2, scale: 1.3, minus: 0.2 }], &[1, 2, 4]);
        shaping.push([], &[]);
        let statistics = shaped_logprobs(
            tensor::<2>([2, 4], 1, device),
            tensor::<2>([5, 4], 2, device),
            &[2, 3],
            &shaping,
            0.7,
        );
        [statistics.logprobs, statistics.entropy].map(testkit::floats).concat()
    };
    testkit::assert_close(&of(&device()), &of(&testkit::device()), 1e-5);
}

#[test]
fn logprobs_are_a_product_and_a_kernel() {
    let device = device();
    let (hidden, head) = (tensor::<2>([4, 8], 1, &device), tensor::<2>([30, 8], 2, &device));
    let (composed, _) = launches(|| composed(hidden.clone(), head.clone(), &[1, 2, 3, 4]));
    let (fused, _) = launches(|| token_logprobs(hidden, head, &[1, 2, 3, 4], 0.7));
    assert_eq!(fused.iter().filter(|name| name.contains("statistics")).count(), 1, "{fused:?}");
    assert!(fused.len() + 8 <= composed.len(), "{fused:?} instead of {composed:?}");
}
