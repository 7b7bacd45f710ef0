//! `optimizer = "muon"` in recipes: it trains and resumes, and the optimizer is part of what a run is.

mod common;

use common::{assert_code, ruminate, timeless_metrics, tiny, told};
use std::fs;

#[test]
fn a_recipe_with_muon_trains_and_resumes_and_its_run_takes_no_other_optimizer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let corpus = path("corpus.jsonl");
    fs::write(&corpus, "{\"text\": \"one and one is two\"}\n".repeat(20)).expect("written");
    let corpus = format!("data.corpus={corpus}");
    let run = |name: &str, optimizer: &str, resume: &[&str]| {
        let out = path(name);
        let optimizer = format!("pretrain.optimizer={optimizer}");
        let sets = [
            &*corpus,
            &*optimizer,
            "pretrain.max_steps=30",
            "pretrain.save_steps=15",
            "pretrain.row_length=16",
            "pretrain.warmup_steps=0",
            "pretrain.learning_rate=1e-2",
        ];
        ruminate(&[tiny("pretrain", &out, &sets), resume.to_vec()].concat())
    };

    assert_code(&run("whole", "muon", &[]), 0);
    let whole = timeless_metrics(&folder.path().join("whole"));
    let [first, last] = [0, 29].map(|step: usize| whole[step]["loss"].as_f64().expect("a loss"));
    assert!(last < first / 3.0, "loss {first} -> {last}");

    let checkpoint = path("whole/checkpoints/step-000015");
    let other = run("other", "adamw", &["--resume", &checkpoint, "--allow-changed"]);
    assert_code(&other, 2);
    let expected = "--allow-changed cannot change this: pretrain.optimizer: \"muon\", now \"adamw\"";
    assert!(told(&other).contains(expected), "{}", told(&other));
    assert_code(&run("resumed", "muon", &["--resume", &checkpoint]), 0);
    assert_eq!(timeless_metrics(&folder.path().join("resumed")), whole[15..]);
}

#[test]
fn settings_of_muon_are_checked_by_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let out = out.to_str().expect("UTF-8");
    for (set, expected) in [
        ("train.muon.ns_steps=0", "`muon.ns_steps` is 0; expected a whole number from 1 to 99"),
        ("train.muon.steps=3", "unknown key `train.muon.steps`"),
        ("train.optimizer=adam", "expected `adamw` or `muon`"),
    ] {
        let output = ruminate(&tiny("train-rl", out, &["train.optimizer=muon", set]));
        assert_code(&output, 2);
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
}
