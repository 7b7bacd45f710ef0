//! Dynamic sampling: groups with equal rewards are replaced, a bound ends it, and a resumed run asks what the whole one asks;
//! the weight of an entropy bonus that follows a target survives a checkpoint as well.

mod common;

use common::{policy, weights};
use ruminate_data::{Completion, Problem, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::{Config, StepReport, Trainer, TrainerArgs};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{State, alarms};
use serde_json::json;
use std::num::NonZeroUsize;

/// Every third problem has rewards that differ, the others' are all 1.
fn every_third(task: &Task, completion: &Completion) -> Verdict {
    let index: u64 = task.answer.parse().expect("an index");
    if index.is_multiple_of(3) {
        Verdict::wrong(completion.logprobs.iter().map(|&logprob| f64::from(logprob)).sum())
    } else {
        Verdict::correct(1.0)
    }
}

/// All rewards are 0.
fn nothing(_: &Task, _: &Completion) -> Verdict {
    Verdict::wrong(0.0)
}

type Reward = fn(&Task, &Completion) -> Verdict;

/// What steps `from..to` of a run of four did, and the problems that they asked; `between` may exchange the state after any.
fn run(
    config: &Config,
    reward: Reward,
    between: impl Fn(State) -> State,
) -> (State, Vec<StepReport>, Vec<u64>) {
    let optimizer = ruminate_train::Config { learning_rate: 1e-4, ..Default::default() };
    let args = TrainerArgs {
        config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 4, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms: &alarms::Config::default(),
        max_steps: 4,
        seed: Seed::new(5),
    };
    let (mut state, mut reports, mut asked) = (State::fresh(policy(), &optimizer), Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut problems = |index: u64| {
            asked.push(index);
            Ok(Problem {
                task: Task::new("", index.to_string()),
                prompt_ids: vec![2, 3 + (index % 4) as u32],
            })
        };
        let mut engine = LocalEngine::new(EngineConfig::default());
        let mut trainer = Trainer::new(state, &mut engine, &mut problems, &reward, args).expect("valid");
        reports.push(trainer.step(&mut ()).expect("it trains"));
        state = between(trainer.into_state().expect("no step failed"));
    }
    (state, reports, asked)
}

fn config(filter_groups: Option<bool>, max_num_gen_batches: Option<usize>) -> Config {
    Config {
        num_generations: 4,
        prompts_per_step: 2,
        filter_groups,
        max_num_gen_batches,
        ..Config::default()
    }
}

/// The state as a checkpoint gives it back.
fn through_a_checkpoint(state: State) -> State {
    let folder = tempfile::tempdir().expect("a folder");
    let companions = Companions { identity: &json!({}), files: &[] };
    let path = checkpoint::save(folder.path(), &state, companions, NonZeroUsize::MIN).expect("saved");
    let config = ruminate_train::Config { learning_rate: 1e-4, ..Default::default() };
    checkpoint::load(&path, &config, &testkit::device()).expect("loaded").state
}

#[test]
fn groups_with_equal_rewards_are_replaced_until_the_batch_is_full() {
    let (state, reports, asked) = run(&config(Some(true), None), every_third, |state| state);
    // 0, 1 of which 0 stays, then 2, then 3; and so on: three problems for each that stays, but for the first.
    assert_eq!(asked, (0..22).collect::<Vec<u64>>());
    let tasks: Vec<Vec<usize>> =
        reports.iter().map(|report| report.groups.iter().map(|group| group.task).collect()).collect();
    assert_eq!(tasks, [[0, 3], [6, 9], [12, 15], [18, 21]]);
    for (report, rounds) in reports.iter().zip([3.0, 4.0, 4.0, 4.0]) {
        let of = |name: &str| report.metrics.get(&format!("filter_groups/{name}"));
        assert_eq!(of("unfilled"), Some(0.0));
        assert!(of("num_gen_batches").is_some_and(|found| found >= rounds), "{:?}", of("num_gen_batches"));
        assert!(of("sampled_reward").is_some_and(|all| all > report.metrics.get("reward").expect("scored")));
        assert_eq!(report.metrics.get("frac_reward_zero_std"), Some(0.0));
    }
    let replaced: f64 =
        reports.iter().filter_map(|report| report.metrics.get("filter_groups/replaced")).sum();
    assert_eq!((replaced, state.cursor), (14.0, 22));
}

#[test]
fn the_bound_ends_a_step_that_finds_nothing_and_the_run_goes_on() {
    let (state, reports, asked) = run(&config(Some(true), Some(3)), nothing, |state| state);
    assert_eq!((asked.len(), state.cursor), (24, 24), "three rounds of two, four times");
    for report in &reports {
        let of = |name: &str| report.metrics.get(&format!("filter_groups/{name}"));
        assert_eq!(
            (of("num_gen_batches"), of("replaced"), of("unfilled")),
            (Some(3.0), Some(4.0), Some(2.0))
        );
        assert_eq!((report.groups.len(), report.metrics.get("frac_reward_zero_std")), (2, Some(1.0)));
    }
    assert_eq!(
        reports[0].groups.iter().map(|group| group.task).collect::<Vec<_>>(),
        [0, 1],
        "the first ones"
    );
}

#[test]
fn without_it_nothing_is_replaced_and_a_run_that_finds_no_equal_group_is_the_same() {
    let (plain, reports, asked) = run(&config(None, None), every_third, |state| state);
    assert_eq!((asked.len(), plain.cursor), (8, 8));
    assert_eq!(reports[0].metrics.get("filter_groups/num_gen_batches"), None);
    let differ: Reward =
        |_, completion| Verdict::wrong(completion.logprobs.iter().map(|&l| f64::from(l)).sum());
    let (plain, _, _) = run(&config(None, None), differ, |state| state);
    let (filtered, _, _) = run(&config(Some(true), None), differ, |state| state);
    assert_eq!(plain.cursor, filtered.cursor);
    assert!(weights(&plain.policy) == weights(&filtered.policy));
}

#[test]
fn a_run_that_is_resumed_at_every_step_asks_and_learns_the_same() {
    let config = config(Some(true), Some(4));
    let (whole, _, asked) = run(&config, every_third, |state| state);
    let (resumed, _, again) = run(&config, every_third, through_a_checkpoint);
    assert_eq!(asked, again);
    assert!(weights(&whole.policy) == weights(&resumed.policy));
    assert_eq!((whole.cursor, whole.num_tokens), (resumed.cursor, resumed.num_tokens));
}

#[test]
fn the_weight_of_an_adaptive_entropy_bonus_survives_a_checkpoint() {
    let config = Config {
        entropy_coef: Some(0.01),
        entropy_target: Some(10.0),
        entropy_coef_delta: Some(0.004),
        ..config(None, None)
    };
    let weight = |report: &StepReport| report.metrics.get("entropy_coef").expect("a bonus");
    let (whole, reports, _) = run(&config, every_third, |state| state);
    let (resumed, again, _) = run(&config, every_third, through_a_checkpoint);
    let weights_of: Vec<f64> = reports.iter().map(weight).collect();
    assert!(weights_of.windows(2).all(|pair| pair[0] != pair[1]), "it moves: {weights_of:?}");
    assert_eq!(weights_of, again.iter().map(weight).collect::<Vec<_>>());
    assert_eq!(whole.entropy_control, resumed.entropy_control);
    assert!(resumed.entropy_control.is_some_and(|control| control.coef > 0.01));
    assert!(weights(&whole.policy) == weights(&resumed.policy));
    // A state that forgets the weight learns something else: the test sees what it is for.
    let (forgetful, _, _) = run(&config, every_third, |state| State { entropy_control: None, ..state });
    assert!(weights(&whole.policy) != weights(&forgetful.policy));
}
