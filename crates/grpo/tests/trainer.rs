//! The trainer one step at a time: it does what a run does, and a step that failed is the last.

mod common;

use common::{weights, with_args};
use ruminate_data::{Completion, Problem, Task, Verdict};
use ruminate_grpo::{Error, Trainer, TrainerArgs, train};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::{Error as Train, Gradients, Ranks, RouterTraining, State, alarms};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands `run` what a trainer of four steps needs.
fn with_setup<T>(run: impl FnOnce(State, &mut LocalEngine, &TrainerArgs) -> T) -> T {
    with_args(4, &alarms::Config::default(), |state, args| {
        run(state, &mut LocalEngine::new(EngineConfig::default()), args)
    })
}

fn evens(_: &Task, completion: &Completion) -> Verdict {
    let even = completion.ids.iter().filter(|id| *id % 2 == 0).count();
    Verdict::wrong(even as f64 / completion.ids.len() as f64)
}

fn problem(index: u64) -> Problem {
    Problem { task: Task::new("", ""), prompt_ids: vec![2, 3 + (index % 4) as u32] }
}

#[test]
fn steps_one_by_one_are_those_of_a_run() {
    let whole = with_setup(|state, engine, setup| {
        let mut problems = |index| Ok(problem(index));
        train(state, engine, &mut problems, &evens, setup, &mut ()).expect("it trains")
    });
    with_setup(|state, engine, setup| {
        let mut problems = |index| Ok(problem(index));
        let mut trainer = Trainer::new(state, engine, &mut problems, &evens, *setup).expect("valid");
        for step in 1..=4 {
            let report = trainer.step(&mut ()).expect("it trains");
            assert_eq!(report.step, step);
            assert_eq!((report.groups.len(), report.advantages.len()), (2, 2));
            assert!(report.groups.iter().all(|group| group.completions.len() == 4));
            assert!(report.metrics.get("reward").is_some());
            assert_eq!(trainer.state().expect("no step failed").step, step);
        }
        let state = trainer.into_state().expect("no step failed");
        assert_eq!(state.cursor, whole.cursor);
        assert_eq!(weights(&state.policy), weights(&whole.policy));
    });
}

#[test]
fn a_step_that_failed_is_the_last_of_its_trainer() {
    with_setup(|state, engine, setup| {
        let mut problems =
            |index| if index < 2 { Ok(problem(index)) } else { Err("the file is gone".into()) };
        let mut trainer = Trainer::new(state, engine, &mut problems, &evens, *setup).expect("valid");
        trainer.step(&mut ()).expect("two problems are there");
        assert!(matches!(trainer.step(&mut ()), Err(Error::Problem { index: 2, .. })));
        assert!(trainer.state().is_none());
        assert!(matches!(trainer.step(&mut ()), Err(Error::Spent)));
        assert!(matches!(trainer.run(&mut ()), Err(Error::Spent)));
    });
}

/// Other processes that cancel every gradient, until they are gone.
#[derive(Debug, Default)]
struct Cancelling {
    asked: AtomicUsize,
    gone_after: usize,
}

impl Ranks for Cancelling {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        2
    }

    fn sum(&self, gradients: Gradients) -> Result<Gradients, Train> {
        assert!(!gradients.is_empty());
        if self.asked.fetch_add(1, Ordering::Relaxed) == self.gone_after {
            return Err(Train::Ranks { source: "rank 1 has gone".into() });
        }
        Ok(Gradients::new(RouterTraining::Update))
    }
}

#[test]
fn an_update_is_by_what_the_processes_have_together() {
    with_setup(|state, engine, setup| {
        let before = weights(&state.policy);
        let ranks = Cancelling { gone_after: 2, ..Cancelling::default() };
        let mut problems = |index| Ok(problem(index));
        let trainer = Trainer::new(state, engine, &mut problems, &evens, *setup).expect("valid");
        let mut trainer = trainer.with_ranks(&ranks);
        for _ in 0..2 {
            trainer.step(&mut ()).expect("both are there");
            assert_eq!(
                weights(&trainer.state().expect("no step failed").policy),
                before,
                "nothing is left to learn"
            );
        }
        let gone = trainer.step(&mut ()).expect_err("one has gone");
        assert_eq!(gone.to_string(), "processes that train together: rank 1 has gone");
    });
}
