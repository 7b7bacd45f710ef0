//! `grpo.max_staleness`: what is sampled ahead, how old it may be, and what it saves; on an engine in simulated time, and on our
//! own.

mod common;

use common::simulated::{Simulated, TOKENS, Watch, World};
use common::{weights, with_config};
use ruminate_data::{Completion, Problem, Task, Verdict};
use ruminate_grpo::{Config, Error, Trainer, train};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{Metrics, Observer, State, alarms};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

/// Groups of a step, and completions of a group.
const GROUPS: u64 = 2;
const SAMPLES: u64 = 4;

fn config(max_staleness: usize) -> Config {
    Config {
        num_generations: SAMPLES as usize,
        prompts_per_step: GROUPS as usize,
        max_staleness: Some(max_staleness),
        max_mismatch_kl: Some(f64::INFINITY), // the tokens are made up
        ..Config::default()
    }
}

fn problem(index: u64) -> Problem {
    Problem { task: Task::new("", ""), prompt_ids: vec![2, 3 + (index % 4) as u32] }
}

fn evens(_: &Task, completion: &Completion) -> Verdict {
    let even = completion.ids.iter().filter(|id| *id % 2 == 0).count();
    Verdict::wrong(even as f64 / completion.ids.len() as f64)
}

/// A run in a world; its learning takes so many ticks per step.
fn simulate(
    world: &Arc<Mutex<World>>,
    max_staleness: usize,
    steps: usize,
    learning: u64,
) -> (Result<State, Error>, Watch) {
    let mut watch = Watch::new(world, learning);
    let ended = with_config(&config(max_staleness), steps, &alarms::Config::silent(), |state, args| {
        let mut problems = |index| Ok(problem(index));
        train(state, &mut Simulated(Arc::clone(world)), &mut problems, &evens, args, &mut watch)
    });
    (ended, watch)
}

fn tasks(watch: &Watch) -> Vec<u64> {
    watch.groups.iter().map(|group| group.task as u64).collect()
}

fn sum(watch: &Watch, name: &str) -> f64 {
    watch.rows.iter().map(|row| row.get(name).expect("it is measured")).sum()
}

#[test]
fn a_run_takes_as_long_as_the_slower_of_sampling_and_learning() {
    let (steps, rollout) = (20, 100);
    for learning in [60, 100, 150] {
        let took = |max_staleness| {
            let world = World::new((GROUPS * SAMPLES) as usize, rollout);
            simulate(&world, max_staleness, steps, learning).0.expect("it trains");
            world.lock().expect("not poisoned").now
        };
        assert_eq!(took(0), steps as u64 * (rollout + learning), "in turns");
        let slower = steps as u64 * rollout.max(learning);
        for max_staleness in [1, 2, 4] {
            let took = took(max_staleness);
            assert!(
                took * 10 <= slower * 11,
                "{took} ticks at {max_staleness}, the slower side takes {slower}"
            );
        }
    }
}

#[test]
fn what_is_sent_keeps_to_the_capacity_and_is_learned_in_order() {
    for max_staleness in [1, 2, 4] {
        let world = World::new(3, 10);
        let (ended, watch) = simulate(&world, max_staleness, 12, 40);
        let state = ended.expect("it trains");
        assert_eq!(tasks(&watch), (0..12 * GROUPS).collect::<Vec<_>>());
        assert_eq!((state.cursor, state.ahead.len()), (12 * GROUPS, 0), "nothing is sampled for no step");
        let world = world.lock().expect("not poisoned");
        assert_eq!(world.sent.len() as u64, 12 * GROUPS * SAMPLES, "each request is sent once");
        for (number, version) in &world.sent {
            let group = number / SAMPLES;
            assert!(group < (max_staleness as u64 + version + 1) * GROUPS, "{group} at {version}");
        }
        for row in &watch.rows {
            let (mean, max) = (row.get("staleness/mean"), row.get("staleness/max"));
            assert!(max <= Some(max_staleness as f64) && mean <= max, "{mean:?} {max:?}");
        }
        assert!(sum(&watch, "staleness/mean") > 0.0);
        assert_eq!(sum(&watch, "staleness/dropped"), 0.0);
    }
}

