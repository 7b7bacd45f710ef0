//! AdamW.

use super::{device, launches, pitched};
use crate::adamw::{AdamWState, AdamWStep, adamw, reference};
use crate::test_inputs::tensor;
use burn::tensor::Tensor;
use ruminate_testkit as testkit;

const STEP: AdamWStep =
    AdamWStep { beta1: 0.9, beta2: 0.99, clip: 0.7, keep: 0.999, step: 1e-2, epsilon: 1e-8 };

fn state(length: usize) -> (AdamWState, Tensor<1>) {
    let [parameter, mean, square, gradient] = [0, 1, 2, 3].map(|seed| tensor::<1>([length], seed, &device()));
    (AdamWState { parameter, mean, square: square.square() }, gradient)
}

fn same(actual: AdamWState, expected: AdamWState) {
    for (actual, expected) in [
        (actual.parameter, expected.parameter),
        (actual.mean, expected.mean),
        (actual.square, expected.square),
    ] {
        testkit::assert_close(&testkit::floats(actual), &testkit::floats(expected), 1e-6);
    }
}

#[test]
fn an_update_is_the_references_and_leaves_what_others_hold() {
    for length in [1, 7, 300, 1025] {
        let (before, gradient) = state(length);
        let expected = reference(before.clone(), gradient.clone(), STEP);
        let values = testkit::floats(before.parameter.clone());
        same(adamw(before.clone(), gradient.clone(), STEP), expected.clone());
        assert_eq!(testkit::floats(before.parameter.clone()), values);
        let AdamWState { parameter, mean, square } = before;
        let apart =
            AdamWState { parameter: pitched(parameter), mean: pitched(mean), square: pitched(square) };
        same(adamw(apart, pitched(gradient), STEP), expected);
    }
}

#[test]
fn an_update_is_one_kernel_in_place() {
    let (held, gradient) = state(300);
    let (composed, _) = launches(|| reference(held, gradient, STEP));
    assert!(composed.len() >= 12, "{composed:?}");
    let (alone, gradient) = state(300);
    testkit::floats(alone.square.clone()); // made
    let (fused, _) = launches(|| adamw(alone, gradient, STEP));
    assert_eq!(fused.len(), 1, "{fused:?}");
}
