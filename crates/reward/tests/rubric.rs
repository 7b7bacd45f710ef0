//! The weighted sum: outcome, unscored parts, measures, and components that misbehave.

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{Error, Exact, Format, Measure, Response, Rubric, Verifier};

fn task() -> Task {
    Task { prompt: Prompt::Text("1+2=".into()), answer: "3".into(), columns: serde_json::Map::new() }
}

fn measure(name: &str, value: Option<f64>) -> Box<dyn Verifier> {
    Box::new(Measure::new(name, move |_, _| value))
}

/// `exact` + 0.1 `format`, and one more.
fn judge(extra: Box<dyn Verifier>, weight: f64, text: &str) -> Verdict {
    let rubric =
        Rubric::new(vec![(Box::new(Exact), 1.0), (Box::new(Format::default()), 0.1), (extra, weight)]);
    rubric.expect("a valid rubric").verify(&task(), &Response::finished(text))
}

const RIGHT: &str = "<think>a</think><answer>3</answer>";

#[test]
fn the_score_is_the_weighted_sum_and_the_outcome_is_the_primary_s() {
    let verdict = judge(measure("length", Some(0.5)), -0.2, RIGHT);
    assert_eq!((verdict.outcome, verdict.extracted.as_deref()), (Outcome::Correct, Some("3")));
    assert!((verdict.score - (1.0 + 0.1 - 0.1)).abs() < 1e-12, "{}", verdict.score);
    assert_eq!(verdict.rewards, [("exact".into(), 1.0), ("format".into(), 1.0), ("length".into(), 0.5)]);

    let formed_but_wrong = judge(measure("length", Some(0.0)), 1.0, "<think></think><answer>4</answer>");
    assert_eq!((formed_but_wrong.outcome, formed_but_wrong.score), (Outcome::Wrong, 0.1));
}

#[test]
fn a_measure_of_weight_zero_is_reported_and_changes_nothing() {
    let verdict = judge(measure("all_steps", Some(0.25)), 0.0, RIGHT);
    assert_eq!((verdict.score, verdict.reward("all_steps")), (1.1, Some(0.25)));
    let not_applicable = judge(measure("all_steps", None), 0.0, RIGHT);
    assert_eq!(
        (not_applicable.outcome, not_applicable.score, not_applicable.reward("all_steps")),
        (Outcome::Correct, 1.1, None)
    );
}

#[test]
fn a_missing_part_masks_the_whole_and_is_named() {
    let verdict = judge(measure("language", None), 0.5, RIGHT);
    assert_eq!((verdict.outcome, verdict.score), (Outcome::Unscored, 0.0));
    assert!(verdict.why.starts_with("language: "), "{}", verdict.why);
    assert_eq!(verdict.reward("exact"), Some(1.0));
}

#[test]
fn an_unscored_primary_is_unscored_whatever_its_weight() {
    let rubric = Rubric::new(vec![(measure("first", None), 0.0), (Box::new(Exact), 1.0)]);
    let verdict = rubric.expect("a valid rubric").verify(&task(), &Response::finished(RIGHT));
    assert_eq!(verdict.outcome, Outcome::Unscored);
}

#[test]
fn a_score_that_is_no_number_is_unscored() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let verdict = judge(measure("broken", Some(value)), 1.0, RIGHT);
        assert_eq!((verdict.outcome, verdict.score), (Outcome::Unscored, 0.0));
        let watched = judge(measure("broken", Some(value)), 0.0, RIGHT);
        assert_eq!((watched.outcome, watched.score), (Outcome::Correct, 1.1));
        assert_eq!(watched.reward("broken"), None);
    }
    let overflow = judge(measure("huge", Some(f64::MAX)), f64::MAX, RIGHT);
    assert_eq!((overflow.outcome, overflow.score), (Outcome::Unscored, 0.0));
}

#[test]
fn a_verifier_that_panics_leaves_the_sample_unscored_with_its_message() {
    let panicking = Box::new(Measure::new("fragile", |_, response| panic!("at {}", response.text.len())));
    let verdict = judge(panicking, 1.0, RIGHT);
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(verdict.why.contains("fragile panicked: at 34"), "{}", verdict.why);
}

#[test]
fn rubrics_that_mean_nothing_are_refused() {
    assert!(matches!(Rubric::new(Vec::new()).err(), Some(Error::EmptyRubric)));
    let nan = Rubric::new(vec![(Box::new(Exact), f64::NAN)]);
    assert!(matches!(nan.err(), Some(Error::Weight { .. })));
    let twice = Rubric::new(vec![(Box::new(Exact), 1.0), (Box::new(Exact), 1.0)]);
    assert!(matches!(twice.err(), Some(Error::DuplicateComponent { .. })));
}
