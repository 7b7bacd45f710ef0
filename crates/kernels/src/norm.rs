//! Root-mean-square layer normalisation (Zhang and Sennrich 2019).

use crate::backend::{Form, operation};
use burn::tensor::Tensor;

/// `x / sqrt(mean(x^2) + eps) * gamma` over the last dimension.
///
/// # Shapes
/// - `x`: `[N, D]`, `gamma`: `[D]`, result: `[N, D]`
pub fn rms_norm(x: Tensor<2>, gamma: Tensor<1>, eps: f64) -> Tensor<2> {
    match RmsNorm::form(&x) {
        Form::Reference => reference(x, gamma, eps),
        Form::Fused => RmsNorm { eps }.fused(x, gamma),
    }
}

/// The operation of [`rms_norm`].
#[derive(Clone, Debug)]
pub(crate) struct RmsNorm {
    pub(crate) eps: f64,
}

operation!(RmsNorm(x: Tensor<2>, gamma: Tensor<1>) -> (out: Tensor<2>));

pub(crate) fn reference(x: Tensor<2>, gamma: Tensor<1>, eps: f64) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1); // [N, 1]
    let inverse_rms = (mean_square + eps).sqrt().recip();
    x * inverse_rms * gamma.unsqueeze()
}

#[cfg(test)]
mod tests {
    use super::{RmsNorm, reference};
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_row_is_divided_by_its_root_mean_square(
            [rows, width] in prop::array::uniform2(1_usize..9),
            eps in prop::sample::select(vec![1e-6, 1e-5, 0.5]),
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let (x, gamma) = (test_inputs::values(rows * width, seed), test_inputs::values(width, seed + 1));
            let expected: Vec<f32> = x
                .chunks(width)
                .flat_map(|row| {
                    let square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                    let scale = (square + eps).sqrt();
                    row.iter().zip(&gamma).map(move |(&x, &g)| (f64::from(x) / scale * f64::from(g)) as f32)
                })
                .collect();
            let gamma = test_inputs::tensor([width], seed + 1, &device);
            let actual = reference(test_inputs::tensor([rows, width], seed, &device), gamma, eps);
            testkit::assert_close(&testkit::floats(actual), &expected, 1e-5);
        }

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            rows in 1_usize..70,
            width in 2_usize..300, // of a single column the gradient is nothing but cancellation
            eps in prop::sample::select(vec![1e-6, 1e-5, 0.5]),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let x = test_inputs::tensor::<2>([rows, width], seed, &device);
            let gamma = test_inputs::tensor::<1>([width], seed + 1, &device);
            // Once as they are, once as the views that a transpose leaves.
            for x in [x.clone(), x.reshape([width, rows]).transpose()] {
                same_with_gradients(
                    (x, gamma.clone()),
                    |(x, gamma)| reference(x, gamma, eps),
                    |(x, gamma)| RmsNorm { eps }.fused(x, gamma),
                );
            }
        }
    }
}
