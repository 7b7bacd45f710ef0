//! The forms of Burn's Flex backend: loops of our own on the CPU, vectorised and parallel, a file for each operation.
//! Beside them what they are made of: tensors as slices of rows, vector arithmetic, products of matrices.

mod adamw;
mod arch;
mod attention;
mod experts;
mod gemm;
mod linear;
mod logits;
mod memory;
mod norm;
mod prepared;
mod rope;
mod router;
mod simd;
mod swiglu;
mod tensor;
#[cfg(test)]
mod tests;

pub(crate) use arch::arch;
pub(crate) use gemm::{
    Matrix, MatrixMut, Packed, Store, Threads, gemm, gemm_nt, gemm_nt_vec, gemm_small, gemm_vec, round,
};
pub(crate) use logits::Sums;
pub use memory::keep_freed_memory;
pub(crate) use simd::{dot, exp, lanewise, lanewise_pairs, largest, sigmoid, total, vectorized};
pub(crate) use tensor::{Floats, Rows, flex, owned, rows_at_once, sized, tensor};
