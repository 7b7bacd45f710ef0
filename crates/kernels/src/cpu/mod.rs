//! What the Flex forms are made of: tensors as slices of rows, vector arithmetic, matrix products. Nothing here
//! knows an operation.

mod ahead;
mod arch;
mod matrix;
mod memory;
mod packed;
mod parts;
mod product;
mod simd;
mod small;
mod tensor;
mod tile;
mod times_transposed;
mod transpose;

pub(crate) use arch::arch;
pub(crate) use matrix::{Matrix, MatrixMut, Store, Threads};
pub use memory::keep_freed_memory;
pub use packed::Precision;
pub(crate) use packed::{Packed, round};
pub(crate) use product::{product, product_of};
pub(crate) use simd::{dot, exp, lanewise, lanewise_pairs, largest, sigmoid, total, vectorized};
pub(crate) use small::small_product;
pub(crate) use tensor::{Floats, Rows, flex, owned, rows_at_once, sized, tensor};
pub(crate) use times_transposed::{times_transposed, times_transposed_of};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod under_miri;
