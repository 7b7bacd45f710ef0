//! What tests of the other crates share: the device they run on, the committed reference numbers of
//! `fixtures/`, and comparisons that say where two results part. A dev-dependency only, so every
//! failure here is a panic that fails the calling test. Knows no model and no algorithm.
//!
//! - `device`, `autodiff_device`: one place names the backend of the tests (feature `tensors`).
//! - [`fixture_path`], [`json`], `Tensors`: the files of `fixtures/`, by their path below it.
//! - [`assert_close`], [`assert_close_relative`], `floats`: compare what a tensor holds.
//! - [`alone`], [`held`]: memory, measured in a process of the test's own.

mod close;
#[cfg(feature = "tensors")]
mod device;
mod fixture;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(feature = "tensors")]
mod tensors;

pub use close::{Difference, assert_close, assert_close_relative, max_difference};
#[cfg(feature = "tensors")]
pub use device::{autodiff_device, device, floats};
pub use fixture::{fixture_path, json};
#[cfg(target_os = "linux")]
pub use memory::{alone, held};
#[cfg(feature = "tensors")]
pub use tensors::Tensors;
