//! What ends a run of GRPO, at which step, and what was saved by then.

mod common;

use burn::tensor::Tensor;
use common::policy;
use ruminate_data::{
    Completion, Outcome, Problem, Prompt, SamplingParams, Score, Seed, SourceError, Stop, Task, Verdict,
};
use ruminate_grpo::{Config, Error, TrainerArgs, train};
use ruminate_model::{Decoder, ParameterMapper};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::alarms::{self, Limit};
use ruminate_train::{Metrics, Observer, State};
use std::sync::atomic::{AtomicUsize, Ordering};

fn problem(index: u64) -> Problem {
    let task =
        Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns: serde_json::Map::new() };
    Problem { task, prompt_ids: vec![2, 3 + (index % 4) as u32] }
}

fn verdict(outcome: Outcome, score: f64, why: &str) -> Verdict {
    let rewards = vec![("even".to_owned(), score), ("length".to_owned(), 3.0)];
    Verdict { outcome, score, extracted: None, why: why.to_owned(), rewards }
}

fn even(completion: &Completion) -> Verdict {
    let share = completion.ids.iter().filter(|id| *id % 2 == 0).count() as f64 / completion.ids.len() as f64;
    verdict(if share > 0.5 { Outcome::Correct } else { Outcome::Wrong }, share, "")
}

/// Completions of a step.
const COMPLETIONS: usize = 8;

/// A judge that has no verdict for the completions of some steps, of which it gets one group of four after the other.
struct Absent {
    judged: AtomicUsize,
    steps: std::ops::Range<usize>,
}

impl Absent {
    fn in_steps(steps: std::ops::Range<usize>) -> Self {
        Self { judged: AtomicUsize::new(0), steps }
    }
}

impl Score for Absent {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        let of_group = |completions: &[Completion]| {
            let judged = self.judged.fetch_add(completions.len(), Ordering::SeqCst);
            let absent = self.steps.contains(&(judged / COMPLETIONS + 1));
            let judge = |completion: &Completion| {
                if absent { verdict(Outcome::Unscored, 0.0, "the judge is gone") } else { even(completion) }
            };
            completions.iter().map(judge).collect()
        };
        groups.iter().map(|(_, completions)| of_group(completions)).collect()
    }

    fn weights(&self) -> Vec<(String, f64)> {
        vec![("even".to_owned(), 1.0)]
    }
}

#[derive(Default)]
struct Log {
    rows: Vec<Metrics>,
    saved: Vec<usize>,
}

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.rows.push(metrics.clone());
    }

    fn save(&mut self, state: &State) -> Result<(), ruminate_train::Error> {
        assert_eq!(state.unscored_steps, 0);
        self.saved.push(state.step);
        Ok(())
    }
}

/// Ten steps, with a checkpoint after every `save_steps`.
fn run(
    policy: Decoder,
    score: &(dyn Score + Sync),
    save_steps: usize,
    alarms: &alarms::Config,
) -> (Result<State, Error>, Log) {
    run_on(&mut |index| Ok(problem(index)), policy, score, save_steps, alarms)
}

/// The same on problems of another source.
fn run_on(
    problems: &mut dyn FnMut(u64) -> Result<Problem, SourceError>,
    policy: Decoder,
    score: &(dyn Score + Sync),
    save_steps: usize,
    alarms: &alarms::Config,
) -> (Result<State, Error>, Log) {
    let config = Config { num_generations: 4, prompts_per_step: 2, ..Config::default() };
    let optimizer = ruminate_train::Config { learning_rate: 1e-3, save_steps, ..Default::default() };
    let setup = TrainerArgs {
        config: &config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 4, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms,
        max_steps: 10,
        seed: Seed::new(5),
    };
    let mut log = Log::default();
    let state = State::fresh(policy, &optimizer);
    let mut engine = LocalEngine::new(EngineConfig::default());
    (train(state, &mut engine, problems, score, &setup, &mut log), log)
}

