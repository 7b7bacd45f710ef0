//! The pool: the same verdicts as on one thread, and a verifier that hangs costs its own samples only.

use ruminate_data::{FinishReason, Outcome, Prompt, Task, Verdict};
use ruminate_reward::{
    Attempt, Cosine, Exact, Format, Length, Limits, Measure, Pool, Response, ResponseGroup, Rubric, Tokens,
    Verifier,
};
use std::thread::sleep;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_millis(200);

fn group(answer: &str, texts: &[&str]) -> ResponseGroup {
    let attempt = |text: &&str| Attempt {
        text: (*text).to_owned(),
        finish_reason: FinishReason::Stop,
        ids: text.bytes().map(u32::from).collect(),
    };
    ResponseGroup {
        task: Task {
            prompt: Prompt::Text("?".into()),
            answer: answer.into(),
            columns: serde_json::Map::new(),
        },
        prompt: "?".into(),
        attempts: texts.iter().map(attempt).collect(),
    }
}

/// `exact` + 0.1 `format` + 0.5 `length` + 0.2 `cosine`, and a measure of that weight that sleeps for an hour where the
/// text says so.
fn rubric(weight: f64) -> Rubric {
    let sleepy = Measure::new("sleepy", |_, response| {
        if response.text.contains("zzz") {
            sleep(Duration::from_hours(1));
        }
        Some(1.0)
    });
    let verifiers: Vec<(Box<dyn Verifier>, f64)> =
        vec![(Box::new(Exact), 1.0), (Box::new(Format::default()), 0.1), (Box::new(sleepy), weight)];
    let rubric = Rubric::new(verifiers).and_then(|rubric| rubric.with_group_reward(Box::new(Length), 0.5));
    rubric
        .and_then(|rubric| rubric.with_group_reward(Box::new(Cosine::new(100)), 0.2))
        .expect("a valid rubric")
}

fn pool(weight: f64, threads: usize, lost: usize) -> Pool {
    Pool::new(rubric(weight), Limits { threads, lost, deadline: DEADLINE })
}

const AWAKE: [&str; 3] =
    ["<think>a</think><answer>3</answer>", "<answer>3</answer>", "<think>longer</think><answer>4</answer>"];

#[test]
fn the_pool_says_what_the_rubric_says_in_the_same_order() {
    let groups = || vec![group("3", &AWAKE), group("4", &AWAKE), group("3", &[])];
    let expected: Vec<Vec<Verdict>> = groups()
        .iter()
        .map(|group| {
            let responses: Vec<Response<'_>> = group
                .attempts
                .iter()
                .map(|attempt| Response {
                    tokens: Tokens::Ids(&attempt.ids),
                    prompt: "?",
                    ..Response::finished(&attempt.text)
                })
                .collect();
            rubric(1.0).verify_group(&group.task, &responses)
        })
        .collect();
    assert_eq!(expected[0][0].outcome, Outcome::Correct);
    assert_eq!(expected[1][0].outcome, Outcome::Wrong);
    for threads in [1, 2, 5] {
        assert_eq!(pool(1.0, threads, 0).verify(groups()), expected, "{threads} threads");
    }
}

#[test]
fn a_verifier_that_sleeps_leaves_its_samples_unscored_at_the_deadline() {
    let pool = pool(1.0, 2, 8);
    let started = Instant::now();
    let verdicts =
        pool.verify(vec![group("3", &[AWAKE[0], "zzz", AWAKE[1]]), group("4", &["zzz", AWAKE[2]])]);
    assert!(started.elapsed() < DEADLINE * 20, "{:?}", started.elapsed());
    let outcomes: Vec<Vec<Outcome>> =
        verdicts.iter().map(|group| group.iter().map(|verdict| verdict.outcome).collect()).collect();
    assert_eq!(
        outcomes,
        [
            vec![Outcome::Correct, Outcome::Unscored, Outcome::Correct],
            vec![Outcome::Unscored, Outcome::Correct]
        ]
    );
    assert_eq!(verdicts[0][1].why, "sleepy: took longer than 200ms");
    assert_eq!(verdicts[0][1].reward("exact"), Some(0.0), "what the others said is kept");
    assert_eq!(
        pool.verify(vec![group("3", &AWAKE[..1])])[0][0].outcome,
        Outcome::Correct,
        "the pool lives on"
    );
}

#[test]
fn a_measure_of_weight_zero_that_sleeps_masks_nothing() {
    let verdicts = pool(0.0, 1, 1).verify(vec![group("3", &["zzz<answer>3</answer>"])]);
    assert_eq!((verdicts[0][0].outcome, verdicts[0][0].reward("sleepy")), (Outcome::Correct, None));
}

#[test]
fn beyond_the_bound_of_lost_threads_samples_are_unscored_without_waiting() {
    let pool = pool(1.0, 1, 0);
    assert_eq!(pool.verify(vec![group("3", &["zzz"])])[0][0].outcome, Outcome::Unscored);
    let started = Instant::now();
    let verdict = &pool.verify(vec![group("3", &AWAKE[..1])])[0][0];
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
    assert_eq!(verdict.why, "exact: not judged: every thread hangs in a verifier");
}
