//! Kernels for CubeCL's runtimes (CUDA, wgpu, and the CPU for tests), which all are Burn's `Cube`. A kernel is written
//! once and compiled for the runtime of its tensors when it is first launched. What has no kernel here runs as its reference
//! composition.
//!
//! Kernels take tensors by their strides: rows that a GPU pads, and views, are read where they lie. They use no operations
//! between the units of a plane, which the runtimes that tests have do not offer, so that the code that is tested is the
//! code that runs on a GPU; docs/decisions/cube-kernels.md has the reasons.

// N rows, D columns

mod adamw;
mod decode;
mod embedding;
mod launch;
mod linear;
mod logprobs;
mod norm;
mod product;
mod reduce;
mod rope;
mod router;
mod swiglu;
#[cfg(all(test, feature = "cube-cpu"))]
mod tests;

use super::{Int8Moments, PackedExperts, PackedWeight, Packing, by_reference};
use crate::adamw::{AdamWStep, SumOfSquares};
use crate::adamw_int8::AdamWInt8State;
use crate::attention::PackedAttention;
use crate::candidates::CandidateLogprobs;
use crate::experts::{ExpertWeights, Experts};
use crate::prepared::Precision;
use burn::backend::Cube;
use burn::tensor::Tensor;
use std::sync::Arc;

by_reference!(
    Cube: [
        CandidateLogprobs, Experts, PackedAttention
    ],
    untracked [SumOfSquares]
);

impl Packing for Cube {
    const FUSED: bool = false;

    fn pack_weight(_: Vec<Tensor<2>>, _: Precision) -> Arc<dyn PackedWeight> {
        unreachable!("this backend packs nothing")
    }

    fn pack_experts(_: ExpertWeights, _: Precision) -> Arc<dyn PackedExperts> {
        unreachable!("this backend packs nothing")
    }
}

impl Int8Moments for Cube {
    fn adamw_int8(_: AdamWInt8State, _: Tensor<1>, _: AdamWStep) -> AdamWInt8State {
        unreachable!("where nothing is packed, moments are updated by reference")
    }
}