#[test]
fn a_straggler_is_waited_for_and_goes_on_with_the_weights_of_the_day() {
    // The first completion of the fourth group takes as long as four steps.
    let slow = 3 * SAMPLES;
    let world = World::new(16, 100);
    world.lock().expect("not poisoned").slow = vec![(slow, 400)];
    let (ended, watch) = simulate(&world, 2, 10, 100);
    ended.expect("it trains");
    assert_eq!(tasks(&watch), (0..10 * GROUPS).collect::<Vec<_>>(), "no group passes another");
    let straggler = &watch.groups[3].completions[0];
    let versions: Vec<u64> = straggler.versions.iter().map(|span| span.version).collect();
    assert!(versions.len() > 1 && versions.is_sorted(), "{:?}", straggler.versions);
    assert_eq!(straggler.versions.last().map(|span| span.tokens.end), Some(TOKENS));
    assert_eq!(sum(&watch, "staleness/dropped"), 0.0);
    // The trainer waits for it once: what comes behind it is there by then.
    let now = world.lock().expect("not poisoned").now;
    assert!(now <= 400 + 10 * 100, "{now}");
}

#[test]
fn groups_of_weights_that_are_too_old_are_dropped_counted_and_replaced() {
    // One completion of group 13 says that weights of ten steps ago sampled it.
    let world = World::new(16, 100);
    world.lock().expect("not poisoned").lies.insert(13 * SAMPLES + 1);
    let (ended, watch) = simulate(&world, 1, 10, 100);
    let expected: Vec<u64> = (0..=10 * GROUPS).filter(|task| *task != 13).collect();
    assert_eq!(tasks(&watch), expected, "the next group takes its place");
    assert_eq!(sum(&watch, "staleness/dropped"), 1.0);
    assert!(watch.rows.iter().all(|row| row.get("staleness/max") <= Some(1.0)));
    assert_eq!(ended.expect("it trains").cursor, 10 * GROUPS + 1);
}

#[test]
fn an_engine_that_gives_old_weights_alone_ends_the_run_with_its_state_saved() {
    struct Turning(Watch);
    impl Observer for Turning {
        fn groups(&mut self, step: usize, groups: &[ruminate_data::Group], advantages: &[Vec<f64>]) {
            if step == 3 {
                self.0.world.lock().expect("not poisoned").all_lie = true;
            }
            self.0.groups(step, groups, advantages);
        }

        fn save(&mut self, state: &State) -> Result<(), ruminate_train::Error> {
            self.0.save(state)
        }
    }
    let world = World::new(16, 100);
    let mut watch = Turning(Watch::new(&world, 100));
    let ended = with_config(&config(1), 10, &alarms::Config::silent(), |state, args| {
        let mut problems = |index| Ok(problem(index));
        train(state, &mut Simulated(Arc::clone(&world)), &mut problems, &evens, args, &mut watch)
    });
    let error = ended.expect_err("it ends");
    assert!(matches!(error, Error::Stale { max_staleness: 1, .. }), "{error}");
    assert!(error.to_string().contains("grpo.max_staleness"), "{error}");
    assert_eq!(watch.0.saved.len(), 1);
}

#[test]
fn an_engine_that_fails_while_the_trainer_learns_ends_the_run_with_its_state_saved() {
    let world = World::new(8, 100);
    world.lock().expect("not poisoned").fails_at = Some(4);
    let (ended, watch) = simulate(&world, 1, 10, 100);
    assert_eq!(ended.expect_err("it is gone").to_string(), "`rollout`: the servers have gone");
    assert_eq!(watch.saved.len(), 1);
    assert!(watch.saved[0] >= 4, "{:?}", watch.saved);
}

/// Rows without what a clock says.
#[derive(Default)]
struct Log(Vec<Metrics>);

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        let mut row = Metrics::default();
        metrics
            .iter()
            .filter(|(name, _)| !name.ends_with("_time_s"))
            .for_each(|(name, value)| row.set(name, value));
        self.0.push(row);
    }
}

