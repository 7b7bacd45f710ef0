//! The frame of every trainer: a step after the other, and between two of them evaluations, checkpoints and the wish to
//! stop. It refuses to know what a step is.

use crate::{Error, Observer, State};
use burn::module::Module;

/// How far a run goes, and what is due on the way; 0 stands for never.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Steps of the run.
    pub max_steps: usize,
    /// Steps between two evaluations; besides, there is one before the first step and one after the last.
    pub eval_steps: usize,
    /// Steps between two checkpoints; besides, there is one when the run is interrupted.
    pub save_steps: usize,
}

impl Steps {
    /// Takes `state` to `max_steps`, or until the observer is interrupted: then the returned step is smaller, and it was
    /// saved unless it is the one that came in.
    ///
    /// # Errors
    /// Those of a step, and of a checkpoint that the observer could not save.
    pub fn run<E: From<Error>>(
        self,
        mut state: State,
        observer: &mut dyn Observer,
        step: &mut dyn FnMut(State, &mut dyn Observer) -> Result<State, E>,
    ) -> Result<State, E> {
        if state.step == 0 {
            observer.evaluate(0, &state.policy.valid());
        }
        let mut interrupted = observer.interrupted();
        while state.step < self.max_steps && !interrupted {
            state = step(state, observer)?;
            if state.step == self.max_steps || is_due(state.step, self.eval_steps) {
                observer.evaluate(state.step, &state.policy.valid());
            }
            // Asked once a step: who stops for the answer has saved for it.
            interrupted = observer.interrupted();
            if interrupted || is_due(state.step, self.save_steps) {
                observer.save(&state)?;
            }
        }
        Ok(state)
    }
}

/// Whether something that comes every so many steps comes after this one; `every` 0 is never.
pub fn is_due(step: usize, every: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}
