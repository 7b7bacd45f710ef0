//! A server as a teacher: what it says of given tokens, and what is refused before it is asked in earnest.

use super::VOCAB;
use crate::double::{Double, Fault, Toy, logprobs};
use crate::{Canary, Error, Kind, Teacher, TeacherSetup};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Scene {
    double: Double,
    folder: TempDir,
    kind: Kind,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let weights = folder.path().join("teacher");
        Toy::write(&weights, "the teacher's").expect("written");
        let double =
            Double::start(kind, Box::new(Toy { vocab_size: VOCAB }), VOCAB, &weights).expect("a port");
        Self { double, folder, kind }
    }

    fn weights(&self) -> PathBuf {
        self.folder.path().join("teacher")
    }

    fn setup(&self) -> TeacherSetup {
        let ids = |text: &str| text.bytes().map(u32::from).collect();
        TeacherSetup {
            url: self.double.url(),
            kind: self.kind,
            model: Some("policy".to_owned()),
            key: None,
            max_tokens: 100,
            tokenizer: ["What is 2+2?", "<think>"].map(|text| (text.to_owned(), ids(text))).to_vec(),
            canary: Canary::sequence(&[5; 20], VOCAB),
            timeout: Duration::from_secs(5),
            max_retries: 2,
            backoff: Duration::from_millis(1),
            concurrency: 3,
            interrupted: Arc::new(|| false),
        }
    }

    fn hello(&self) -> Result<Teacher, Error> {
        Teacher::hello(self.setup())
    }
}

fn sequences() -> Vec<Vec<u32>> {
    (0..20).map(|first| vec![10 + first, 20, 30, 40 + first, 1]).collect()
}

#[test]
fn it_scores_what_is_given_on_every_route_in_order() {
    for (kind, has_route) in [(Kind::Vllm, true), (Kind::Vllm, false), (Kind::Sglang, true)] {
        let scene = Scene::new(kind);
        scene.double.script().has_token_route = has_route;
        let teacher = scene.hello().expect("a teacher");
        assert_eq!(teacher.max_len(), Some(1023));
        assert!(teacher.canary_logprob() < 0.0);
        let scores = teacher.score(&sequences()).expect("scores");
        for (ids, scores) in sequences().iter().zip(&scores) {
            let toy = Toy { vocab_size: VOCAB };
            let expected = logprobs(&toy, &scene.weights(), ids, 1.0).expect("weights");
            assert!(scores.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
            assert_eq!(scores.len(), ids.len() - 1);
        }
        assert!(teacher.score(&[]).expect("none").is_empty());
        let script = scene.double.script();
        assert!(script.prompts.is_empty() && script.pauses == 0, "nothing is sampled or pushed");
        assert_eq!(script.count("/update_weight_version") + script.count("/collective_rpc"), 0);
        if kind == Kind::Vllm {
            assert_eq!(script.count("/server_info"), 0, "it needs no development mode");
        }
    }
}

#[test]
fn what_a_server_lacks_is_refused_by_name() {
    let refusal = |change: fn(&Scene, &mut TeacherSetup)| {
        let scene = Scene::new(Kind::Vllm);
        let mut setup = scene.setup();
        change(&scene, &mut setup);
        match Teacher::hello(setup) {
            Err(Error::Refused { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    };
    for (says, change) in [
        (
            "it serves [\"policy\"] and not \"larger\"",
            (|_, setup| setup.model = Some("larger".to_owned())) as fn(&Scene, &mut TeacherSetup),
        ),
        ("larger --max-model-len", |scene, _| scene.double.script().max_len = 100),
        ("expected a teacher with the student's tokenizer", |scene, _| scene.double.script().first_id = 1),
        ("no log-probabilities of given tokens", |_, setup| setup.canary = vec![5, VOCAB as u32]),
    ] {
        let message = refusal(change);
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[test]
fn a_teacher_that_is_away_for_a_moment_is_asked_again_and_one_that_is_gone_is_named() {
    let scene = Scene::new(Kind::Vllm);
    let teacher = scene.hello().expect("a teacher");
    scene.double.die();
    match teacher.score(&sequences()) {
        Err(Error::Teacher { server, retries, .. }) => assert_eq!((server, retries), (scene.double.url(), 2)),
        other => panic!("{other:?}"),
    }
    let again = std::thread::spawn({
        let mut setup = scene.setup();
        (setup.max_retries, setup.backoff) = (12, Duration::from_millis(2));
        move || Teacher::hello(setup).map(|teacher| teacher.score(&sequences()).expect("scores").len())
    });
    scene.double.start_again().expect("its port");
    assert_eq!(again.join().expect("no panic"), Ok(20));
}

#[test]
fn a_wait_for_a_teacher_ends_when_the_run_does() {
    let scene = Scene::new(Kind::Vllm);
    scene.double.die();
    let setup = TeacherSetup { interrupted: Arc::new(|| true), ..scene.setup() };
    assert!(matches!(Teacher::hello(setup), Err(Error::Stopped)));
}

#[test]
fn answers_without_numbers_are_asked_for_again_and_then_an_error() {
    let scene = Scene::new(Kind::Vllm);
    let teacher = scene.hello().expect("a teacher");
    scene.double.script().scoring_faults = vec![Fault::Status(500), Fault::Body(b"{}".to_vec())].into();
    assert_eq!(teacher.score(&sequences()[..1]).expect("scores").len(), 1);
    scene.double.script().scoring_faults = vec![Fault::Body(b"null".to_vec()); 3].into();
    assert!(matches!(teacher.score(&sequences()[..1]), Err(Error::Teacher { retries: 2, .. })));
}
