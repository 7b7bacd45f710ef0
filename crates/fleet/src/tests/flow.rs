//! What works: samples that hang on no server, versions, adapters, requests that join and leave.

use super::{END, Plan, Scene, VOCAB, requests};
use crate::double::{Double, Fault, Toy, logprobs};
use crate::{Config, Error, Event, Kind, Push, Weights};
use ruminate_data::{Completion, FinishReason, Queue, Request, Sink, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn samples(plan: Plan) -> Vec<Completion> {
    plan.ready().sound(requests(12, 4), 0).0
}

#[test]
fn a_groups_samples_are_the_same_on_one_server_and_on_three() {
    let one = samples(Plan { count: 1, ..Plan::default() });
    assert_eq!(one, samples(Plan::default()));
    assert!(one.iter().any(|completion| completion.finish_reason == FinishReason::Stop));
    assert!(one.iter().any(|completion| completion.ids.len() == 24));
    let distinct: BTreeSet<&Vec<u32>> = one.iter().map(|completion| &completion.ids).collect();
    assert_eq!(distinct.len(), one.len(), "siblings do not repeat each other");
}

#[test]
fn both_routes_of_vllm_give_the_same_samples_and_versions() {
    let no_route = |doubles: &[Double]| doubles.iter().for_each(|d| d.script().has_token_route = false);
    let fallback = samples(Plan { before: no_route, ..Plan::default() });
    assert_eq!(fallback, samples(Plan::default()));
}

#[test]
fn sglang_samples_the_same_on_one_server_and_on_three() {
    let one = samples(Plan { kind: Kind::Sglang, count: 1, ..Plan::default() });
    assert_eq!(one, samples(Plan { kind: Kind::Sglang, ..Plan::default() }));
}

#[test]
fn a_group_goes_to_one_server_and_all_servers_work() {
    let mut scene = Plan::default().ready();
    scene.sound(requests(30, 3), 0);
    let mut servers: BTreeMap<Vec<u32>, BTreeSet<usize>> = BTreeMap::new();
    for (server, double) in scene.doubles.iter().enumerate() {
        assert!(!double.script().prompts.is_empty(), "server {server} had nothing to do");
        for (_, prompt) in &double.script().prompts {
            servers.entry(prompt.clone()).or_default().insert(server);
        }
    }
    assert_eq!(servers.len(), 30);
    assert!(servers.values().all(|of_group| of_group.len() == 1), "{servers:?}");
}

#[test]
fn no_server_has_more_requests_than_it_may() {
    let config = Config { max_requests: 2, ..Plan::default().config };
    let slow = |doubles: &[Double]| {
        doubles[0].script().always = Some(Fault::Slow(Duration::from_millis(20)));
    };
    let mut scene = Plan { count: 1, config, before: slow, ..Plan::default() }.ready();
    scene.sound(requests(4, 2), 0);
    assert_eq!(scene.doubles[0].script().most_in_flight, 2);
}

#[test]
fn each_version_is_on_every_server_before_it_is_sampled_from() {
    let mut scene = Plan::default().ready();
    let (before, _) = scene.sound(requests(2, 2), 0);
    scene.publish(1).expect("published");
    assert!(scene.doubles.iter().all(|double| double.script().label == "run:1"));
    let (after, _) = scene.sound(requests(2, 2), 1);
    assert_ne!(before[0].ids, after[0].ids);
    let ready: Vec<(u64, f64)> = scene
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Ready { version, canary_kl, .. } => Some((version, canary_kl)),
            _ => None,
        })
        .collect();
    assert_eq!(ready.len(), 6);
    assert!(ready.iter().all(|(_, kl)| *kl < 1e-9), "{ready:?}");
}

#[test]
fn a_push_on_the_way_parks_what_is_running_and_it_goes_on_behind_its_beginning() {
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    let mut long = requests(1, 1);
    long[0].stop = Stop::default();
    let whole = scene.sound(long.clone(), 0).0.remove(0);
    scene.doubles[0].script().faults.push_back(Fault::Abort(5));
    scene.doubles[0].script().faults.push_back(Fault::Abort(0));
    let (completions, tally) = scene.sound(long, 0);
    assert_eq!(completions[0].ids.len(), 24);
    assert_eq!(completions[0].ids[..5], whole.ids[..5], "what it had is kept");
    assert_eq!((tally.continued, tally.again), (1, 0));
    let script = scene.doubles[0].script();
    let (_, last) = script.prompts.last().expect("asked");
    assert_eq!(last[3..], whole.ids[..5], "prompt and beginning are asked again");
}

