//! Processes that train one policy together: where their gradients become one.

use crate::{Error, Gradients};
use std::fmt::Debug;

/// The processes of a run, each with a number. Trainers hand over what a process has accumulated for an update, and step with
/// what comes back, which is the same on all of them.
pub trait Ranks: Debug + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// The sum over all processes. Each of them calls it once per update.
    ///
    /// # Errors
    /// When a process cannot be reached.
    fn sum(&self, gradients: Gradients) -> Result<Gradients, Error>;
}

/// One process: the sum is what it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn sum(&self, gradients: Gradients) -> Result<Gradients, Error> {
        Ok(gradients)
    }
}
