//! Rounding of operands on the CPU.

use super::{in_bf16, in_f32};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::{ComputeDtype, Rounded};
use burn::backend::Flex;
use burn::tensor::DType;
use burn_flex::FlexTensor;

impl Operation<Flex, 1, 1> for Rounded {
    fn forward(&self, [x]: [FlexTensor; 1]) -> [FlexTensor; 1] {
        [in_bf16(&x)]
    }
}

impl Differentiable<Flex, 1, 1> for Rounded {
    /// Nothing.
    type Kept = ();

    fn forward_tracked(&self, inputs: [FlexTensor; 1], _: [bool; 1]) -> ([FlexTensor; 1], ()) {
        (Operation::<Flex, _, _>::forward(self, inputs), ())
    }

    fn backward(&self, (): (), upstream: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        // A reference composition on this backend hands gradients down in the operand's dtype.
        [Some(in_f32(upstream))]
    }
}

/// The dtype of the products that an operand takes part in.
pub(crate) fn compute_dtype(operand: &FlexTensor) -> ComputeDtype {
    if operand.dtype() == DType::BF16 { ComputeDtype::Bf16 } else { ComputeDtype::F32 }
}