#[test]
fn adapters_go_by_a_name_that_each_version_has_for_itself() {
    for kind in [Kind::Vllm, Kind::Sglang] {
        let mut scene = Plan { kind, count: 2, ..Plan::default() }.scene();
        for version in 0..3 {
            let retired = (version >= 2).then(|| format!("run-v{}", version - 2)).into_iter().collect();
            scene.fleet.publish(adapter(&scene, version, retired)).expect("published");
            scene.sound(requests(2, 2), version);
        }
        for double in &scene.doubles {
            let names: Vec<String> = double.script().adapters.keys().cloned().collect();
            assert_eq!(names, ["run-v1", "run-v2"]);
            assert_eq!(double.script().label, "default", "the base is as it was");
        }
        // Started again, a server has no adapters: it says so, and gets them.
        scene.doubles.iter().for_each(|double| {
            double.die();
            double.start_again().expect("its port");
        });
        scene.sound(requests(4, 2), 2);
    }
}

fn adapter(scene: &Scene, version: u64, retired: Vec<String>) -> Push {
    let Push { canary, weights, .. } = scene.push(version);
    let Weights::Folder(folder) = weights else { panic!("a folder") };
    Push { version, weights: Weights::Adapter { name: format!("run-v{version}"), folder, retired }, canary }
}

/// Has a request join, and gives one up.
struct Changing {
    finished: Vec<usize>,
    joined: bool,
}

impl Sink for Changing {
    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        assert!(!completion.ids.is_empty());
        self.finished.push(request);
        ControlFlow::Continue(())
    }

    fn change(&mut self, queue: &mut Queue) {
        if !self.joined {
            self.joined = true;
            assert_eq!(queue.join(requests(6, 1).remove(5)), 4);
            queue.cancel(2);
        }
    }
}

#[test]
fn requests_join_and_leave() {
    let mut scene = Plan::default().ready();
    let mut sink = Changing { finished: Vec::new(), joined: false };
    scene.fleet.generate(requests(2, 2), &mut sink).expect("completions");
    sink.finished.sort_unstable();
    assert_eq!(sink.finished, [0, 1, 3, 4]);
}

#[test]
fn a_break_returns_at_once_and_tells_the_servers() {
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    scene.doubles[0].script().faults.push_back(Fault::Hang(Duration::from_secs(4)));
    let started = Instant::now();
    let mut sink = |_: usize, _: Completion| ControlFlow::Break(());
    scene.fleet.generate(requests(2, 2), &mut sink).expect("stopped");
    assert!(started.elapsed() < Duration::from_secs(2));
    let aborted = || scene.doubles[0].script().count("/abort_requests") > 0;
    assert!((0..100).any(|_| aborted() || {
        std::thread::sleep(Duration::from_millis(10));
        false
    }));
}

#[test]
fn a_test_that_no_server_knows_cuts_what_was_drawn_behind_the_end() {
    let mut scene = Plan::default().ready();
    let (whole, _) = scene.sound(requests(1, 1), 0);
    let third = whole[0].ids[2];
    let mut request = requests(1, 1).remove(0);
    request.stop = Stop::at(&[END]).or_when(move |ids| ids.last() == Some(&third));
    let (cut, _) = scene.sound(vec![request], 0);
    let end = whole[0].ids.iter().position(|id| *id == third).expect("there") + 1;
    assert_eq!((&cut[0].ids[..], cut[0].finish_reason), (&whole[0].ids[..end], FinishReason::Stop));
}

#[test]
fn what_servers_give_no_numbers_for_is_refused_by_its_key() {
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    let with = |change: fn(&mut Request)| {
        let mut request = requests(1, 1).remove(0);
        change(&mut request);
        vec![request]
    };
    for (key, requests) in [
        ("rollout.top_p", with(|request| request.sampling.top_p = 0.9)),
        ("rollout.top_k", with(|request| request.sampling.top_k = 5)),
        ("rollout.temperature", with(|request| request.sampling.temperature = 0.0)),
    ] {
        match scene.generate(requests) {
            Err(Error::Sampling(message)) => assert!(message.contains(key), "{message}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn another_temperature_is_the_servers_to_divide_by() {
    let mut scene = Plan { count: 1, ..Plan::default() }.ready();
    let mut request = requests(1, 1).remove(0);
    request.sampling.temperature = 0.7;
    let (completions, _) = scene.generate(vec![request]).expect("completions");
    let completion = completions[0].as_ref().expect("finished");
    let whole: Vec<u32> = completion.prompt_ids.iter().chain(&completion.ids).copied().collect();
    let toy = Toy { vocab_size: VOCAB };
    let expected = &logprobs(&toy, &scene.weights(0), &whole, 0.7).expect("weights")[2..];
    assert!(
        completion.logprobs.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
    );
}
