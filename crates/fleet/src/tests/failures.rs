//! The table of failures, row by row: what a server does, and what becomes of the requests.

use super::{Plan, Scene, requests};
use crate::double::{Double, Fault};
use crate::{Config, Error, Event};
use ruminate_data::{Completion, FinishReason};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// One sound server whose next completions go wrong like this.
fn one(faults: &[Fault]) -> Scene {
    with(faults, Plan::default().config)
}

fn with(faults: &[Fault], config: Config) -> Scene {
    let scene = Plan { count: 1, config, ..Plan::default() }.ready();
    scene.doubles[0].script().faults.extend(faults.iter().cloned());
    scene.events();
    scene
}

// A server dies.

#[test]
fn a_server_that_dies_with_requests_in_flight_is_down_and_the_others_answer() {
    let mut scene = Plan::default().ready();
    let before = scene.sound(requests(12, 4), 0).0;
    let slow = Fault::Slow(Duration::from_millis(300));
    scene.doubles.iter().for_each(|double| double.script().always = Some(slow.clone()));
    let (completions, tally) = std::thread::scope(|scope| {
        let double = &scene.doubles[1];
        scope.spawn(|| {
            while double.script().in_flight < 4 {
                std::thread::sleep(Duration::from_millis(1));
            }
            double.die();
        });
        let mut completions: Vec<Option<Completion>> = vec![None; 48];
        let tally = scene.fleet.generate(requests(12, 4), &mut |request: usize, completion: Completion| {
            completions[request] = Some(completion);
            ControlFlow::Continue(())
        });
        (completions, tally.expect("the others answer"))
    });
    assert!(tally.again >= 4 && tally.lost == 0, "{tally:?}");
    let completions: Vec<Completion> = completions.into_iter().map(|done| done.expect("finished")).collect();
    for completion in &completions {
        scene.is_of(completion, 0);
    }
    let same = completions.iter().zip(&before).filter(|(now, before)| now == before).count();
    assert_eq!(same, 48 - tally.again, "a fresh sample where the first was lost, and the same elsewhere");
    assert!(scene.downs().iter().any(|why| why.contains("sampling")));
}