#[test]
fn three_unscored_steps_end_the_run_and_the_newest_checkpoint_is_from_before_them() {
    for (save_steps, saved) in [(0, vec![4]), (2, vec![2, 4, 4]), (3, vec![3, 4])] {
        let (ended, log) = run(policy(), &Absent::in_steps(5..99), save_steps, &alarms::Config::default());
        match ended {
            Err(Error::Unscored { step: 7, unscored: 8, completions: 8, why }) => {
                assert_eq!(why, "the judge is gone");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(log.saved, saved, "save_steps = {save_steps}");
        assert_eq!(log.rows.len(), 7, "what ends the run has its row");
    }
    // Nothing is saved of a run that never had a verdict.
    let (ended, log) = run(policy(), &Absent::in_steps(1..99), 1, &alarms::Config::default());
    assert!(matches!(ended, Err(Error::Unscored { step: 3, .. })), "{ended:?}");
    assert!(log.saved.is_empty());
}

#[test]
fn a_run_whose_verdicts_come_back_goes_on_and_saves_again() {
    let (state, log) = run(policy(), &Absent::in_steps(5..7), 1, &alarms::Config::default());
    assert_eq!(state.expect("two steps are no pattern").step, 10);
    // Step 4 is due once more before the first unscored step; an observer may skip it.
    assert_eq!(log.saved, [1, 2, 3, 4, 4, 7, 8, 9, 10]);
}

#[test]
fn steps_that_are_all_wrong_end_the_run_also_where_a_checkpoint_lies_between_them() {
    let wrong = |_: &Task, _: &Completion| verdict(Outcome::Wrong, 0.0, "no <answer>");
    let four = alarms::Config { all_wrong: Limit::At(4.0), ..alarms::Config::default() };
    let (ended, log) = run(policy(), &wrong, 3, &four);
    match ended {
        Err(Error::AllWrong { step: 4, in_a_row: 4, completions: 8, why }) => assert_eq!(why, "no <answer>"),
        other => panic!("{other:?}"),
    }
    assert_eq!((log.rows.len(), log.saved), (4, vec![3]), "what ends the run has its row");
    let silent = alarms::Config { all_wrong: Limit::Off, ..alarms::Config::default() };
    assert!(run(policy(), &wrong, 3, &silent).0.is_ok());
    // Wrong, and told apart: groups compare.
    let shaped = |_: &Task, completion: &Completion| verdict(Outcome::Wrong, even(completion).score, "");
    assert!(run(policy(), &shaped, 0, &four).0.is_ok());
}

#[test]
fn a_silenced_alarm_ends_nothing() {
    let silent = alarms::Config { unscored: Limit::Off, ..alarms::Config::default() };
    let (state, log) = run(policy(), &Absent::in_steps(5..99), 5, &silent);
    assert_eq!(state.expect("the alarm is silenced").step, 10);
    assert_eq!(log.saved, [5, 10]);
}

#[test]
fn what_was_not_scored_has_no_reward_and_what_is_no_part_of_the_reward_is_a_measure() {
    let (_, log) = run(policy(), &Absent::in_steps(5..6), 0, &alarms::Config::default());
    for name in ["reward", "reward_std", "correct", "frac_reward_zero_std"] {
        assert!(log.rows[4].get(name).is_some_and(f64::is_nan), "{name} of {:?}", log.rows[4]);
        assert!(log.rows[3].measured(name).is_some(), "{name} of {:?}", log.rows[3]);
    }
    let row = serde_json::to_value(log.rows[4].row(5)).expect("numbers");
    assert!(row["reward"].is_null() && row["unscored"] == 8.0, "{row}");
    assert!(log.rows[3].get("rewards/even/mean").is_some() && log.rows[3].get("rewards/even/std").is_some());
    assert_eq!(log.rows[3].get("measures/length/mean"), Some(3.0));
    assert_eq!(log.rows[3].get("rewards/length/mean"), None);
}

#[test]
fn an_absurd_reward_ends_the_run_before_it_is_learned_from() {
    for absurd in [1e308, f64::INFINITY, f64::NAN] {
        let score = |_: &Task, completion: &Completion| {
            let reward = if completion.ids.len().is_multiple_of(2) { absurd } else { 0.0 };
            verdict(Outcome::Wrong, reward, "")
        };
        let (ended, log) = run(policy(), &score, 1, &alarms::Config::default());
        let Err(Error::Reward { step: 1, component: Some(name), .. }) = &ended else { panic!("{ended:?}") };
        assert_eq!(name, "even");
        assert!(log.rows.is_empty() && log.saved.is_empty());
    }
}

#[test]
fn weights_of_nan_end_the_run_at_its_first_step() {
    struct Damage;
    impl ParameterMapper for Damage {
        fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
            if name == "model.norm.weight" { tensor * f32::NAN } else { tensor }
        }
    }
    let score = |_: &Task, completion: &Completion| even(completion);
    let (ended, log) = run(policy().map_parameters(&mut Damage), &score, 1, &alarms::Config::default());
    let Err(Error::Rollout(error)) = ended else { panic!("{ended:?}") };
    assert!(matches!(error, ruminate_rollout::Error::NotFinite { token: 0, .. }), "{error}");
    assert!(log.rows.is_empty() && log.saved.is_empty());
}

#[test]
fn a_problem_that_cannot_be_had_ends_the_run_with_its_index() {
    let mut problems = |index| if index < 5 { Ok(problem(index)) } else { Err("the file is gone".into()) };
    let (ended, log) =
        run_on(&mut problems, policy(), &Absent::in_steps(99..99), 0, &alarms::Config::silent());
    assert!(matches!(ended, Err(Error::Problem { index: 5, .. })), "{:?}", ended.err());
    assert_eq!(log.rows.len(), 2, "the steps before it are done");
}
