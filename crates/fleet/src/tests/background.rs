//! A fleet that generates beside its caller: new weights in the middle of completions, stragglers, servers that are gone.

use super::{Plan, Scene, VOCAB, requests};
use crate::double::{Fault, Toy, logprobs};
use crate::{Background, Config, Error, Kind, Push, Weights};
use ruminate_data::{Completion, Request, Stop};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Far longer than any test takes: what is slow ends by a push.
const SLOW: Duration = Duration::from_mins(1);

/// Of a wait that must not be in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// Doubles and weights of a scene whose fleet has moved to a thread.
fn apart(mut scene: Scene) -> (Scene, Background) {
    let config = Config { servers: vec!["http://127.0.0.1:9".to_owned()], ..Config::default() };
    let unused = crate::Fleet::new(super::setup(config, Kind::Vllm)).expect("a fleet");
    let fleet = std::mem::replace(&mut scene.fleet, unused);
    (scene, fleet.into_background().expect("a thread"))
}

fn numbered(requests: Vec<Request>) -> Vec<(u64, Request)> {
    (0..).zip(requests).collect()
}

fn all(background: &mut Background, count: usize) -> BTreeMap<u64, Completion> {
    let one = |_| background.finished(PATIENCE).expect("no failure").expect("in time");
    (0..count).map(one).collect()
}

/// Requests that end by their length alone.
fn long(prompts: u32, samples: u64) -> Vec<Request> {
    let mut requests = requests(prompts, samples);
    for request in &mut requests {
        request.stop = Stop::default();
    }
    requests
}

/// Waits for the doubles to be at work on so many requests.
fn await_flights(scene: &Scene, count: usize) {
    let started = Instant::now();
    let flights = || scene.doubles.iter().map(|double| double.script().in_flight).sum::<usize>();
    while flights() < count {
        assert!(started.elapsed() < PATIENCE, "{} of {count} in flight", flights());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether each token's log-probability is that of the version that it says.
fn is_of_its_versions(scene: &Scene, completion: &Completion) {
    let whole: Vec<u32> = completion.prompt_ids.iter().chain(&completion.ids).copied().collect();
    let mut places = 0;
    for span in &completion.versions {
        let all = logprobs(&Toy { vocab_size: VOCAB }, &scene.weights(span.version), &whole, 1.0);
        let all = &all.expect("weights")[completion.prompt_ids.len() - 1..];
        for place in span.tokens.clone() {
            assert_eq!(place, places, "spans follow each other");
            assert!((completion.logprobs[place] - all[place]).abs() < 1e-6, "token {place}");
            places += 1;
        }
    }
    assert_eq!(places, completion.ids.len(), "each token has a version");
}

#[test]
fn what_it_generates_is_what_a_fleet_in_turns_does() {
    let expected = Plan::default().ready().sound(requests(6, 3), 0).0;
    let (scene, mut background) = apart(Plan::default().ready());
    background.submit(numbered(requests(6, 3))).expect("taken");
    let found = all(&mut background, 18);
    assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
    assert!(scene.doubles.iter().all(|double| !double.script().prompts.is_empty()));
}

fn adapter(scene: &Scene, version: u64) -> Push {
    let Push { canary, weights, .. } = scene.push(version);
    let Weights::Folder(folder) = weights else { panic!("a folder") };
    let weights = Weights::Adapter { name: format!("run-v{version}"), folder, retired: Vec::new() };
    Push { version, weights, canary }
}

#[test]
fn what_runs_at_a_push_goes_on_behind_its_beginning_with_the_new_weights() {
    for (kind, by_name, has_route) in [
        (Kind::Vllm, false, true),
        (Kind::Vllm, false, false),
        (Kind::Vllm, true, true),
        (Kind::Sglang, false, true),
        (Kind::Sglang, true, true),
    ] {
        let mut scene = Plan { kind, count: 1, ..Plan::default() }.scene();
        scene.doubles[0].script().has_token_route = has_route;
        let push =
            |scene: &Scene, version| if by_name { adapter(scene, version) } else { scene.push(version) };
        scene.fleet.publish(push(&scene, 0)).expect("published");
        // Two are slow, so that the push finds them running; the third is done before it.
        scene.doubles[0].script().faults.extend([Fault::Slow(SLOW), Fault::Slow(SLOW)]);
        let (scene, mut background) = apart(scene);
        background.submit(numbered(long(1, 2))).expect("taken");
        await_flights(&scene, 2);
        let quick = long(2, 1).remove(1);
        background.submit(vec![(7, quick)]).expect("taken");
        let (number, first) = background.finished(PATIENCE).expect("no failure").expect("in time");
        assert_eq!(number, 7, "it does not wait for the slow ones");
        let tally = background.publish(push(&scene, 1)).expect("published");
        assert_eq!(tally.completions, 1, "{kind:?}");

        let found = all(&mut background, 2);
        for completion in found.values() {
            let spans: Vec<_> =
                completion.versions.iter().map(|span| (span.version, span.tokens.clone())).collect();
            assert_eq!(spans, [(0, 0..12), (1, 12..24)], "{kind:?}, by name: {by_name}");
            is_of_its_versions(&scene, completion);
        }
        is_of_its_versions(&scene, &first);
        let tally = background.publish(push(&scene, 2)).expect("published");
        assert_eq!((tally.completions, tally.continued, tally.stale), (2, 2, 0));
    }
}

#[test]
fn a_server_that_falls_back_to_old_weights_is_found_out_and_its_answers_are_dropped() {
    let (scene, mut background) = apart(Plan { count: 1, ..Plan::default() }.ready());
    background.publish(scene.push(1)).expect("published");
    scene.doubles[0].script().faults.push_back(Fault::Label("run:0".to_owned()));
    background.submit(numbered(long(1, 2))).expect("taken");
    for completion in all(&mut background, 2).values() {
        assert_eq!(completion.versions[0].version, 1);
        is_of_its_versions(&scene, completion);
    }
    let tally = background.publish(scene.push(2)).expect("published");
    assert!(tally.stale >= 1, "{tally:?}");
}

#[test]
fn without_a_server_it_says_so_once_and_for_all() {
    let config = Config { patience_s: 0.3, ..Plan::default().config };
    let (scene, mut background) = apart(Plan { count: 1, config, ..Plan::default() }.ready());
    scene.doubles[0].die();
    background.submit(numbered(long(1, 1))).expect("taken");
    let failed = background.finished(PATIENCE);
    assert!(matches!(failed, Err(Error::NoServer { .. })), "{failed:?}");
    assert_eq!(background.publish(scene.push(1)).map(drop), failed.map(drop));
}

#[test]
fn leaving_tells_the_servers() {
    let (scene, mut background) = apart(Plan { count: 1, ..Plan::default() }.ready());
    scene.doubles[0].script().faults.push_back(Fault::Slow(SLOW));
    background.submit(numbered(long(1, 1))).expect("taken");
    await_flights(&scene, 1);
    drop(background);
    let started = Instant::now();
    while scene.doubles[0].script().aborted.is_empty() {
        assert!(started.elapsed() < PATIENCE, "nothing was aborted");
        std::thread::sleep(Duration::from_millis(1));
    }
}
