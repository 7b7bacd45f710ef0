//! Before the first step: what a server must be, and what ends a wait for servers.

use super::{Plan, requests, setup};
use crate::double::Double;
use crate::{Config, Error, Event, Fleet, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn refusal(before: fn(&[Double])) -> String {
    match (Plan { before, ..Plan::default() }).scene().publish(0) {
        Err(Error::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_is_something_else_is_refused_before_the_first_step() {
    for (before, says) in [
        // One wrong server of three is enough: all of them are the user's choice.
        ((|d| d[1].script().first_id = 1) as fn(&[Double]), "its tokenizer reads \"What is 2+2?\" as [88,"),
        (|d| d[2].script().vocab_size = 99, "its model has 99 token ids, the policy 160"),
        (|d| d[0].script().max_len = 99, "it takes 99 tokens, and prompt and completion have up to 100"),
        (
            |d| d[0].script().dtype = "bfloat16".to_owned(),
            "it computes in bfloat16, `rollout.dtype` is float32",
        ),
        (|d| d[0].script().logprobs_mode = "raw_logprobs".to_owned(), "--logprobs-mode processed_logprobs"),
        (|d| d[0].script().raw_logprobs = true, "--logprobs-mode processed_logprobs"),
    ] {
        let message = refusal(before);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn sglang_with_log_probabilities_before_the_temperature_is_refused_by_its_numbers() {
    let before = |doubles: &[Double]| doubles[0].script().raw_logprobs = true;
    let refused = Plan { kind: Kind::Sglang, before, ..Plan::default() }.scene().publish(0);
    assert!(
        matches!(&refused, Err(Error::Refused { message, .. }) if message.contains("SGLANG_RETURN")),
        "{refused:?}"
    );
}

#[test]
fn without_a_server_the_wait_ends_with_each_address_and_its_reason() {
    let config = Config { patience_s: 0.6, ..Plan::default().config };
    let mut scene = Plan { count: 2, config, ..Plan::default() }.scene();
    scene.doubles.iter().for_each(Double::die);
    let started = Instant::now();
    match scene.publish(0) {
        Err(Error::NoServer { states, .. }) => {
            assert!(scene.doubles.iter().all(|double| states.contains(&double.url())), "{states}");
        }
        other => panic!("{other:?}"),
    }
    assert!((0.6..4.0).contains(&started.elapsed().as_secs_f64()));
}

#[test]
fn a_server_that_is_started_late_is_waited_for() {
    let mut scene = Plan { count: 1, ..Plan::default() }.scene();
    scene.doubles[0].die();
    std::thread::scope(|scope| {
        let double = &scene.doubles[0];
        let push = scene.push(0);
        let fleet = &mut scene.fleet;
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            double.start_again().expect("its port");
        });
        fleet.publish(push).expect("published");
    });
}

#[test]
fn an_interrupt_ends_the_wait() {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut setup = setup(
        Config { servers: vec!["http://127.0.0.1:9".to_owned()], ..Plan::default().config },
        Kind::Vllm,
    );
    setup.interrupted = {
        let interrupted = Arc::clone(&interrupted);
        Arc::new(move || interrupted.load(Ordering::Relaxed))
    };
    let mut fleet = Fleet::new(setup).expect("a fleet");
    let push = push();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            interrupted.store(true, Ordering::Relaxed);
        });
        assert_eq!(fleet.publish(push), Err(Error::Stopped));
    });
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Weights that no server gets.
fn push() -> crate::Push {
    let weights = crate::Weights::Folder("nowhere".into());
    crate::Push { version: 0, weights, canary: crate::Canary { ids: vec![1, 2], logprobs: vec![-1.0] } }
}

#[test]
fn addresses_are_checked_and_a_file_of_them_is_read_while_the_run_goes_on() {
    let error = |servers: &[&str]| {
        let servers = servers.iter().map(ToString::to_string).collect();
        let mut setup = setup(Config { servers, ..Plan::default().config }, Kind::Vllm);
        setup.check_address = |url| if url.contains('@') { Err("a password".to_owned()) } else { Ok(()) };
        Fleet::new(setup).expect_err("refused").to_string()
    };
    assert!(error(&[]).contains("name no server"));
    assert!(error(&["localhost:8000"]).contains("begins with http://"));
    assert!(error(&["http://a:b@host"]).contains("a password"));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("servers");
    std::fs::write(&file, "# none yet\nhttp://127.0.0.1:9\n").expect("written");
    let config = Config { servers_file: Some(file.clone()), patience_s: 8.0, ..Plan::default().config };
    let mut scene = Plan { count: 2, config, ..Plan::default() }.scene();
    let both = format!("{}\n{}/\n", scene.doubles[0].url(), scene.doubles[1].url());
    std::fs::write(&file, both).expect("written");
    scene.publish(0).expect("the file was read again");
    let joined = |event: &Event| matches!(event, Event::Ready { .. });
    assert_eq!(scene.events().iter().filter(|event| joined(event)).count(), 2);
    // One leaves: it gets no more work.
    std::fs::write(&file, scene.doubles[1].url()).expect("written");
    std::thread::sleep(Duration::from_millis(2100));
    scene.sound(requests(1, 1), 0);
    let asked = scene.doubles[0].script().prompts.len();
    scene.sound(requests(6, 2), 0);
    assert_eq!(scene.doubles[0].script().prompts.len(), asked);
}
