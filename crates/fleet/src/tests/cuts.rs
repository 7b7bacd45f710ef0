//! Sampling from a distribution that is cut: what servers kept comes with each token, or nothing of it is used.

use super::{END, Plan, Scene, VOCAB, requests};
use crate::double::{Brain, Double, Fault, Toy};
use crate::{Error, Event, Kind};
use ruminate_data::{Completion, Request, SamplingParams, Stop};

fn cuts() -> SamplingParams {
    SamplingParams {
        temperature: 0.7,
        top_p: 0.8,
        top_k: 12,
        max_new_tokens: 24,
        ..SamplingParams::default()
    }
}

fn masks(doubles: &[Double]) {
    for double in doubles {
        double.script().returns_masks = true;
    }
}

fn plan(kind: Kind) -> Plan {
    let before: fn(&[Double]) = if kind == Kind::Vllm { masks } else { |_| {} };
    Plan { kind, cuts: Some(cuts()), before, ..Plan::default() }
}

fn cut_requests(sampling: SamplingParams) -> Vec<Request> {
    requests(6, 3).into_iter().map(|request| Request { sampling, ..request }).collect()
}

/// Whether each token has the set that it was drawn from, and its probability among that.
fn is_of_what_was_kept(scene: &Scene, completion: &Completion) {
    let toy = Toy { vocab_size: VOCAB };
    assert_eq!(completion.kept.len(), completion.ids.len());
    assert!(completion.kept_mass.is_empty(), "log-probabilities are of what was kept");
    let mut context = completion.prompt_ids.clone();
    for (token, (id, logprob)) in completion.ids.iter().zip(&completion.logprobs).enumerate() {
        let logits = toy.logits(&scene.weights(0), &context).expect("weights");
        let weight = |id: &u32| (f64::from(logits[*id as usize]) / cuts().temperature).exp();
        let kept = completion.kept.at(token);
        assert!((1..=cuts().top_k).contains(&kept.len()) && kept.binary_search(id).is_ok(), "{kept:?}");
        let least = kept.iter().map(weight).fold(f64::INFINITY, f64::min);
        let others = (0..VOCAB as u32).filter(|other| kept.binary_search(other).is_err());
        assert!(others.map(|other| weight(&other)).all(|other| other <= least), "the likely ones are kept");
        let expected = (weight(id) / kept.iter().map(weight).sum::<f64>()).ln();
        assert!((f64::from(*logprob) - expected).abs() < 1e-5, "{logprob} {expected}");
        context.push(*id);
    }
}

#[test]
fn both_kinds_of_servers_return_what_each_token_was_drawn_from() {
    for kind in [Kind::Vllm, Kind::Sglang] {
        let mut scene = plan(kind).ready();
        let (completions, tally) = scene.generate(cut_requests(cuts())).expect("completions");
        assert_eq!((tally.completions, tally.again), (18, 0));
        let completions: Vec<Completion> = completions.into_iter().flatten().collect();
        for completion in &completions {
            is_of_what_was_kept(&scene, completion);
        }
        assert!(completions.iter().any(|completion| completion.kept.at(0).len() > 1), "nothing was cut open");
    }
}

#[test]
fn an_answer_without_its_masks_is_asked_for_again() {
    let mut scene = Plan { count: 1, ..plan(Kind::Vllm) }.ready();
    scene.doubles[0].script().faults.extend([Fault::NoMask, Fault::Abort(5)]);
    let (completions, tally) = scene.generate(cut_requests(cuts())).expect("completions");
    // The abort lost the masks, so that nothing of that answer is a part of the completion.
    assert_eq!((tally.completions, tally.again, tally.continued), (18, 1, 0));
    for completion in completions.iter().flatten() {
        is_of_what_was_kept(&scene, completion);
    }
}

#[test]
fn a_completion_that_a_test_ends_keeps_the_sets_of_its_tokens() {
    let mut scene = plan(Kind::Vllm).ready();
    let stop = Stop::at(&[END]).or_when(|ids| ids.len() == 3);
    let requests: Vec<Request> =
        cut_requests(cuts()).into_iter().map(|request| Request { stop: stop.clone(), ..request }).collect();
    let (completions, _) = scene.generate(requests).expect("completions");
    let completions: Vec<Completion> = completions.into_iter().flatten().collect();
    assert!(completions.iter().any(|completion| completion.ids.len() == 3));
    for completion in &completions {
        is_of_what_was_kept(&scene, completion);
    }
}

#[test]
fn servers_and_requests_that_do_not_go_together_are_refused() {
    let refusal = |plan: Plan| match plan.scene().publish(0) {
        Err(Error::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let unmasked = refusal(Plan { before: |_| {}, ..plan(Kind::Vllm) });
    assert!(unmasked.contains("start it with --return-sampling-mask"), "{unmasked}");
    let masked = refusal(Plan { cuts: None, ..plan(Kind::Vllm) });
    assert!(masked.contains("start it without --return-sampling-mask"), "{masked}");

    let whole = SamplingParams { top_k: 0, ..cuts() };
    for (set_up, sampling, says) in [
        (plan(Kind::Vllm), whole, "`rollout.top_k` is 0; expected a number above 0"),
        (Plan::default(), cuts(), "`rollout.top_p` is 0.8; expected 1, since the servers were not asked"),
        (
            Plan { kind: Kind::Sglang, ..Plan::default() },
            SamplingParams { top_p: 1.0, ..cuts() },
            "`rollout.top_k` is 12; expected 0",
        ),
    ] {
        let mut scene = set_up.ready();
        let error = scene.generate(cut_requests(sampling)).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    // SGLang takes a top-p alone.
    let mut scene = plan(Kind::Sglang).ready();
    let (completions, _) =
        scene.generate(cut_requests(SamplingParams { top_k: 0, ..cuts() })).expect("completions");
    assert!(completions.iter().flatten().all(|completion| completion.kept.len() == completion.ids.len()));
    assert!(scene.events().iter().all(|event| matches!(event, Event::Ready { .. })));
}
