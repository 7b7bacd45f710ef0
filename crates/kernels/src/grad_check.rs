//! What every fused form must show: the value and the gradients of its reference composition.

use crate::test_inputs;
use burn::tensor::{Gradients, Tensor};
use ruminate_testkit as testkit;

/// Inputs of an operation that are tracked one by one.
pub(crate) trait Inputs: Clone {
    /// Leaves of a graph of their own.
    fn tracked(self) -> Self;
    /// The gradients, in order.
    fn gradients(&self, gradients: &Gradients) -> Vec<Vec<f32>>;
}

impl<const D: usize> Inputs for Tensor<D> {
    fn tracked(self) -> Self {
        self.detach().require_grad()
    }

    fn gradients(&self, gradients: &Gradients) -> Vec<Vec<f32>> {
        vec![testkit::floats(self.grad(gradients).expect("the input takes part in the result"))]
    }
}

macro_rules! inputs_of_tuples {
    ($($name:ident),+) => {
        impl<$($name: Inputs),+> Inputs for ($($name,)+) {
            #[allow(non_snake_case, reason = "a type parameter's name for its value")]
            fn tracked(self) -> Self {
                let ($($name,)+) = self;
                ($($name.tracked(),)+)
            }

            #[allow(non_snake_case, reason = "a type parameter's name for its value")]
            fn gradients(&self, gradients: &Gradients) -> Vec<Vec<f32>> {
                let ($($name,)+) = self;
                [$($name.gradients(gradients),)+].concat()
            }
        }
    };
}

inputs_of_tuples!(A, B);
inputs_of_tuples!(A, B, C);
inputs_of_tuples!(A, B, C, D);

/// Asserts that two forms agree in value and in the gradient of every input, for a random upstream gradient: to 1e-5
/// of the largest magnitude in the tensor, or of 0.1 where all of it has cancelled.
pub(crate) fn same_with_gradients<I: Inputs, const D: usize>(
    inputs: I,
    reference: impl Fn(I) -> Tensor<D>,
    fused: impl Fn(I) -> Tensor<D>,
) {
    same_with_gradients_of_terms(0.1, inputs, reference, fused);
}

/// The same where sums are made of terms as large as `terms`, which may cancel: to 1e-5 of that at least.
pub(crate) fn same_with_gradients_of_terms<I: Inputs, const D: usize>(
    terms: f32,
    inputs: I,
    reference: impl Fn(I) -> Tensor<D>,
    fused: impl Fn(I) -> Tensor<D>,
) {
    let expected = value_and_gradients(inputs.clone(), reference);
    same_numbers(terms, &expected, &value_and_gradients(inputs, fused));
}

/// The same for forms that round differently, to a part of the largest magnitude in the tensor.
pub(crate) fn close_with_gradients<I: Inputs, const D: usize>(
    relative: f32,
    inputs: I,
    reference: impl Fn(I) -> Tensor<D>,
    fused: impl Fn(I) -> Tensor<D>,
) {
    let expected = value_and_gradients(inputs.clone(), reference);
    near_numbers(relative, 0.1, &expected, &value_and_gradients(inputs, fused));
}

/// The value of an operation, then the gradient of every input for a random upstream gradient.
pub(crate) fn value_and_gradients<I: Inputs, const D: usize>(
    inputs: I,
    operation: impl Fn(I) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let inputs = inputs.tracked();
    let out = operation(inputs.clone());
    let weights = test_inputs::tensor(out.dims(), 77, &out.device());
    let gradients = (out.clone() * weights).sum().backward();
    let mut all = vec![testkit::floats(out.inner())];
    all.extend(inputs.gradients(&gradients));
    all
}

/// Asserts that values and gradients agree as [`same_with_gradients_of_terms`] says.
pub(crate) fn same_numbers(terms: f32, expected: &[Vec<f32>], actual: &[Vec<f32>]) {
    near_numbers(1e-5, terms, expected, actual);
}

/// The same to a part of the largest magnitude in a tensor, or of `terms`.
pub(crate) fn near_numbers(relative: f32, terms: f32, expected: &[Vec<f32>], actual: &[Vec<f32>]) {
    assert_eq!(expected.len(), actual.len());
    for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let largest = expected.iter().fold(terms, |largest, x| largest.max(x.abs()));
        for (place, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            assert!(
                (expected - actual).abs() <= relative * largest,
                "{}, element {place}: {actual} instead of {expected} (largest {largest})",
                if index == 0 { "value".to_owned() } else { format!("gradient of input {}", index - 1) },
            );
        }
        assert_eq!(expected.len(), actual.len());
    }
}
