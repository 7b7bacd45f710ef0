//! Products of matrices in f32 and in bfloat16, and of weights that are packed once. Blocked as in BLIS, whose names the sizes have.
//!
//! A product `C = A B` is computed in register tiles of [`MR`] rows by [`NR`] columns, in which every number of A and B
//! that is loaded serves many multiplications (the *microkernel*). Operands are copied into the order in which tiles
//! read them (*packing*), in pieces that stay in a cache while they are used:
//!
//! - a *panel* of B, [`KC`] by [`NR`], is read from the second-level cache by all rows of a part of the result;
//! - a *block* of A, [`MC`] by [`PACKED_KC`], is packed where its rows cannot be read as they lie.
//!
//! BLIS also packs a block of B of NC columns for the third-level cache. There is none here: each thread packs the
//! panels that it uses, one at a time.
//!
//! Source: Van Zee and van de Geijn, BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS 41(3),
//! 2015, doi:10.1145/2764454; the blocking is that of Goto and van de Geijn, ACM TOMS 34(3), 2008,
//! doi:10.1145/1356052.1356053.

mod bf16;
mod blocked;
mod matrix;
mod microkernel;
mod mixed;
mod nt;
mod packed;
mod prefetch;
mod shared_output;
mod small;
mod transpose;
#[cfg(test)]
mod under_miri;

pub(crate) use bf16::{Number, Operand};
use bf16::{gemm_bf16, gemm_bf16_vec};
pub(crate) use blocked::{gemm, gemm_vec};
pub(crate) use matrix::{Matrix, MatrixMut, Store, Threads};
pub(crate) use mixed::{product, product_vec, with_f32};
pub(crate) use nt::{gemm_nt, gemm_nt_vec};
pub(crate) use packed::{Packed, round};
pub(crate) use small::gemm_small;

/// The most rows of a register tile.
const MR: usize = 8;

/// Columns of a register tile and of a panel: three vectors of AVX-512. With [`MR`] rows they fill 24 of its 32
/// registers with sums.
const NR: usize = 48;

/// The products of a register tile, by row.
type Sums = [[f32; NR]; MR];

/// How much of the inner dimension is multiplied before sums are stored: a panel of it has 144 KiB.
const KC: usize = if cfg!(miri) { 6 } else { 768 };

/// The same where rows are packed, too. Panels are packed for each part then, so a part is better tall than deep: with
/// [`MC`] rows its block of A takes three quarters of a second-level cache of 1 MiB.
const PACKED_KC: usize = if cfg!(miri) { 4 } else { 384 };

/// The most rows of a part where rows are packed.
const MC: usize = 512;
