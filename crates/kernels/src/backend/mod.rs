//! The backends that compute operations by code of their own: a folder for each. All other backends compute the
//! reference compositions. `unsafe` is allowed below this folder and nowhere else in the crate.
//!
//! To add a backend: a folder beside `cpu/` that implements [`Operation`] for each operation, [`Differentiable`] for
//! those with a gradient, and [`Packing`]; and its line in [`with_backends`]. The compiler then names what is missing.
//! What the backend leaves to the reference compositions it says by [`by_reference`]. `cube/` is one that has forms of some
//! operations, for GPUs; `ndarray/` is a small one, which tests with the feature `second-backend` alone compile.

#![cfg_attr(
    feature = "second-backend",
    allow(deprecated, reason = "the second backend of tests, which Burn will remove")
)]

/// Calls a macro with the list of backends that have a folder here, by Burn's names, before the other arguments. One
/// that is compiled in by a feature only has the condition before its name: `#[cfg(feature = "...")] Name`.
macro_rules! with_backends {
    ($macro:ident! $arguments:tt) => {
        $crate::backend::$macro! { [Flex, #[cfg(feature = "cube")] Cube, #[cfg(all(test, feature = "second-backend"))] NdArray] $arguments }
    };
}

pub(crate) use with_backends;

pub(crate) mod cpu;
#[cfg(feature = "cube")]
mod cube;
mod dispatch;
mod int8_moments;
#[cfg(all(test, feature = "second-backend"))]
mod ndarray;
mod operation;
mod packing;

pub use dispatch::disable_fused;
pub(crate) use dispatch::{Form, form, form_where, is_packing};
pub(crate) use int8_moments::{Int8Moments, adamw_int8_of_backend, update_with};
pub(crate) use operation::{Differentiable, Operation, forward_on_graph, keep_inputs, operation};
pub(crate) use packing::{PackedExperts, PackedWeight, Packing, pack_experts, pack_weight, pack_with};
#[cfg(any(feature = "cube", all(test, feature = "second-backend")))]
pub(crate) use {operation::by_reference, packing::packs_nothing};
