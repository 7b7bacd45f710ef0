//! The gate of a feed-forward layer (Shazeer, arXiv 2002.05202).

use crate::backend::{Form, operation};
use crate::compute_dtype::ComputeDtype;
use burn::tensor::{Tensor, activation::silu};

/// `silu(gate) * up` with `silu(x) = x / (1 + e^-x)`.
///
/// # Shapes
/// - `gate`, `up`, result: `[N, F]`
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    swiglu_operand(gate, up, ComputeDtype::F32)
}

/// [`swiglu`] as an operand of products in a dtype. In bfloat16 the result is rounded to it, and so is what the backward
/// reads of `gate` and `up`.
///
/// # Shapes
/// - `gate`, `up`, result: `[N, F]`
pub fn swiglu_operand(gate: Tensor<2>, up: Tensor<2>, dtype: ComputeDtype) -> Tensor<2> {
    match SwiGlu::form(&gate) {
        Form::Reference => dtype.operand(reference(gate, up)),
        Form::Fused => SwiGlu { dtype }.fused(gate, up),
    }
}

/// The operation of [`swiglu`].
#[derive(Clone, Debug)]
pub(crate) struct SwiGlu {
    /// Of the result and of what is kept.
    pub(crate) dtype: ComputeDtype,
}

operation!(SwiGlu(gate: Tensor<2>, up: Tensor<2>) -> (out: Tensor<2>));

pub(crate) fn reference(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}

#[cfg(test)]
mod tests {
    use super::{reference, swiglu, swiglu_operand};
    use crate::ComputeDtype;
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use burn::tensor::{DType, Tensor};
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
                    |(gate, up)| swiglu(gate, up),
                );
            }
        }
    }
    #[test]
    fn in_bfloat16_the_result_is_rounded_and_gradients_are_those_of_rounded_inputs() {
        let device = testkit::autodiff_device();
        let [gate, up, upstream] = [1, 2, 3].map(|seed| test_inputs::tensor::<2>([37, 53], seed, &device));
        let run = |gate: Tensor<2>, up: Tensor<2>, dtype| {
            let (gate, up) = (gate.require_grad(), up.require_grad());
            let out = swiglu_operand(gate.clone(), up.clone(), dtype);
            // A linear map by the identity takes either dtype and multiplies by 1.
            let identity = Tensor::<2>::eye(53, &device);
            let gradients = (crate::linear(out.clone(), identity) * upstream.clone()).sum().backward();
            let of = |x: &Tensor<2>| testkit::floats(x.grad(&gradients).expect("tracked"));
            (testkit::floats(out.cast(DType::F32)), of(&gate), of(&up))
        };
        let rounded = |x: &Tensor<2>| crate::compute_dtype::rounded(x.clone()).detach();
        let (exact, ..) = run(gate.clone(), up.clone(), ComputeDtype::F32);
        let (out, d_gate, d_up) = run(gate.clone(), up.clone(), ComputeDtype::Bf16);
        let held: Vec<f32> = exact.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
        assert_eq!(out, held);
        // The gradient from above is rounded by the map.
        let ((), d_gate_expected, d_up_expected) = {
            let upstream = rounded(&upstream);
            let (gate, up) = (rounded(&gate).require_grad(), rounded(&up).require_grad());
            let gradients = (reference(gate.clone(), up.clone()) * upstream).sum().backward();
            let of = |x: &Tensor<2>| testkit::floats(x.grad(&gradients).expect("tracked"));
            ((), of(&gate), of(&up))
        };
        for (actual, expected) in [(d_gate, d_gate_expected), (d_up, d_up_expected)] {
            testkit::assert_close(&actual, &expected, 1e-5 * test_inputs::magnitude(&expected));
        }
    }
}
