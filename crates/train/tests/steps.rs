//! What happens between two steps of any trainer.

mod common;

use common::decoder;
use ruminate_model::Decoder;
use ruminate_testkit as testkit;
use ruminate_train::{Config, Error, Observer, State, TrainLoop, Wish};
use std::cell::Cell;

/// Asks to stop from the n-th question on, and keeps what it hears.
#[derive(Default)]
struct Record {
    questions: Cell<usize>,
    evaluated: Vec<usize>,
    saved: Vec<usize>,
    /// Both, in their order.
    heard: Vec<String>,
}

impl Observer for Record {
    fn evaluate(&mut self, step: usize, _: &Decoder) {
        self.evaluated.push(step);
        self.heard.push(format!("evaluated {step}"));
    }

    fn save(&mut self, state: &State) -> Result<(), Error> {
        self.saved.push(state.step);
        self.heard.push(format!("saved {}", state.step));
        Ok(())
    }

    fn interrupted(&self) -> bool {
        self.questions.replace(self.questions.get().saturating_sub(1)) == 0
    }
}

/// Goes from a step on, and returns the last one and what was heard. A step is nothing but its number.
fn go(steps: TrainLoop, from: usize, questions: usize) -> (usize, Record) {
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &Config::default());
    let state = State { step: from, ..state };
    let mut record = Record { questions: Cell::new(questions), ..Record::default() };
    let mut step = |state: State, _: &mut dyn Observer| Ok(State { step: state.step + 1, ..state });
    let state = steps.run::<Error>(state, &mut record, &mut step).expect("nothing fails");
    (state.step, record)
}

#[test]
fn what_an_interrupted_run_returns_is_saved_whenever_the_interruption_comes() {
    let steps = TrainLoop { max_steps: 3, eval_steps: 0, save_steps: 0 };
    for questions in 0..8 {
        let (step, record) = go(steps, 0, questions);
        assert_eq!(step, questions.min(3), "interrupted after {questions} questions");
        let saved = if questions > 0 { vec![questions.min(3)] } else { Vec::new() };
        assert_eq!(record.saved, saved, "interrupted after {questions} questions");
    }
}

#[test]
fn evaluations_and_checkpoints_come_when_they_are_due() {
    let steps = TrainLoop { max_steps: 7, eval_steps: 3, save_steps: 2 };
    let (_, record) = go(steps, 0, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![0, 3, 6, 7], vec![2, 4, 6, 7]));
    let (_, record) = go(steps, 4, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![6, 7], vec![6, 7]), "resumed");
    let (_, record) = go(TrainLoop { eval_steps: 0, save_steps: 0, ..steps }, 0, usize::MAX);
    assert_eq!((record.evaluated, record.saved), (vec![0, 7], vec![7]), "0 is never on the way");
}

#[test]
fn a_step_is_saved_before_it_is_evaluated() {
    let steps = TrainLoop { max_steps: 4, eval_steps: 2, save_steps: 2 };
    let (_, record) = go(steps, 0, usize::MAX);
    let heard = ["evaluated 0", "saved 2", "evaluated 2", "saved 4", "evaluated 4"];
    assert_eq!(record.heard, heard);
}

#[test]
fn an_evaluation_that_an_earlier_process_may_not_have_ended_is_asked_for_again() {
    let steps = TrainLoop { max_steps: 4, eval_steps: 2, save_steps: 1 };
    for (from, heard) in [
        (2, &["evaluated 2", "saved 3", "saved 4", "evaluated 4"][..]),
        (3, &["saved 4", "evaluated 4"]),
        (4, &["evaluated 4"]),
    ] {
        let (step, record) = go(steps, from, usize::MAX);
        assert_eq!(step, 4);
        assert_eq!(record.heard, heard, "from step {from}");
    }
}

#[test]
fn steps_that_may_not_count_are_not_saved_and_those_after_them_are() {
    let steps = TrainLoop { max_steps: 6, eval_steps: 0, save_steps: 1 };
    let mut record = Record { questions: Cell::new(usize::MAX), ..Record::default() };
    let mut step = |state: State, _: &mut dyn Observer| {
        let step = state.step + 1;
        let unscored_steps = if (2..=4).contains(&step) { state.unscored_steps + 1 } else { 0 };
        Ok(State { step, unscored_steps, ..state })
    };
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &Config::default());
    steps.run::<Error>(state, &mut record, &mut step).expect("nothing fails");
    assert_eq!(record.saved, [1, 5, 6]);
}

/// Validates every second step, keeps step 4 and stops after step 6.
#[derive(Default)]
struct Choosy(Record);

impl Observer for Choosy {
    fn evaluate(&mut self, step: usize, policy: &Decoder) {
        self.0.evaluate(step, policy);
    }

    fn validates(&self, step: usize) -> bool {
        step.is_multiple_of(2)
    }

    fn wish(&self, step: usize) -> Wish {
        Wish { save: step == 4, stop: step == 6 }
    }

    fn save(&mut self, state: &State) -> Result<(), Error> {
        self.0.save(state)
    }
}

#[test]
fn an_evaluation_keeps_its_step_and_ends_the_run_also_when_it_is_resumed_from_there() {
    let steps = TrainLoop { max_steps: 9, eval_steps: 0, save_steps: 0 };
    for (from, heard) in [
        (0, &["evaluated 0", "evaluated 2", "evaluated 4", "saved 4", "evaluated 6", "saved 6"][..]),
        (5, &["evaluated 6", "saved 6"]),
        (6, &["evaluated 6"]),
    ] {
        let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &Config::default());
        let mut observer = Choosy::default();
        let mut step = |state: State, _: &mut dyn Observer| Ok(State { step: state.step + 1, ..state });
        let state = steps.run::<Error>(State { step: from, ..state }, &mut observer, &mut step);
        assert_eq!(state.expect("nothing fails").step, 6, "from step {from}");
        assert_eq!(observer.0.heard, heard, "from step {from}");
    }
}
