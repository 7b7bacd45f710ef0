//! The linear map, with a weight that lies as checkpoints hold it.

use crate::backend::{Form, form, operation};
use burn::tensor::Tensor;

/// `x W^T`.
///
/// # Shapes
/// - `x`: `[N, D]`, `weight`: `[O, D]`, result: `[N, O]`
///
/// # Panics
/// When both have not the same D, or `N x O` is more than memory has.
pub fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let [[_, inner], [_, of_weight]] = [x.dims(), weight.dims()];
    assert_eq!(inner, of_weight, "x and the weight of a linear map have the same inner dimension");
    match form(&x) {
        Form::Reference => reference(x, weight),
        Form::Fused => Linear.fused(x, weight),
    }
}

/// The operation of [`linear`].
#[derive(Clone, Debug)]
pub(crate) struct Linear;

operation!(Linear(x: Tensor<2>, weight: Tensor<2>) -> (out: Tensor<2>));

fn reference(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.matmul(weight.transpose())
}

#[cfg(test)]
mod tests {
    use super::{Linear, linear, reference};
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use burn::tensor::Tensor;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    #[test]
    #[should_panic(expected = "the same inner dimension")]
    fn a_weight_with_longer_rows_is_refused_for_many_rows_as_for_few() {
        let device = testkit::device();
        let _ = linear(Tensor::ones([49, 2], &device), Tensor::ones([3, 4], &device));
    }

    #[test]
    #[should_panic(expected = "elements are more than there can be")]
    fn empty_tensors_whose_product_is_beyond_all_numbers_are_refused() {
        let device = testkit::device();
        let half: usize = 1 << (usize::BITS / 2);
        let empty = || Tensor::<2>::zeros([half, 0], &device);
        let _ = linear(empty(), empty());
    }

    #[test]
    fn a_frozen_input_has_no_gradient_and_changes_none_of_the_other() {
        let device = testkit::autodiff_device();
        let x = || test_inputs::tensor::<2>([5, 7], 1, &device);
        let weight = || test_inputs::tensor::<2>([3, 7], 2, &device);
        let gradients = |x: Tensor<2>, weight: Tensor<2>| {
            let gradients = Linear.fused(x.clone(), weight.clone()).sum().backward();
            [x, weight].map(|input| input.grad(&gradients).map(testkit::floats))
        };
        let [d_x, d_weight] = gradients(x().require_grad(), weight().require_grad());
        assert!(d_x.is_some() && d_weight.is_some());
        assert_eq!(gradients(x().require_grad(), weight()), [d_x, None]);
        assert_eq!(gradients(x(), weight().require_grad()), [None, d_weight]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            rows in 1_usize..70, // on both sides of what counts as few
            [input, output] in prop::array::uniform2(1_usize..90),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let x = test_inputs::tensor::<2>([rows, input], seed, &device);
            let weight = test_inputs::tensor::<2>([output, input], seed + 1, &device);
            for x in [x.clone(), x.reshape([input, rows]).transpose()] {
                same_with_gradients(
                    (x, weight.clone()),
                    |(x, weight)| reference(x, weight),
                    |(x, weight)| Linear.fused(x, weight),
                );
            }
        }
    }
}
