//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) on one flat tensor, and the sum of squares for the global norm.
//! Nothing here is tracked: tensors come from the device without autodiff.

// n elements of one parameter

use crate::backend::{Form, operation};
use burn::tensor::Tensor;

/// One update's numbers, with the bias corrections of the moments folded in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// `beta1`: decay of the mean of gradients.
    pub beta1: f64,
    /// `beta2`: decay of the mean of squares.
    pub beta2: f64,
    /// Factor on the gradient: below 1 where the global norm is clipped.
    pub clip: f64,
    /// Factor on the parameter: `1 - learning rate * weight decay`.
    pub keep: f64,
    /// Factor on `mean / (sqrt(square) + epsilon)`.
    pub step: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
}

/// A parameter and its moments, each `[n]`.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// The parameter.
    pub parameter: Tensor<1>,
    /// Running mean of gradients.
    pub mean: Tensor<1>,
    /// Running mean of their squares.
    pub square: Tensor<1>,
}

/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`, `p = keep p - step m / (sqrt(v) + epsilon)` with
/// `g = clip * gradient`. In place where nothing else holds the tensors.
pub fn adamw(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    match AdamWStep::form(&gradient) {
        Form::Reference => reference(state, gradient, step),
        Form::Fused => fused(state, gradient, step),
    }
}

/// The sum of all squares, `[1]`. The order of additions depends on the length alone.
pub fn sum_of_squares(values: Tensor<1>) -> Tensor<1> {
    match SumOfSquares::form(&values) {
        // `sum_dim`: the order of additions of `sum` is left to the threads.
        Form::Reference => values.square().sum_dim(0),
        Form::Fused => SumOfSquares.fused(values),
    }
}

operation!(
    untracked AdamWStep(parameter: Tensor<1>, mean: Tensor<1>, square: Tensor<1>, gradient: Tensor<1>)
        -> (parameter: Tensor<1>, mean: Tensor<1>, square: Tensor<1>)
);

/// The operation of [`sum_of_squares`].
pub(crate) struct SumOfSquares;

operation!(untracked SumOfSquares(values: Tensor<1>) -> (sum: Tensor<1>));

fn fused(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    let (parameter, mean, square) = step.fused(state.parameter, state.mean, state.square, gradient);
    AdamWState { parameter, mean, square }
}

pub(crate) fn reference(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    let AdamWState { parameter, mean, square } = state;
    let AdamWStep { beta1, beta2, clip, keep, step, epsilon } = step;
    let gradient = gradient.mul_scalar(clip);
    let mean = mean.mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
    let square = square.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);
    let direction = mean.clone() / square.clone().sqrt().add_scalar(epsilon);
    let parameter = parameter.mul_scalar(keep) - direction.mul_scalar(step);
    AdamWState { parameter, mean, square }
}

#[cfg(test)]
mod tests {
    use super::{AdamWState, AdamWStep, adamw, fused, reference, sum_of_squares};
    use crate::test_inputs;
    use burn::tensor::Tensor;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    const STEP: AdamWStep =
        AdamWStep { beta1: 0.9, beta2: 0.99, clip: 0.7, keep: 0.999, step: 1e-2, epsilon: 1e-8 };

    fn state(length: usize, seed: u32) -> (AdamWState, Tensor<1>) {
        let device = testkit::device();
        let [parameter, mean, square, gradient] =
            [0, 1, 2, 3].map(|i| test_inputs::tensor::<1>([length], seed + i, &device));
        (AdamWState { parameter, mean, square: square.square() }, gradient)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_fused_form_equals_the_reference(
            length in 1_usize..40_000, shared in any::<bool>(), seed in 0_u32..1000,
        ) {
            let (state, gradient) = state(length, seed);
            let expected = reference(state.clone(), gradient.clone(), STEP);
            // Tensors that are shared must not change.
            let held = shared.then(|| (state.clone(), testkit::floats(state.parameter.clone())));
            let actual = fused(state, gradient, STEP);
            for (actual, expected) in [
                (actual.parameter, expected.parameter),
                (actual.mean, expected.mean),
                (actual.square, expected.square),
            ] {
                testkit::assert_close(&testkit::floats(actual), &testkit::floats(expected), 1e-6);
            }
            if let Some((held, before)) = held {
                prop_assert_eq!(testkit::floats(held.parameter), before);
            }
        }

        #[test]
        fn every_square_is_added_once(length in 1_usize..50_000, seed in 0_u32..1000) {
            let values = test_inputs::values(length, seed);
            let exact: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
            let sum = sum_of_squares(test_inputs::tensor::<1>([length], seed, &testkit::device()));
            let sum = f64::from(testkit::floats(sum)[0]);
            prop_assert!((sum / exact - 1.0).abs() < 1e-5, "{} instead of {}", sum, exact);
        }
    }

    #[test]
    fn a_fresh_parameter_moves_by_the_step_against_the_sign_of_its_gradient() {
        let device = testkit::device();
        let zeros = || Tensor::<1>::zeros([3], &device);
        let state = AdamWState { parameter: zeros(), mean: zeros(), square: zeros() };
        // beta1 = beta2 = 0: the mean is the gradient, the root of the squares its magnitude.
        let step = AdamWStep { beta1: 0.0, beta2: 0.0, clip: 1.0, keep: 1.0, step: 0.5, epsilon: 0.0 };
        let moved = adamw(state, Tensor::from_floats([2.0, -3.0, 1.0], &device), step);
        testkit::assert_close(&testkit::floats(moved.parameter), &[-0.5, 0.5, -0.5], 1e-6);
    }
}