#[test]
fn where_none_is_left_for_too_long_the_call_ends() {
    let config = Config { patience_s: 0.5, ..Plan::default().config };
    for dying in [Fault::Hangup, Fault::Status(503), Fault::Truncated] {
        let mut scene = with(std::slice::from_ref(&dying), config.clone());
        let started = Instant::now();
        let outcome = std::thread::scope(|scope| {
            let double = &scene.doubles[0];
            scope.spawn(|| {
                while !double.script().faults.is_empty() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                double.die();
            });
            scene.fleet.generate(requests(1, 2), &mut |_: usize, _: Completion| ControlFlow::Continue(()))
        });
        match outcome {
            Err(Error::NoServer { states, .. }) => assert!(states.contains("127.0.0.1"), "{states}"),
            // The second request may have been answered before the server died.
            other => panic!("{dying:?}: {other:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_dead_server_that_comes_back_with_old_weights_gets_the_current_ones_before_any_work() {
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    scene.publish(1).expect("published");
    scene.doubles[0].die();
    let completions = std::thread::scope(|scope| {
        let double = &scene.doubles[0];
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            double.start_again().expect("its port");
        });
        let mut completions = Vec::new();
        scene
            .fleet
            .generate(requests(2, 2), &mut |_: usize, completion: Completion| {
                completions.push(completion);
                ControlFlow::Continue(())
            })
            .expect("it came back");
        completions
    });
    assert_eq!(completions.len(), 4);
    for completion in &completions {
        scene.is_of(completion, 1);
    }
    assert_eq!(scene.doubles[0].script().label, "run:1");
}

// Stale weights.

#[test]
fn a_server_started_again_between_two_calls_gives_itself_away_and_nothing_stale_is_handed_over() {
    let mut scene = Plan::default().ready();
    scene.publish(1).expect("published");
    scene.doubles[0].die();
    scene.doubles[0].start_again().expect("its port"); // too quick for any request to meet a closed port
    let (_, tally) = scene.sound(requests(12, 2), 1);
    assert!(tally.stale > 0, "{tally:?}");
    assert!(
        scene
            .events()
            .contains(&Event::Stale { server: scene.doubles[0].url(), found: "default".to_owned() })
    );
    while !scene.fleet.servers[0].is_ready() {
        scene.sound(requests(1, 1), 1);
    }
    assert_eq!(scene.doubles[0].script().label, "run:1");
}

/// One server without the route that has versions, started again with old weights.
fn fallback_with_old_weights() -> Scene {
    let before = |doubles: &[Double]| doubles[0].script().has_token_route = false;
    let scene = Plan { count: 1, before, ..Plan::default() }.ready();
    scene.doubles[0].die();
    scene.doubles[0].start_again().expect("its port");
    scene
}

#[test]
fn the_fallback_without_versions_asks_for_the_label_behind_each_answer() {
    let mut scene = fallback_with_old_weights();
    let (_, tally) = scene.sound(requests(2, 2), 0);
    assert!(tally.stale > 0, "{tally:?}");
}

#[test]
fn an_answer_of_old_weights_stays_one_when_the_push_comes_before_its_label_is_asked_for() {
    let mut scene = fallback_with_old_weights();
    // The first answer gives the old weights away; the push that follows cuts the others short.
    let slow = Fault::Slow(Duration::from_secs(2));
    scene.doubles[0].script().faults.extend([Fault::Slow(Duration::ZERO), slow.clone(), slow.clone(), slow]);
    let (_, tally) = scene.sound(requests(2, 2), 0);
    assert_eq!(tally.stale, 4, "{tally:?}");
}

#[test]
fn a_server_that_names_other_weights_whatever_is_pushed_ends_as_none() {
    let config = Config { patience_s: 1.0, ..Plan::default().config };
    for label in ["run:7", "other:0", ""] {
        let mut scene = with(&[], config.clone());
        scene.doubles[0].script().always = Some(Fault::Label(label.to_owned()));
        let outcome = scene.generate(requests(1, 1));
        assert!(matches!(outcome, Err(Error::NoServer { .. })), "{outcome:?}");
        assert!(scene.doubles[0].script().count("/collective_rpc") > 1, "it was given another chance");
    }
}

#[test]
fn answers_for_a_run_that_died_are_no_answers_for_the_next() {
    // The servers have weights of this run's step 0 under a label of another run.
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    scene.doubles[0].script().label = "earlier:0".to_owned();
    let (_, tally) = scene.sound(requests(1, 1), 0);
    assert_eq!(tally.stale, 1);
}

// Numbers that are none.

#[test]
fn few_absent_log_probabilities_weigh_nothing_and_many_are_asked_for_again() {
    let mut scene = one(&[Fault::Absent(1000)]);
    let mut long = requests(1, 1);
    long[0].sampling.max_new_tokens = 300;
    long[0].stop = ruminate_data::Stop::default();
    let (completions, tally) = scene.sound(long, 0);
    assert_eq!((tally.absent, tally.again), (1, 0));
    assert!(completions[0].logprobs[0].is_nan() && completions[0].logprobs[1].is_finite());
    for fault in [Fault::Absent(2), Fault::Null(3)] {
        let mut scene = one(&[fault]);
        let (completions, tally) = scene.sound(requests(1, 1), 0);
        assert_eq!((tally.absent, tally.again), (0, 1));
        assert!(completions[0].logprobs.iter().all(|number| number.is_finite()));
        assert!(scene.downs().is_empty());
    }
}

#[test]
fn three_such_answers_in_a_row_take_a_server_down() {
    let mut scene = one(&vec![Fault::Absent(1); 3]);
    let (_, tally) = scene.sound(requests(1, 1), 0);
    assert_eq!(tally.again, 3);
    assert_eq!(scene.downs(), ["three answers in a row without log-probabilities (NaN)"]);
}

#[test]
fn a_request_that_is_never_answered_with_sense_is_given_up_as_a_completion_without_tokens() {
    let config = Config { max_retries: 2, ..Plan::default().config };
    let mut scene = with(&[], config);
    scene.doubles[0].script().always = Some(Fault::Null(1));
    let (completions, tally) = scene.generate(requests(1, 1)).expect("given up");
    let completion = completions[0].as_ref().expect("handed over");
    assert!(completion.ids.is_empty() && completion.finish_reason == FinishReason::Length);
    assert_eq!((tally.lost, tally.again, tally.completions), (1, 2, 0));
    assert!(scene.events().iter().any(|event| matches!(event, Event::Lost { request: 0, .. })));
}

// Answers that make no sense.

#[test]
fn malformed_and_inconsistent_answers_count_as_failures_and_are_asked_for_again() {
    for fault in [
        Fault::Body(b"<html>".to_vec()),
        Fault::Body(vec![b'1'; 4096]),
        Fault::Status(500),
        Fault::Status(302),
        Fault::FewLogprobs,
        Fault::FewTokens,
        Fault::WrongId,
        Fault::Positive,
        Fault::Body(Vec::new()),
    ] {
        let mut scene = one(std::slice::from_ref(&fault));
        let (_, tally) = scene.sound(requests(1, 1), 0);
        assert_eq!((tally.again, tally.lost), (1, 0), "{fault:?}");
        assert!(scene.downs().is_empty(), "{fault:?}: once is not enough");
        let config = Config { patience_s: 2.0, ..Plan::default().config }; // and so are pauses of servers that are down
        let mut scene = with(&vec![fault.clone(); 3], config);
        scene.sound(requests(1, 1), 0);
        assert_eq!(scene.downs().len(), 1, "{fault:?}: three in a row are");
    }
}

#[test]
fn an_answer_that_is_too_large_is_a_failure() {
    let mut scene = one(&[Fault::Body(vec![b' '; crate::http::MAX_ANSWER as usize + 10])]);
    let (_, tally) = scene.sound(requests(1, 1), 0);
    assert_eq!(tally.again, 1);
}

#[test]
fn a_busy_server_is_asked_for_the_same_sample_later() {
    let mut scene = one(&[]);
    let before = scene.sound(requests(2, 2), 0).0;
    scene.doubles[0].script().faults.extend(vec![Fault::Status(429); 6]);
    let (after, tally) = scene.sound(requests(2, 2), 0);
    assert_eq!((after, tally.again, tally.lost), (before, 6, 0));
    assert!(scene.downs().is_empty(), "too much to do is no failure");
}

#[test]
fn a_request_that_a_server_refuses_ends_the_call_with_what_it_said() {
    let mut scene = one(&[Fault::Status(400)]);
    let outcome = scene.generate(requests(1, 1));
    assert!(
        matches!(&outcome, Err(Error::Request { status: 400, message, .. }) if message == "scripted"),
        "{outcome:?}"
    );
}

// Time.

#[test]
fn a_straggler_is_waited_for() {
    let mut scene = Plan::default().ready();
    let before = scene.sound(requests(6, 2), 0).0;
    scene.doubles[2].script().faults.push_back(Fault::Slow(Duration::from_secs(1)));
    let (after, tally) = scene.sound(requests(6, 2), 0);
    assert_eq!((after, tally.again, tally.late), (before, 0, 0), "none is dropped, none is raced");
}

#[test]
fn at_the_deadline_a_request_is_asked_once_more_and_then_given_up() {
    let config = Config { request_timeout_s: 0.2, ..Plan::default().config };
    let hang = || Fault::Hang(Duration::from_secs(3));
    let mut scene = with(&[hang()], config.clone());
    let (_, tally) = scene.sound(requests(1, 1), 0);
    assert_eq!((tally.late, tally.again, tally.lost), (1, 1, 0));
    assert!(scene.downs().iter().any(|why| why.contains("no answer before the deadline")));
    let mut scene = with(&[hang(), hang()], config);
    let started = Instant::now();
    let (completions, tally) = scene.generate(requests(1, 1)).expect("given up");
    assert_eq!((tally.late, tally.again, tally.lost), (2, 1, 1));
    assert!(completions[0].as_ref().is_some_and(|completion| completion.ids.is_empty()));
    assert!(started.elapsed() < Duration::from_secs(8));
}

// Pushes.

#[test]
fn a_push_that_fails_on_one_server_goes_on_with_the_others_and_is_tried_again_beside_sampling() {
    let mut scene = Plan::default().ready();
    scene.doubles[0].script().fails_pushes = true;
    scene.publish(1).expect("two servers have them");
    scene.sound(requests(6, 2), 1);
    assert_ne!(scene.doubles[0].script().label, "run:1");
    assert!(scene.doubles[0].script().paused, "what it has is not known: it is not told to go on");
    assert!(scene.downs().iter().any(|why| why.contains("cannot load")));
    scene.doubles[0].script().fails_pushes = false;
    let slow = Fault::Slow(Duration::from_millis(100));
    scene.doubles.iter().for_each(|double| double.script().always = Some(slow.clone()));
    let started = Instant::now();
    while !scene.fleet.servers[0].is_ready() && started.elapsed() < Duration::from_secs(10) {
        scene.sound(requests(2, 1), 1);
    }
    assert_eq!(scene.doubles[0].script().label, "run:1");
}

#[test]
fn a_reload_that_changes_nothing_is_caught_by_the_canary_whatever_its_label_says() {
    // What a tied embedding does on a CPU: the call succeeds, and the head is the old one.
    let mut scene = Plan::default().ready();
    scene.doubles[0].script().keeps_weights = true;
    scene.publish(1).expect("two servers have them");
    scene.sound(requests(8, 2), 1);
    assert!(scene.downs().iter().any(|why| why.contains("canary: k3") && why.contains("max_canary_kl")));
    scene.doubles.iter().for_each(|double| double.script().keeps_weights = true);
    let outcome = scene.publish(2);
    match outcome {
        Err(Error::Mismatch { states }) => assert_eq!(states.matches("canary").count(), 6, "{states}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_is_slow_to_take_weights_is_not_waited_for() {
    let mut scene = Plan::default().ready();
    scene.doubles[2].die(); // as slow as can be: nothing answers, and it is tried again and again
    let started = Instant::now();
    scene.publish(1).expect("two servers have them");
    assert!(started.elapsed() < Duration::from_secs(4));
    scene.sound(requests(6, 1), 1);
}
