//! What the Flex forms are made of: tensors as slices of rows, vector arithmetic, matrix products. Nothing here
//! knows an operation.

mod gemm;
mod simd;
mod small;
mod tensor;

pub(crate) use gemm::{Matrix, MatrixMut, Store, Threads, product};
<<<<<<< HEAD
pub(crate) use simd::{dot, exp, lanewise, largest, total, vectorized};
pub(crate) use tensor::{Floats, owned, rows_at_once, tensor};
=======
pub(crate) use simd::{dot, exp, lanewise, total, vectorized};
pub(crate) use small::small_product;
pub(crate) use tensor::{Floats, rows_at_once, tensor};
>>>>>>> attn

#[cfg(test)]
mod tests;
