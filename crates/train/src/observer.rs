//! The one way by which trainers speak to the outside: numbers, completions as ids, evaluations, checkpoints. The
//! binary implements it; trainers refuse to know files and terminals.

use crate::{Error, ExpertLoad, Metrics, State};
use ruminate_data::Group;
use ruminate_model::Decoder;

/// Listens to a trainer. Every method has a default that does nothing, and `()` is the observer that does only that.
pub trait Observer {
    /// A step is done; steps count from 1.
    fn step(&mut self, _step: usize, _metrics: &Metrics) {}

    /// The completions of a step with their verdicts and advantages (one a completion, by group), before the
    /// optimizer step.
    fn groups(&mut self, _step: usize, _groups: &[Group], _advantages: &[Vec<f64>]) {}

    /// Tokens by expert, of a step; with a mixture of experts only.
    fn expert_load(&mut self, _step: usize, _load: &ExpertLoad) {}

    /// The policy after the updates of a step whose [`groups`](Self::groups) were shown. It tracks gradients: take
    /// `valid()` of it where something is to be computed, and keep no copy.
    fn updated(&mut self, _step: usize, _policy: &Decoder) {}

    /// Time to evaluate: before the first step (0), every `eval_steps`, and after the last; once more at the step that a run
    /// is resumed from where it is one of these, for an observer that has not heard of its end. `policy` does not track
    /// gradients; keep no copy of it, or the next update cannot happen in place.
    fn evaluate(&mut self, _step: usize, _policy: &Decoder) {}

    /// Whether the observer wants [`evaluate`](Self::evaluate) at a step between those of `eval_steps`.
    fn validates(&self, _step: usize) -> bool {
        false
    }

    /// What the evaluation of this step asks of the trainer; asked after each.
    fn wish(&self, _step: usize) -> Wish {
        Wish::default()
    }

    /// Time to save: every `save_steps`, after the last step, when interrupted, and before steps that may not count. See [`checkpoint::save`](crate::checkpoint::save).
    ///
    /// # Errors
    /// What stops the run: a checkpoint that cannot be written is worth nothing to train on for.
    fn save(&mut self, _state: &State) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the user asked to stop. Asked once before the first step and once after each; the trainer saves and returns.
    fn interrupted(&self) -> bool {
        false
    }

    /// Something a person should see that stops nothing.
    fn warn(&mut self, _message: &str) {}
}

impl Observer for () {}

/// What an evaluation asks of a trainer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Keep a checkpoint of this step: it is the best so far.
    pub save: bool,
    /// Stop after this step, which is saved: the measure has not risen for long enough.
    pub stop: bool,
}
