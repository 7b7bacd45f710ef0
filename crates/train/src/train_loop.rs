//! The frame of every trainer: a step after the other, and between two of them evaluations, checkpoints and the wish to
//! stop. It refuses to know what a step is.

use crate::{Error, Observer, State, Wish};
use burn::module::Module;

/// How far a run goes, and what is due on the way; 0 stands for never.
#[derive(Clone, Copy, Debug)]
pub struct TrainLoop {
    /// Steps of the run.
    pub max_steps: usize,
    /// Steps between two evaluations; besides, there is one before the first step and one after the last.
    pub eval_steps: usize,
    /// Steps between two checkpoints; besides, there is one after the last step, and one when the run is interrupted.
    pub save_steps: usize,
}

impl TrainLoop {
    /// Takes `state` to `max_steps`, or until the observer is interrupted: then the returned step is smaller, and it was
    /// saved unless it is the one that came in. Where both are due, a step is saved before it is evaluated: what ends an
    /// evaluation costs the evaluation alone, and that is made up for when the run is resumed.
    ///
    /// An evaluation may ask for a checkpoint of its step, and for the end of the run ([`Observer::wish`]): then, too, the
    /// returned step is smaller, and it was saved.
    ///
    /// A state with [`unscored_steps`](State::unscored_steps) is not saved.
    ///
    /// # Errors
    /// Those of a step, and of a checkpoint that the observer could not save.
    pub fn run<E: From<Error>>(
        self,
        mut state: State,
        observer: &mut dyn Observer,
        step: &mut dyn FnMut(State, &mut dyn Observer) -> Result<State, E>,
    ) -> Result<State, E> {
        let is_last = |step: usize| step == self.max_steps;
        let is_evaluated = |step: usize, observer: &dyn Observer| {
            is_last(step) || is_due(step, self.eval_steps) || observer.validates(step)
        };
        let mut wish = Wish::default();
        // Of a step that is resumed from, an earlier process may not have come to the end of it.
        if state.step == 0 || is_evaluated(state.step, observer) {
            observer.evaluate(state.step, &state.policy.valid());
            wish = observer.wish(state.step);
        }
        let mut interrupted = observer.interrupted();
        while state.step < self.max_steps && !interrupted && !wish.stop {
            state = step(state, observer)?;
            let mut is_saved = is_last(state.step) || is_due(state.step, self.save_steps);
            if is_saved {
                save(&state, observer)?;
            }
            if is_evaluated(state.step, observer) {
                observer.evaluate(state.step, &state.policy.valid());
                wish = observer.wish(state.step);
                if (wish.save || wish.stop) && !is_saved {
                    save(&state, observer)?;
                    is_saved = true;
                }
            }
            // Asked once a step: who stops for the answer has saved for it.
            interrupted = observer.interrupted();
            if interrupted && !is_saved {
                save(&state, observer)?;
            }
        }
        Ok(state)
    }
}

fn save(state: &State, observer: &mut dyn Observer) -> Result<(), Error> {
    if state.unscored_steps == 0 { observer.save(state) } else { Ok(()) }
}

/// Whether something that comes every so many steps comes after this one; `every` 0 is never.
pub fn is_due(step: usize, every: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}
