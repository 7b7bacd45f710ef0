//! `train-rl` on servers: doubles that compute what a server would, with our own decoder, and everything around them.

mod common;

use common::served::{self, Ties};
use common::{assert_code, command, rows_of, ruminate, tiny, told};
use ruminate_fleet::Kind;
use ruminate_fleet::double::{Double, Fault};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn start(kind: Kind) -> Double {
    served::start(kind, Ties::Refused, Path::new("started-elsewhere"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What every run here states.
fn sets(doubles: &[Double], engine: &str, more: &[&str]) -> Vec<String> {
    let urls: Vec<String> = doubles.iter().map(Double::url).collect();
    let servers = format!("fleet.servers={urls:?}");
    let engine = format!("rollout.engine={engine}");
    let fixed = ["max_steps=4", "eval.n=2", "alarms.all_wrong=false", "fleet.patience_s=2"];
    let all = fixed.iter().chain(more).map(ToString::to_string);
    [servers, engine].into_iter().chain(all).collect()
}

fn run(out: &Path, sets: &[String], more: &[&str]) -> std::process::Output {
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    ruminate(&[tiny("train-rl", text(out), &sets), more.to_vec()].concat())
}

fn events(out: &Path, name: &str) -> Vec<Value> {
    rows_of(&out.join("fleet.jsonl")).into_iter().filter(|row| row["event"] == name).collect()
}

fn folders(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out.join("weights")).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn a_run_on_servers_proves_every_push_and_keeps_two_versions() {
    for (engine, kind) in [("vllm", Kind::Vllm), ("sglang", Kind::Sglang)] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        let doubles = [start(kind), start(kind)];
        let output = run(&out, &sets(&doubles, engine, &[]), &[]);
        assert_code(&output, 0);
        assert!(told(&output).contains("weights/start (docs/servers.md)"), "{}", told(&output));

        let ready = events(&out, "ready");
        assert_eq!(ready.len(), 8, "two servers, four versions: {ready:?}");
        for row in &ready {
            assert!(row["canary_kl"].as_f64().expect("a number") < 1e-6, "{row}");
        }
        let sampled = events(&out, "sampled");
        assert_eq!(sampled.len(), 4);
        assert!(sampled.iter().all(|row| row["stale"] == 0 && row["lost"] == 0), "{sampled:?}");
        for row in rows_of(&out.join("metrics.jsonl")) {
            assert!(row["sampling/mismatch_kl"].as_f64().expect("a number") < 1e-6, "{row}");
        }
        let kept = folders(&out);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(kept[0].ends_with("-v2") && kept[1].ends_with("-v3") && kept[2] == "start", "{kept:?}");
        assert!(doubles.iter().all(|double| !double.script().prompts.is_empty()));
    }
}

#[test]
fn a_policy_that_servers_cut_is_learned_as_it_was_drawn() {
    for (engine, kind, cuts) in [
        ("vllm", Kind::Vllm, ["rollout.top_p=0.8", "rollout.top_k=12"]),
        ("sglang", Kind::Sglang, ["rollout.top_p=0.8", "rollout.min_p=0.05"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        let doubles = [start(kind)];
        let sets = sets(&doubles, engine, &cuts);
        if kind == Kind::Vllm {
            let refused = run(&out, &sets, &[]);
            assert_code(&refused, 2);
            assert!(told(&refused).contains("--return-sampling-mask"), "{}", told(&refused));
            doubles[0].script().returns_masks = true;
        }
        let resume: &[&str] = if out.exists() { &["--resume", "auto"] } else { &[] };
        assert_code(&run(&out, &sets, resume), 0);
        let rows = rows_of(&out.join("metrics.jsonl"));
        assert_eq!(rows.len(), 4);
        for row in rows {
            // The trainer's probabilities among what was kept are the server's.
            assert!(row["sampling/mismatch_kl"].as_f64().expect("a number") < 1e-6, "{row}");
        }
        assert!(events(&out, "sampled").iter().all(|row| row["again"] == 0 && row["lost"] == 0));
    }
}

/// Keys of runs that sample a step ahead: two groups of four per step.
const AHEAD: [&str; 3] = ["grpo.max_staleness=1", "grpo.prompts_per_step=2", "grpo.num_generations=4"];

#[test]
fn servers_sample_the_next_step_while_the_trainer_learns() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let doubles = [start(Kind::Vllm), start(Kind::Vllm)];
    assert_code(&run(&out, &sets(&doubles, "vllm", &AHEAD), &[]), 0);
    let rows = rows_of(&out.join("metrics.jsonl"));
    assert_eq!(rows.len(), 4);
    let of = |name: &str| rows.iter().map(|row| row[name].as_f64().expect("a number")).collect::<Vec<_>>();
    // What is sent with the first weights are two steps' groups: the second learns from the weights before.
    assert!(of("staleness/max").contains(&1.0), "{:?}", of("staleness/max"));
    assert!(of("staleness/max").iter().all(|age| *age <= 1.0));
    assert_eq!(of("staleness/dropped"), [0.0; 4]);
    assert!(rows[0].get("correction/truncated").is_some(), "old completions are corrected for: {}", rows[0]);
    for row in events(&out, "ready") {
        assert!(row["canary_kl"].as_f64().expect("a number") < 1e-6, "{row}");
    }
    let sampled = events(&out, "sampled");
    assert!(sampled.iter().all(|row| row["stale"] == 0 && row["lost"] == 0), "{sampled:?}");
    // No group is sampled for a step that never comes.
    let prompts: std::collections::BTreeSet<u64> =
        doubles.iter().flat_map(|double| double.script().prompts.clone()).map(|(seed, _)| seed).collect();
    assert!(prompts.len() >= 4 * 8, "{}", prompts.len());
}

/// A run that is not waited for.
fn begin(out: &Path, sets: &[String]) -> Child {
    let args: Vec<&str> = sets.iter().map(String::as_str).collect();
    let mut run = command(&tiny("train-rl", text(out), &args));
    run.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary starts")
}

#[test]
fn a_run_that_samples_ahead_goes_on_where_its_servers_left_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let doubles = [start(Kind::Vllm)];
    let sets = sets(&doubles, "vllm", &[&AHEAD[..], &["train.save_steps=0"]].concat());
    let child = begin(&out, &sets);
    let started = Instant::now();
    while !doubles[0].script().label.ends_with(":2") {
        assert!(started.elapsed() < Duration::from_mins(2), "it never came to step 2");
        std::thread::sleep(Duration::from_millis(1));
    }
    doubles[0].die();
    let output = child.wait_with_output().expect("it ends");
    assert_code(&output, 6);
    doubles[0].start_again().expect("its port");
    assert_code(&run(&out, &sets, &["--resume", "auto"]), 0);
    let rows = rows_of(&out.join("metrics.jsonl"));
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["staleness/max"].as_f64() <= Some(1.0)), "{rows:?}");
    let state = fs::read(out.join("checkpoints/step-000004/trainer_state.json")).expect("a checkpoint");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    assert_eq!(state["cursor"], 8, "each group is learned once");
}

