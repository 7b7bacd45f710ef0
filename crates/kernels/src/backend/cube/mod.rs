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

use super::{by_reference, packs_nothing};
use crate::adamw::SumOfSquares;
use crate::attention::PackedAttention;
use crate::candidates::CandidateLogprobs;
use crate::experts::Experts;
use burn::backend::Cube;

by_reference!(
    Cube: [
        CandidateLogprobs, Experts, PackedAttention
    ],
    untracked [SumOfSquares]
);

packs_nothing!(Cube);
