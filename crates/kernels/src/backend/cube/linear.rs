//! The linear map: Burn's products, of operands in bfloat16 where `x` is, summed in f32. The composition rounds operands
//! and multiplies them in f32.

// N rows, D inner dimension, O outputs

use super::launch::in_bf16;
use super::product::{Operands, in_dtype, product};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::Rounded;
use crate::linear::Linear;
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 2, 1> for Linear {
    fn forward(&self, [x, weight]: [CubeTensor; 2]) -> [CubeTensor; 1] {
        let operands = Operands::new(x, weight);
        [product(operands.rows.clone(), operands.weight_transposed())]
    }
}

/// What the backward pass reads.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Where the weight has a gradient.
    x: Option<CubeTensor>,
    /// Where `x` has one.
    weight: Option<CubeTensor>,
    /// That of the products.
    dtype: DType,
}

impl Differentiable<Cube, 2, 1> for Linear {
    type Kept = Kept;

    fn forward_tracked(
        &self,
        [x, weight]: [CubeTensor; 2],
        [x_learns, weight_learns]: [bool; 2],
    ) -> ([CubeTensor; 1], Kept) {
        let dtype = x.dtype;
        let kept =
            Kept { x: weight_learns.then(|| x.clone()), weight: x_learns.then(|| weight.clone()), dtype };
        (Operation::<Cube, _, _>::forward(self, [x, weight]), kept)
    }

    fn backward(&self, kept: Kept, upstream: CubeTensor, _: [bool; 2]) -> [Option<CubeTensor>; 2] {
        let Kept { x, weight, dtype } = kept;
        let upstream = in_dtype(dtype, upstream); // [N, O]
        let d_x = weight.map(|weight| product(upstream.clone(), in_dtype(dtype, weight)));
        let d_weight = x.map(|x| product(Cube::float_swap_dims(upstream, 0, 1), x));
        [d_x, d_weight]
    }
}

impl Operation<Cube, 1, 1> for Rounded {
    fn forward(&self, [x]: [CubeTensor; 1]) -> [CubeTensor; 1] {
        [in_bf16(x)]
    }
}

impl Differentiable<Cube, 1, 1> for Rounded {
    /// Nothing: the gradient passes through.
    type Kept = ();

    fn forward_tracked(&self, inputs: [CubeTensor; 1], _: [bool; 1]) -> ([CubeTensor; 1], ()) {
        (Operation::<Cube, _, _>::forward(self, inputs), ())
    }

    fn backward(&self, (): (), upstream: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        [Some(upstream)]
    }
}