#[test]
fn servers_that_are_gone_end_the_run_with_exit_6_and_a_checkpoint_from_which_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let doubles = [start(Kind::Vllm)];
    let sets = sets(&doubles, "vllm", &["train.save_steps=0"]);
    let child = begin(&out, &sets);
    // Into the third step's sampling.
    let started = Instant::now();
    while !doubles[0].script().label.ends_with(":2") || doubles[0].script().in_flight == 0 {
        assert!(started.elapsed() < Duration::from_mins(2), "it never came to step 2");
        std::thread::sleep(Duration::from_millis(1));
    }
    doubles[0].die();
    let output = child.wait_with_output().expect("it ends");
    assert_code(&output, 6);
    let said = told(&output);
    assert!(said.contains("no server was usable for") && said.contains("--resume auto"), "{said}");
    assert!(out.join("checkpoints/step-000002").is_dir());

    // It comes back with old weights, and the run goes on.
    doubles[0].start_again().expect("its port");
    let output = run(&out, &sets, &["--resume", "auto"]);
    assert_code(&output, 0);
    assert!(told(&output).contains("(step 2)"));
    assert_eq!(rows_of(&out.join("metrics.jsonl")).len(), 4);
    let pushed: Vec<Value> = events(&out, "ready").iter().map(|row| row["step"].clone()).collect();
    assert_eq!(pushed, [0, 1, 2, 3], "what was done over is not in the log twice");
    assert_eq!(folders(&out).len(), 3, "what the first start left is gone: {:?}", folders(&out));
}

