//! What tests of the other crates share: the device they run on, the committed reference numbers of
//! `fixtures/`, and comparisons that say where two results part. A dev-dependency only, so every
//! failure here is a panic that fails the calling test. Knows no model and no algorithm.
//!
//! - [`device`], [`autodiff_device`]: one place names the backend of the tests.
//! - [`fixture_path`], [`json`], [`Tensors`]: the files of `fixtures/`, by their path below it.
//! - [`assert_close`], [`assert_close_relative`], [`floats`]: compare what a tensor holds.

mod close;
mod device;
mod fixture;

pub use close::{Difference, assert_close, assert_close_relative, max_difference};
pub use device::{autodiff_device, device, floats};
pub use fixture::{Tensors, fixture_path, json};
