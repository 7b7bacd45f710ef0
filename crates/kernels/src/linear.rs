//! The linear map, with a weight that lies as checkpoints hold it.

use crate::backend::{Form, operation};
use crate::compute_dtype::rounded;
use burn::tensor::{DType, Tensor};

/// `x W^T`, in f32, of operands in the dtype of `x`: where that is bfloat16
/// ([`ComputeDtype::operand`](crate::ComputeDtype::operand)), the weight and in the backward pass the gradient from
/// above are rounded to it, and products are summed in f32. The weight itself may be of either dtype.
///
/// # Shapes
/// - `x`: `[N, D]`, `weight`: `[O, D]`, result: `[N, O]`
///
/// # Panics
/// When both have not the same D, or `N x O` is more than memory has.
pub fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let [[_, inner], [_, of_weight]] = [x.dims(), weight.dims()];
    assert_eq!(inner, of_weight, "x and the weight of a linear map have the same inner dimension");
    match Linear::form_of_products(&x) {
        Form::Reference => reference(x, weight),
        Form::Fused => Linear.fused(x, weight),
    }
}

/// The operation of [`linear`].
#[derive(Clone, Debug)]
pub(crate) struct Linear;

operation!(Linear(x: Tensor<2>, weight: Tensor<2>) -> (out: Tensor<2>));

fn reference(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let (x, weight) = products(x, weight);
    x.matmul(weight.transpose())
}

/// The numbers that products in the dtype of `x` multiply, in f32: both as they are, or both rounded. What is a view
/// stays one.
pub(crate) fn products<const X: usize, const W: usize>(
    x: Tensor<X>,
    weight: Tensor<W>,
) -> (Tensor<X>, Tensor<W>) {
    let weight = match x.dtype() {
        DType::BF16 => rounded(weight),
        _ if weight.dtype() == DType::F32 => return (x, weight),
        _ => weight.cast(DType::F32),
    };
    (x.cast(DType::F32), weight)
}

#[cfg(test)]
mod tests {
    use super::{Linear, linear, reference};
    use crate::ComputeDtype;
    use crate::compute_dtype::rounded;
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use burn::tensor::{DType, Tensor};
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

    /// Products of rounded operands, and those of the gradient from above rounded, too.
    fn emulated(x: &Tensor<2>, weight: &Tensor<2>, upstream: &Tensor<2>) -> [Vec<f32>; 3] {
        let [x, weight, upstream] = [x, weight, upstream].map(|operand| rounded(operand.clone().inner()));
        let out = x.clone().matmul(weight.clone().transpose());
        let (d_x, d_weight) = (upstream.clone().matmul(weight), upstream.transpose().matmul(x));
        [out, d_x, d_weight].map(testkit::floats)
    }

    #[test]
    fn in_bfloat16_value_and_gradients_are_those_of_rounded_operands() {
        let device = testkit::autodiff_device();
        for ([rows, input, output], dtype) in
            [([5, 7, 3], DType::F32), ([70, 33, 90], DType::F32), ([130, 64, 49], DType::BF16)]
        {
            let x = test_inputs::tensor::<2>([rows, input], 1, &device).require_grad();
            let weight = test_inputs::tensor::<2>([output, input], 2, &device);
            let frozen = weight.clone().inner().cast(dtype);
            let upstream = test_inputs::tensor::<2>([rows, output], 3, &device);
            let expected = emulated(&x, &weight, &upstream);
            let weight = weight.require_grad();
            let used = if dtype == DType::F32 { weight.clone() } else { Tensor::from_inner(frozen) };
            let out = linear(ComputeDtype::Bf16.operand(x.clone()), used);
            let gradients = (out.clone() * upstream).sum().backward();
            let close = |actual: Tensor<2>, expected: &[f32]| {
                let tolerance = 2e-6 * test_inputs::magnitude(expected);
                testkit::assert_close(&testkit::floats(actual), expected, tolerance);
            };
            close(out, &expected[0]);
            close(x.grad(&gradients).expect("tracked"), &expected[1]);
            if dtype == DType::F32 {
                close(weight.grad(&gradients).expect("tracked"), &expected[2]);
            }
            // Without the rounding of the gradient from above, as other backends have it.
            let (x, weight) = (x.detach().require_grad(), weight.detach().require_grad());
            let out = reference(x.clone().cast(DType::BF16), weight.clone());
            let upstream = test_inputs::tensor::<2>([rows, output], 3, &device);
            let gradients = (out.clone() * upstream).sum().backward();
            for (actual, expected) in
                [out, x.grad(&gradients).expect("tracked"), weight.grad(&gradients).expect("tracked")]
                    .into_iter()
                    .zip(&expected)
            {
                testkit::assert_close(
                    &testkit::floats(actual),
                    expected,
                    test_inputs::magnitude(expected) / 128.0,
                );
            }
        }
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
