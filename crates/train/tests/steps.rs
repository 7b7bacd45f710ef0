//! What happens between two steps of any trainer.

mod common;

use common::decoder;
use ruminate_model::Decoder;
use ruminate_testkit as testkit;
use ruminate_train::{Config, Error, Observer, State, Steps};
use std::cell::Cell;

/// Asks to stop from the n-th question on, and keeps what it hears.
#[derive(Default)]
struct Record {
    questions: Cell<usize>,
    evaluated: Vec<usize>,
    saved: Vec<usize>,
}

impl Observer for Record {
    fn evaluate(&mut self, step: usize, _: &Decoder) {
        self.evaluated.push(step);
    }

    fn save(&mut self, state: &State) -> Result<(), Error> {
        self.saved.push(state.step);
        Ok(())
    }

    fn interrupted(&self) -> bool {
        self.questions.replace(self.questions.get().saturating_sub(1)) == 0
    }
}

/// Goes from a step on, and returns the last one and what was heard. A step is nothing but its number.
fn go(steps: Steps, from: usize, questions: usize) -> (usize, Record) {
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &Config::default());
    let state = State { step: from, ..state };
    let mut record = Record { questions: Cell::new(questions), ..Record::default() };
    let mut step = |state: State, _: &mut dyn Observer| Ok(State { step: state.step + 1, ..state });
    let state = steps.run::<Error>(state, &mut record, &mut step).expect("nothing fails");
    (state.step, record)
}

#[test]
fn what_an_interrupted_run_returns_is_saved_whenever_the_interruption_comes() {
    let steps = Steps { max_steps: 3, eval_steps: 0, save_steps: 0 };
    for questions in 0..8 {
        let (step, record) = go(steps, 0, questions);
        assert_eq!(step, questions.min(3), "interrupted after {questions} questions");
        let saved = if (1..=3).contains(&questions) { vec![questions] } else { Vec::new() };
        assert_eq!(record.saved, saved, "interrupted after {questions} questions");
    }
}

#[test]
fn evaluations_and_checkpoints_come_when_they_are_due() {
    let steps = Steps { max_steps: 7, eval_steps: 3, save_steps: 2 };
    let (_, record) = go(steps, 0, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![0, 3, 6, 7], vec![2, 4, 6]));
    let (_, record) = go(steps, 4, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![6, 7], vec![6]), "resumed");
    let (_, record) = go(Steps { eval_steps: 0, save_steps: 0, ..steps }, 0, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![0, 7], Vec::new()), "0 is never");
}