/// Steps of our own engine, from a state that `begin` makes of a fresh one.
fn local(config: &Config, steps: usize, until: usize, begin: impl FnOnce(State) -> State) -> (State, Log) {
    with_config(config, steps, &alarms::Config::silent(), |state, args| {
        let mut engine = LocalEngine::new(EngineConfig::default());
        let mut problems = |index| Ok(problem(index));
        let state = begin(state);
        let mut trainer = Trainer::new(state, &mut engine, &mut problems, &evens, *args).expect("valid");
        let mut log = Log::default();
        while trainer.state().expect("no step failed").step < until {
            trainer.step(&mut log).expect("it trains");
        }
        (trainer.into_state().expect("no step failed"), log)
    })
}

#[test]
fn without_staleness_the_rows_are_those_of_a_run_without_the_key() {
    let (zero, zero_log) = local(&config(0), 4, 4, |state| state);
    let (without, log) = local(&Config { max_staleness: None, ..config(0) }, 4, 4, |state| state);
    assert_eq!(zero_log.0, log.0);
    assert_eq!(weights(&zero.policy), weights(&without.policy));
    assert!(log.0.iter().all(|row| row.get("staleness/mean").is_none()));
}

#[test]
fn our_own_engine_samples_ahead_with_the_weights_before_the_update() {
    for max_staleness in [1, 3] {
        let (_, log) = local(&config(max_staleness), 6, 6, |state| state);
        for (step, row) in log.0.iter().enumerate() {
            let age = step.min(max_staleness) as f64;
            assert_eq!((row.get("staleness/mean"), row.get("staleness/max")), (Some(age), Some(age)));
        }
    }
    // The first step's groups are those of no staleness but for their randomness; learning goes on from older ones.
    assert_ne!(
        weights(&local(&config(1), 4, 4, |state| state).0.policy),
        weights(&local(&config(2), 4, 4, |state| state).0.policy)
    );
}

#[test]
fn a_resumed_run_learns_from_what_was_sampled_ahead_bit_by_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    for max_staleness in [1, 2] {
        let config = config(max_staleness);
        let (whole, whole_log) = local(&config, 6, 6, |state| state);
        let (half, _) = local(&config, 6, 3, |state| state);
        assert_eq!(half.ahead.len() as u64, max_staleness as u64 * GROUPS);
        let identity = json!({});
        let companions = Companions { identity: &identity, files: &[] };
        let run = folder.path().join(max_staleness.to_string());
        std::fs::create_dir(&run).expect("made");
        let saved = checkpoint::save(&run, &half, companions, NonZeroUsize::MIN).expect("saved");
        assert!(saved.join("ahead.jsonl").is_file());
        let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
        let load = |_| {
            let device = ruminate_testkit::device();
            checkpoint::load(&saved, &optimizer, &device).expect("loaded").state
        };
        let (resumed, log) = local(&config, 6, 6, load);
        assert_eq!(log.0, whole_log.0[3..], "staleness {max_staleness}");
        assert_eq!(weights(&resumed.policy), weights(&whole.policy));
    }
}

#[test]
fn a_policy_learns_from_old_completions() {
    struct Rewards(Vec<f64>);
    impl Observer for Rewards {
        fn step(&mut self, _: usize, metrics: &Metrics) {
            self.0.extend(metrics.get("reward"));
        }
    }
    let config = Config { num_generations: 8, prompts_per_step: 4, ..config(2) };
    let mut rewards = Rewards(Vec::new());
    with_config(&config, 16, &alarms::Config::silent(), |state, args| {
        let mut engine = LocalEngine::new(EngineConfig::default());
        let mut problems = |index| Ok(problem(index));
        train(state, &mut engine, &mut problems, &evens, args, &mut rewards).expect("it trains")
    });
    let mean = |rows: &[f64]| rows.iter().sum::<f64>() / rows.len() as f64;
    let (first, last) = (mean(&rewards.0[..3]), mean(&rewards.0[13..]));
    assert!(last > first + 0.1, "{first} -> {last}");
}
