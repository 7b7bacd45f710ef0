//! The traits of procedural families: what draws problems, and what works them out.

use super::work::{Mistake, Work};
use crate::{Error, Task};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::any::Any;
use std::fmt;

/// A family of procedural problems with its difficulty fixed.
pub trait Family: Any + fmt::Debug + Send + Sync {
    /// The name in recipes (`data.task`).
    fn name(&self) -> &'static str;

    /// The verifier that judges answers; every task carries it in its column `kind`.
    fn verifier_kind(&self) -> &'static str;

    /// The parameters in full, defaults included, for the resolved recipe.
    fn params(&self) -> Value;

    /// Draws one problem.
    ///
    /// # Errors
    /// [`Error::NoProblem`] when the parameters contradict each other in a way that only drawing shows.
    fn generate(&self, rng: &mut ChaCha8Rng) -> Result<Task, Error>;

    /// Whether a completion shows every step of the task's solution, rightly and in order; `None` where the
    /// family does not know what the steps are. Total: no text makes it panic, and it is linear in its length.
    fn shows_all_steps(&self, _task: &Task, _completion: &str) -> Option<bool> {
        None
    }

    /// The family as one that works its tasks out, where it does: then it has [traces](crate::traces).
    fn worked(&self) -> Option<&dyn Worked> {
        None
    }
}

/// A family that works its tasks out in steps.
pub trait Worked: Family {
    /// Works the task out, rightly or with a mistake and what follows from it; `None` where the steps of these
    /// parameters have no written form, or the task is not one of the family's own.
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work>;

    /// An answer without any work: in the form of one, and seldom right. `sigma` is the standard deviation of a guess
    /// around the truth, for families whose guesses lie around it. `None` as for [`work`](Self::work).
    fn guess(&self, task: &Task, sigma: f64, rng: &mut ChaCha8Rng) -> Option<String>;
}
