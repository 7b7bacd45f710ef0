//! What the Flex forms are made of: tensors as slices of rows, vector arithmetic, matrix products. Nothing here
//! knows an operation.

mod few_rows;
mod gemm;
mod simd;
mod small;
mod tensor;

pub(crate) use few_rows::{FEW_ROWS, few_rows};
pub(crate) use gemm::{Matrix, MatrixMut, Store, Threads, product};
pub(crate) use simd::{dot, exp, lanewise, largest, sigmoid, total, vectorized};
pub(crate) use small::small_product;
pub(crate) use tensor::{Floats, owned, rows_at_once, tensor};

#[cfg(test)]
mod tests;
