//! The forms of Burn's Flex backend: loops of our own on the CPU, vectorised and parallel, a file for each operation.
//! Beside them what they are made of: tensors as slices of rows, vector arithmetic, products of matrices.

mod adamw;
mod adamw_int8;
mod arch;
mod attention;
mod compute_dtype;
mod embedding;
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
pub(crate) use compute_dtype::compute_dtype;
pub(crate) use gemm::{
    Matrix, MatrixMut, Number, Operand, Packed, Store, Threads, gemm_nt, gemm_nt_vec, gemm_small, gemm_vec,
    product, product_vec, round, with_f32,
};
pub(crate) use logits::Sums;
pub use memory::keep_freed_memory;
pub(crate) use simd::{dot, exp, lanewise, lanewise_pairs, largest, sigmoid, total, vectorized};
pub(crate) use tensor::{Floats, Numbers, Rows, flex, in_bf16, in_f32, owned, rows_at_once, sized, tensor};
