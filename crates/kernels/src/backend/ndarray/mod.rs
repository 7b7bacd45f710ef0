//! The forms of Burn's NdArray, in tests with the feature `second-backend` alone: a backend that begins with two operations, in plain loops, and leaves
//! all others to their reference compositions. It keeps true what a backend costs: this folder, and its name in
//! [`with_backends`](super::with_backends).

// N rows, D columns

mod norm;
mod swiglu;
mod tests;

use super::{by_reference, packs_nothing};
use crate::adamw::{AdamWStep, SumOfSquares};
use crate::attention::{DecodeAttention, DecodeLatentAttention, PackedAttention};
use crate::candidates::CandidateLogprobs;
use crate::compute_dtype::Rounded;
use crate::embedding::Embedding;
use crate::experts::Experts;
use crate::linear::Linear;
use crate::logprobs::TargetLogprobs;
use crate::rope::Rotation;
use crate::router::{RouteWeights, RouterScores};
use burn::backend::NdArray;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Tensor, TensorData};

by_reference!(
    NdArray: [
        CandidateLogprobs, Embedding, Experts, Linear, PackedAttention, RouterScores, RouteWeights, Rotation, Rounded,
        TargetLogprobs
    ],
    untracked [AdamWStep, DecodeAttention, DecodeLatentAttention, SumOfSquares]
);

packs_nothing!(NdArray);

/// A tensor of this backend.
type NdArrayTensor = FloatTensor<NdArray>;

/// The values of a tensor of f32, in order.
fn values(tensor: &NdArrayTensor) -> Vec<f32> {
    let NdArrayTensor::F32(storage) = tensor else { panic!("f32, found {tensor:?}") };
    storage.view().iter().copied().collect()
}

/// Values as a tensor of that shape.
fn tensor(values: Vec<f32>, shape: &[usize]) -> NdArrayTensor {
    NdArrayTensor::from_data(TensorData::new(values, shape))
}

/// The shape of a tensor.
fn shape(tensor: &NdArrayTensor) -> &[usize] {
    let NdArrayTensor::F32(storage) = tensor else { panic!("f32, found {tensor:?}") };
    storage.shape()
}
