//! Products of matrices, summed in f32. They are Burn's.

// N rows, D inner dimension, O outputs

use super::launch::{in_bf16, in_f32};
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

/// `x` `[N, D]` and a weight `[O, D]`, in the dtype of their products: that of `x`.
pub(super) struct Operands {
    pub(super) rows: CubeTensor,
    pub(super) weight: CubeTensor,
}

impl Operands {
    pub(super) fn new(rows: CubeTensor, weight: CubeTensor) -> Self {
        let weight = in_dtype(rows.dtype, weight);
        Self { rows, weight }
    }

    /// N and O.
    pub(super) fn dims(&self) -> [usize; 2] {
        [self.rows.meta.shape()[0], self.weight.meta.shape()[0]]
    }

    /// `[D, O]`, a view.
    pub(super) fn weight_transposed(&self) -> CubeTensor {
        Cube::float_swap_dims(self.weight.clone(), 0, 1)
    }

    /// A tensor of f32 in the dtype of the products.
    pub(super) fn rounded(&self, x: CubeTensor) -> CubeTensor {
        in_dtype(self.rows.dtype, x)
    }
}

/// The tensor in the dtype of products: bfloat16, or f32 for any other.
pub(super) fn in_dtype(dtype: DType, x: CubeTensor) -> CubeTensor {
    match (dtype, x.dtype) {
        (DType::BF16, DType::BF16) => x,
        (DType::BF16, _) => in_bf16(x),
        _ => in_f32(x),
    }
}

/// `a b` in f32, of operands in one dtype.
pub(super) fn product(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    matmul(a, b, None, MatmulStrategy::default(), DType::F32).expect("Burn has a product of any two matrices")
}
