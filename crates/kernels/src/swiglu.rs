//! The gate of a feed-forward layer (Shazeer, arXiv 2002.05202).

use crate::backend::{Form, form, operation};
use burn::tensor::{Tensor, activation::silu};

/// `silu(gate) * up` with `silu(x) = x / (1 + e^-x)`.
///
/// # Shapes
/// - `gate`, `up`, result: `[N, F]`
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    match form(&gate) {
        Form::Reference => reference(gate, up),
        Form::Fused => SwiGlu.fused(gate, up),
    }
}

/// The operation of [`swiglu`].
#[derive(Clone, Debug)]
pub(crate) struct SwiGlu;

operation!(SwiGlu(gate: Tensor<2>, up: Tensor<2>) -> (out: Tensor<2>));

fn reference(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}

#[cfg(test)]
mod tests {
    use super::{SwiGlu, reference};
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            [rows, width] in prop::array::uniform2(1_usize..200),
            scale in prop::sample::select(vec![1.0, 30.0]),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let gate = test_inputs::tensor::<2>([rows, width], seed, &device).mul_scalar(scale);
            let up = test_inputs::tensor::<2>([rows, width], seed + 1, &device);
            for up in [up.clone(), up.reshape([width, rows]).transpose()] {
                same_with_gradients(
                    (gate.clone(), up),
                    |(gate, up)| reference(gate, up),
                    |(gate, up)| SwiGlu.fused(gate, up),
                );
            }
        }
    }
}
