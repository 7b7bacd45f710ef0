//! What the Flex forms are made of: tensors as slices of rows, vector arithmetic, matrix products. Nothing here
//! knows an operation.

mod arch;
mod gemm;
mod gemm_nt;
mod gemm_small;
mod matrix;
mod memory;
mod microkernel;
mod packed;
mod prefetch;
mod shared_output;
mod simd;
mod tensor;
mod transpose;

pub(crate) use arch::arch;
pub(crate) use gemm::{product, product_of};
pub(crate) use gemm_nt::{times_transposed, times_transposed_of};
pub(crate) use gemm_small::small_product;
pub(crate) use matrix::{Matrix, MatrixMut, Store, Threads};
pub use memory::keep_freed_memory;
pub use packed::Precision;
pub(crate) use packed::{Packed, round};
pub(crate) use simd::{dot, exp, lanewise, lanewise_pairs, largest, sigmoid, total, vectorized};
pub(crate) use tensor::{Floats, Rows, flex, owned, rows_at_once, sized, tensor};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod under_miri;
