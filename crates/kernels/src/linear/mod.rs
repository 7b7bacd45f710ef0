//! The linear map, with a weight that lies as checkpoints hold it.

mod autodiff;

use crate::dispatch::{Form, form};
use burn::tensor::Tensor;

/// `x W^T`.
///
/// # Shapes
/// - `x`: `[N, D]`, `weight`: `[O, D]`, result: `[N, O]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    match form(&x) {
        Form::Reference => reference(x, weight),
        Form::Flex => autodiff::fused(x, weight),
    }
}

fn reference(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.matmul(weight.transpose())
}

#[cfg(test)]
mod tests {
    use super::{autodiff, reference};
    use crate::noise;
    use crate::same::same_with_gradients;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_flex_form_equals_the_reference_in_value_and_gradients(
            rows in 1_usize..70, // on both sides of what counts as few
            [input, output] in prop::array::uniform2(1_usize..90),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let x = noise::tensor::<2>([rows, input], seed, &device);
            let weight = noise::tensor::<2>([output, input], seed + 1, &device);
            for x in [x.clone(), x.reshape([input, rows]).transpose()] {
                same_with_gradients(
                    (x, weight.clone()),
                    |(x, weight)| reference(x, weight),
                    |(x, weight)| autodiff::fused(x, weight),
                );
            }
        }
    }
}