#[test]
fn servers_whose_numbers_stay_those_of_old_weights_end_the_run_with_exit_8() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let doubles = [start(Kind::Vllm)];
    // Weights that move at every step, whatever the rewards are: the decay sees to it.
    let moving = [
        "grpo.beta=0.1",
        "train.learning_rate=1e-3",
        "train.weight_decay=0.5",
        "train.lr_scheduler_type=constant",
    ];
    let sets = sets(&doubles, "vllm", &[&moving[..], &["fleet.max_canary_kl=1e-9"]].concat());
    let mut child = begin(&out, &sets);
    let started = Instant::now();
    while !doubles[0].script().label.ends_with(":0") && child.try_wait().expect("a child").is_none() {
        assert!(started.elapsed() < Duration::from_mins(2), "it never came to step 0");
        std::thread::sleep(Duration::from_millis(1));
    }
    doubles[0].script().keeps_weights = true;
    let output = child.wait_with_output().expect("it ends");
    assert_code(&output, 8);
    assert!(told(&output).contains("canary: k3"), "{}", told(&output));
    assert!(fs::read_dir(out.join("checkpoints")).expect("checkpoints").count() > 0);
}

#[test]
fn a_completion_that_is_given_up_costs_its_group_the_verdict_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let doubles = [start(Kind::Vllm)];
    // An answer without numbers, and no retry is allowed: the first request is lost.
    doubles[0].script().faults.push_back(Fault::Null(1));
    let output = run(&out, &sets(&doubles, "vllm", &["fleet.max_retries=0"]), &[]);
    assert_code(&output, 0);
    assert_eq!(events(&out, "lost").len(), 1);
    let first = &rows_of(&out.join("metrics.jsonl"))[0];
    assert_eq!(first["unscored"], 4.0, "its group, and no other: {first}");
}

#[test]
fn what_does_not_go_with_servers_is_refused_by_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let server = r#"fleet.servers=["http://127.0.0.1:9"]"#;
    for (given, code, says) in [
        (&["rollout.engine=vllm"][..], 2, "`fleet.servers` names none"),
        (&["rollout.engine=vllm", server, "rollout.dtype=int8"], 2, "`rollout.dtype` is \"int8\""),
        (
            &["rollout.engine=vllm", server, "rollout.top_p=0.9"],
            2,
            "`rollout.top_k` is 0; expected a number above 0",
        ),
        (
            &["rollout.engine=vllm", server, "rollout.top_k=5", "grpo.max_staleness=1"],
            2,
            "`grpo.max_staleness` is 1; expected 0 with `top_p`",
        ),
        (
            &["rollout.engine=vllm", server, "rollout.repetition_penalty=1.2"],
            2,
            "`rollout.repetition_penalty` is set",
        ),
        (
            &["rollout.engine=sglang", server, "rollout.speculative=mtp"],
            2,
            "`rollout.speculative` is \"mtp\"",
        ),
        (&["rollout.engine=vllm", server, "fleet.max_requests=0"], 2, "`fleet.max_requests` is 0"),
        (&["rollout.engine=vllm", server, "fleet.server=1"], 2, "fleet.servers"),
        (&["rollout.engine=vllm", "fleet.servers=[\"http://u:p@host\"]"], 2, "without user and password"),
        (&["rollout.engine=vllm", server, "fleet.key_env=RUMINATE_NO_SUCH_KEY"], 2, "RUMINATE_NO_SUCH_KEY"),
    ] {
        let sets: Vec<&str> = [&["max_steps=1", "eval.n=2", "pretrain.max_steps=1"], given].concat();
        let output = ruminate(&tiny("train-rl", text(&out), &sets));
        assert_code(&output, code);
        assert!(told(&output).contains(says), "{says}: {}", told(&output));
    }
}
