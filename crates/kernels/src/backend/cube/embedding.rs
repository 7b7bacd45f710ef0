//! Rows of an embedding. The gradient is summed row by row, over the tokens that have the row's id: Burn's own walks all
//! tokens one after the other in every column.

// V vocabulary, D width, N tokens, U different ids among them

use super::launch::{addresses, empty_beside, in_f32, of_elements, upload, zeros_beside};
use crate::backend::{Differentiable, Operation};
use crate::embedding::Embedding;
use burn::backend::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 1, 1> for Embedding {
    fn forward(&self, [weight]: [CubeTensor; 1]) -> [CubeTensor; 1] {
        let [_, width] = weight.meta.shape().dims();
        let rows = self.ids.len();
        let weight = in_f32(weight);
        let out = empty_beside(&weight, [rows, width]);
        let ids = upload(&weight, self.ids.clone());
        let (count, dim) = of_elements(&weight, rows, width);
        let address = addresses([&weight, &out]);
        embedding::launch(
            &weight.client.clone(),
            count,
            dim,
            address,
            weight.into_tensor_arg(),
            ids.into_tensor_arg(),
            out.clone().into_tensor_arg(),
        );
        [out]
    }
}

impl Differentiable<Cube, 1, 1> for Embedding {
    /// The shape of the weight.
    type Kept = [usize; 2];

    fn forward_tracked(&self, inputs: [CubeTensor; 1], _: [bool; 1]) -> ([CubeTensor; 1], Self::Kept) {
        let shape = inputs[0].meta.shape().dims();
        (Operation::<Cube, _, _>::forward(self, inputs), shape)
    }

    fn backward(&self, shape: Self::Kept, upstream: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let [_, width] = shape;
        let d_weight = zeros_beside(&upstream, shape);
        let Groups { ids, starts, tokens } = Groups::new(&self.ids);
        let rows = ids.len();
        let (count, dim) = of_elements(&upstream, rows, width);
        let address = addresses([&upstream, &d_weight]);
        let [ids, starts, tokens] = [ids, starts, tokens].map(|numbers| upload(&upstream, numbers));
        embedding_backward::launch(
            &upstream.client.clone(),
            count,
            dim,
            address,
            upstream.into_tensor_arg(),
            ids.into_tensor_arg(),
            starts.into_tensor_arg(),
            tokens.into_tensor_arg(),
            d_weight.clone().into_tensor_arg(),
        );
        [Some(d_weight)]
    }
}

/// The tokens by their ids.
struct Groups {
    /// `U` different ids.
    ids: Vec<u32>,
    /// Where in `tokens` the tokens of each begin, and where those of the last end: `U + 1`.
    starts: Vec<u32>,
    /// `N`: those of an id follow each other in their order.
    tokens: Vec<u32>,
}

impl Groups {
    fn new(of_tokens: &[u32]) -> Self {
        let mut tokens: Vec<u32> = (0..of_tokens.len() as u32).collect();
        tokens.sort_by_key(|&token| of_tokens[token as usize]); // stable
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for (place, &token) in tokens.iter().enumerate() {
            let id = of_tokens[token as usize];
            if ids.last() != Some(&id) {
                ids.push(id);
                starts.push(place as u32);
            }
        }
        starts.push(tokens.len() as u32);
        Self { ids, starts, tokens }
    }
}

#[cube(launch, address_type = "dynamic")]
pub(super) fn embedding(weight: &Tensor<f32>, ids: &Tensor<u32>, out: &mut Tensor<f32>) {
    let column = ABSOLUTE_POS_X as usize;
    if column < out.shape(1) {
        for row in range_stepped(CUBE_POS_Y as usize, out.shape(0), CUBE_COUNT_Y as usize) {
            let id = ids[row] as usize;
            let at = row * out.stride(0) + column;
            out[at] = weight[id * weight.stride(0) + column * weight.stride(1)];
        }
    }
}

/// A unit sums a column of an id's tokens, in their order.
#[cube(launch, address_type = "dynamic")]
pub(super) fn embedding_backward(
    upstream: &Tensor<f32>,
    ids: &Tensor<u32>,
    starts: &Tensor<u32>,
    tokens: &Tensor<u32>,
    d_weight: &mut Tensor<f32>,
) {
    let column = ABSOLUTE_POS_X as usize;
    if column < upstream.shape(1) {
        for group in range_stepped(CUBE_POS_Y as usize, ids.shape(0), CUBE_COUNT_Y as usize) {
            let mut sum = 0.0f32;
            for place in starts[group]..starts[group + 1] {
                let token = tokens[place as usize] as usize;
                sum += upstream[token * upstream.stride(0) + column * upstream.stride(1)];
            }
            let at = ids[group] as usize * d_weight.stride(0) + column;
            d_weight[at] = sum;
        }
    }
}
