//! When alarms are raised, when they are not, and when again.

use super::{Alarm, Alarms, Config, Kind, Limit, Measured};
use crate::Metrics;
use ruminate_testkit as testkit;
use std::fs;

/// A step that is in order: rewards rise, groups differ, completions end.
const GOOD: [(&str, f64); 7] = [
    ("reward", 0.5),
    ("correct", 0.4),
    ("frac_reward_zero_std", 0.2),
    ("completions/clipped_ratio", 0.1),
    ("entropy", 0.8),
    ("unscored", 0.0),
    ("judge_wait_time_s", 0.1),
];

/// What a step has in place of the values of [`GOOD`].
type Departures = [(&'static str, f64)];

fn metrics(departures: &[(&str, f64)]) -> Metrics {
    let mut metrics = Metrics::default();
    metrics.set("step_time_s", 1.0);
    for (name, value) in GOOD.iter().chain(departures) {
        metrics.set(*name, *value);
    }
    metrics
}

fn alarms() -> Alarms {
    Alarms::new(Config::default(), 16)
}

/// The kinds that each step raises.
fn raised<'a>(alarms: &mut Alarms, steps: impl IntoIterator<Item = &'a [(&'a str, f64)]>) -> Vec<Vec<Kind>> {
    let kinds = |alarms: Vec<Alarm>| alarms.into_iter().map(|alarm| alarm.kind).collect();
    steps.into_iter().map(|departures| kinds(alarms.step(&metrics(departures)))).collect()
}

fn first_raised(alarms: &mut Alarms, departures: &[(&str, f64)], steps: usize) -> Option<(usize, Kind)> {
    let raised = raised(alarms, std::iter::repeat_n(departures, steps));
    raised.into_iter().enumerate().find_map(|(at, kinds)| Some((at + 1, *kinds.first()?)))
}

#[test]
fn a_run_in_order_raises_nothing() {
    assert_eq!(first_raised(&mut alarms(), &[], 200), None);
}

#[test]
fn the_embedded_default_and_the_recipe_of_ci_raise_nothing() {
    for (run, steps) in [("default", 160), ("ci", 40)] {
        let log = fs::read_to_string(testkit::fixture_path(&format!("alarms/{run}.jsonl")));
        let mut alarms = Alarms::new(Config::default(), 512);
        let mut count = 0;
        for line in log.expect("a recorded run").lines() {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("a row");
            let mut metrics = Metrics::default();
            for (name, value) in &row {
                metrics.set(name, value.as_f64().unwrap_or(f64::NAN));
            }
            assert_eq!(alarms.step(&metrics), [], "{run}, step {}", row["step"]);
            count += 1;
        }
        assert_eq!(count, steps, "{run}");
    }
}

#[test]
fn each_pattern_raises_its_alarm_after_its_steps() {
    let always: [(&Departures, usize, Kind); 6] = [
        (&[("frac_reward_zero_std", 1.0)], 3, Kind::AllEqual),
        (&[("frac_reward_zero_std", 0.95)], 10, Kind::MostlyEqual),
        (&[("completions/clipped_ratio", 0.51)], 3, Kind::Clipped),
        (&[("unscored", 9.0)], 3, Kind::Unscored),
        (&[("staleness/dropped_ratio", 0.11)], 10, Kind::Stale),
        (&[("judge_wait_time_s", 0.6)], 3, Kind::Judge),
    ];
    for (departures, step, kind) in always {
        assert_eq!(first_raised(&mut alarms(), departures, 30), Some((step, kind)), "{departures:?}");
    }
    // These compare with the first five steps, which were in order.
    for (departures, step, kind) in [
        (&[("reward", 0.4), ("entropy", 0.001)][..], 3, Kind::Entropy),
        (&[("reward", 0.499)], 20, Kind::Reward),
    ] {
        let mut alarms = alarms();
        assert_eq!(first_raised(&mut alarms, &[], 5), None);
        assert_eq!(first_raised(&mut alarms, departures, 30), Some((step, kind)), "{departures:?}");
    }
}

#[test]
fn ten_steps_of_equal_groups_without_a_right_completion_are_their_own_alarm() {
    let stuck: &Departures = &[("frac_reward_zero_std", 1.0), ("correct", 0.0)];
    let told = raised(&mut alarms(), std::iter::repeat_n(stuck, 12));
    assert!(told[9].contains(&Kind::AllWrong), "{told:?}");
    assert_eq!(told.concat().iter().filter(|kind| **kind == Kind::AllWrong).count(), 1);

    // One group that differs, or one right completion, begins the count again; a step without verdicts leaves it.
    let unscored: &Departures = &[("frac_reward_zero_std", f64::NAN), ("correct", f64::NAN)];
    for (between, expected) in [
        (&[("frac_reward_zero_std", 0.9), ("correct", 0.0)][..], 19),
        (&[("frac_reward_zero_std", 1.0), ("correct", 0.1)], 19),
        (unscored, 10),
    ] {
        let steps = [vec![stuck; 9], vec![between], vec![stuck; 10]].concat();
        let told = raised(&mut alarms(), steps);
        let at = told.iter().position(|kinds| kinds.contains(&Kind::AllWrong));
        assert_eq!(at, Some(expected), "{between:?}");
    }
}

#[test]
fn what_is_no_fault_raises_nothing() {
    for departures in [
        &[("frac_reward_zero_std", 0.95), ("correct", 0.9)][..], // solved, not stuck
        &[("reward", 1.1), ("entropy", 0.001)],                  // certain, and right
        &[("completions/clipped_ratio", 0.5)],
        &[("unscored", 8.0)],
        &[("reward", 0.5)],
    ] {
        let mut alarms = alarms();
        first_raised(&mut alarms, &[], 5);
        assert_eq!(first_raised(&mut alarms, departures, 60), None, "{departures:?}");
    }
}

#[test]
fn an_alarm_is_raised_once_and_again_after_a_recovery() {
    let (bad, good): (&Departures, &Departures) = (&[("frac_reward_zero_std", 1.0)], &[]);
    let mut alarms = alarms();
    let raised = raised(&mut alarms, [bad, bad, bad, bad, bad, good, bad, bad, bad]);
    let steps: Vec<usize> = (0..raised.len()).filter(|&at| !raised[at].is_empty()).map(|at| at + 1).collect();
    assert_eq!(steps, [3, 9]);
    assert_eq!(alarms.raised(), [Kind::AllEqual], "as long as it holds");
    alarms.step(&metrics(good));
    assert_eq!(alarms.raised(), []);
}

#[test]
fn one_bad_step_or_two_and_one_apart_raise_nothing() {
    let (bad, good): (&Departures, &Departures) = (&[("frac_reward_zero_std", 1.0), ("unscored", 16.0)], &[]);
    let steps = [bad, bad, good, bad, bad, good, bad];
    assert!(raised(&mut alarms(), steps).iter().all(Vec::is_empty));
}

#[test]
fn steps_without_a_reward_are_neither_high_nor_low() {
    let mut alarms = alarms();
    first_raised(&mut alarms, &[], 5);
    let nothing = [("reward", f64::NAN), ("correct", f64::NAN), ("frac_reward_zero_std", f64::NAN)];
    assert_eq!(first_raised(&mut alarms, &nothing, 60), None);
    assert_eq!(first_raised(&mut alarms, &[("reward", 0.1)], 20), Some((20, Kind::Reward)));
}

#[test]
fn a_silenced_alarm_is_never_raised_and_a_tuned_one_later() {
    let bad = [("frac_reward_zero_std", 1.0), ("completions/clipped_ratio", 0.9), ("unscored", 16.0)];
    let mut silent = Alarms::new(Config::silent(), 16);
    assert_eq!(first_raised(&mut silent, &bad, 50), None);
    let tuned = Config { all_equal: Limit::At(7.0), ..Config::silent() };
    assert_eq!(first_raised(&mut Alarms::new(tuned, 16), &bad, 50), Some((7, Kind::AllEqual)));
}

#[test]
fn the_value_is_that_of_the_metric_or_its_mean_over_the_steps() {
    let mut alarms = alarms();
    let ratios = [0.4, 0.6, 0.8];
    let last = ratios.map(|ratio| alarms.step(&metrics(&[("completions/clipped_ratio", ratio)])));
    let [Alarm { kind: Kind::Clipped, value }] = last[2][..] else { panic!("{last:?}") };
    assert!((value - 0.6).abs() < 1e-12, "{value}");
}

#[test]
fn validation_is_worse_where_it_fell_by_more_than_the_interval_of_the_difference() {
    let measured =
        |pass_at_1: f64, half: f64| Measured { pass_at_1, interval: [pass_at_1 - half, pass_at_1 + half] };
    let before = measured(0.5, 0.03);
    let mut alarms = alarms();
    // sqrt(0.03^2 + 0.04^2) = 0.05
    assert_eq!(alarms.evaluation(before, measured(0.451, 0.04)), None);
    let raised = alarms.evaluation(before, measured(0.449, 0.04));
    assert_eq!(raised, Some(Alarm { kind: Kind::Validation, value: 0.449 }));
    assert_eq!(alarms.evaluation(before, measured(0.4, 0.04)), None, "once");
    assert_eq!(alarms.evaluation(before, measured(0.6, 0.04)), None);
    assert!(alarms.evaluation(before, measured(0.4, 0.04)).is_some(), "again after it recovered");
    let mut silent = Alarms::new(Config::silent(), 16);
    assert_eq!(silent.evaluation(before, measured(0.0, 0.0)), None);
}
