//! Mixed precision (Micikevicius et al., arXiv 1710.03740): weights, sums, norms and softmax stay in f32, and products of
//! matrices multiply rounded operands. An operand's dtype says which products it takes part in, so operations have no
//! switch of their own: [`linear`](crate::linear()), [`experts`](crate::experts()) and the operations on an output head
//! multiply in the dtype of their input.

use crate::backend::{Form, operation};
use burn::tensor::{DType, Tensor};

/// The numbers that products of matrices multiply while a decoder learns. They are summed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputeDtype {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bfloat16, in the backward pass, too; what is kept for it takes half the memory. Twice the
    /// multiplications an instruction where a CPU has AVX512-BF16.
    Bf16,
}

impl ComputeDtype {
    /// That of the products which this operand takes part in.
    pub fn of<const D: usize>(operand: &Tensor<D>) -> Self {
        if operand.dtype() == DType::BF16 { Self::Bf16 } else { Self::F32 }
    }

    /// `x` as an operand of such products: itself, or rounded to nearest even. The gradient passes through as it is, in
    /// f32 (straight-through, Bengio et al., arXiv 1308.3432).
    ///
    /// # Shapes
    /// - `x`, result: `[N, D]`
    pub fn operand(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::F32 => x,
            Self::Bf16 if x.dtype() == DType::BF16 => x,
            Self::Bf16 => match Rounded::form(&x) {
                Form::Reference => x.cast(DType::BF16),
                Form::Fused => Rounded.fused(x),
            },
        }
    }
}

/// The operation of [`ComputeDtype::operand`].
#[derive(Clone, Debug)]
pub(crate) struct Rounded;

operation!(Rounded(x: Tensor<2>) -> (out: Tensor<2>));

/// What bfloat16 holds of a tensor, in f32: how the references of operations round.
pub(crate) fn rounded<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(DType::BF16).cast(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::{ComputeDtype, rounded};
    use crate::test_inputs;
    use burn::tensor::{DType, Tensor};
    use ruminate_testkit as testkit;

    #[test]
    fn an_operand_is_rounded_to_nearest_even_and_its_gradient_is_not() {
        let device = testkit::autodiff_device();
        let x = test_inputs::tensor::<2>([37, 21], 3, &device).require_grad();
        let out = ComputeDtype::Bf16.operand(x.clone());
        assert_eq!(out.dtype(), DType::BF16);
        assert_eq!(ComputeDtype::of(&out), ComputeDtype::Bf16);
        let held: Vec<f32> =
            testkit::floats(x.clone()).iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
        assert_eq!(testkit::floats(out.clone().cast(DType::F32)), held);
        assert_eq!(testkit::floats(rounded(x.clone())), held);

        // A gradient that bfloat16 has not.
        let weight = Tensor::<2>::from_floats([[1.0 + 1.0 / 4096.0; 21]], &device);
        let gradients = crate::linear(out, weight).sum().backward();
        let gradient = x.grad(&gradients).expect("tracked");
        assert_eq!(gradient.dtype(), DType::F32);
    }

    #[test]
    fn an_operand_of_f32_is_the_tensor_itself() {
        let x = test_inputs::tensor::<2>([3, 2], 1, &testkit::device());
        assert_eq!(testkit::floats(ComputeDtype::F32.operand(x.clone())), testkit::floats(x));
    }
}
