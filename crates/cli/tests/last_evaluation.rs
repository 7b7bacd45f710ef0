//! What ends a run while it evaluates costs the evaluation alone: the step was saved before it, and a resumed run makes up for
//! it.
#![cfg(unix)]

mod common;

use common::{assert_code, command, rows_of, ruminate, timeless_metrics, tiny, told};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Evaluations that take much longer than steps.
const LONG: [&str; 4] =
    ["eval.n=40", "eval.num_samples=16", "rollout.max_new_tokens=40", "alarms.clipped=false"];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs until the checkpoint of a step is there, and sends a signal then.
fn signalled_after(run: &Path, args: &[&str], step: usize, signal: &str) -> Output {
    let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let manifest = run.join(format!("checkpoints/step-{step:06}/manifest.json"));
    let start = Instant::now();
    while !manifest.is_file() {
        assert!(start.elapsed() < Duration::from_mins(5), "no checkpoint within five minutes");
        assert!(child.try_wait().expect("a child").is_none(), "it ended before the evaluation");
        std::thread::sleep(Duration::from_millis(2));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was sent");
    child.wait_with_output().expect("it ends")
}

fn evaluated(run: &Path, step: u64) -> Vec<Value> {
    rows_of(&run.join("eval.jsonl")).into_iter().filter(|row| row["step"] == step).collect()
}

fn assert_same(run: &Path, whole: &Path) {
    assert_eq!(timeless_metrics(run), timeless_metrics(whole));
    for log in ["eval.jsonl", "moe.jsonl"] {
        assert_eq!(rows_of(&run.join(log)), rows_of(&whole.join(log)), "{log}");
    }
    let model = |run: &Path| fs::read(run.join("final/model.safetensors")).expect("a model");
    assert_eq!(model(run), model(whole));
}

#[test]
fn a_kill_in_the_last_evaluation_costs_no_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, broken, partial] = ["whole", "broken", "partial"].map(|name| folder.path().join(name));
    let sets = [&LONG[..], &["max_steps=3", "train.save_steps=0"]].concat();
    assert_code(&ruminate(&tiny("train-rl", text(&whole), &sets)), 0);
    assert_eq!(evaluated(&whole, 3).len(), 3, "validation, with an empty thought, test");

    let args = tiny("train-rl", text(&broken), &sets);
    let killed = signalled_after(&broken, &args, 3, "-KILL");
    assert_eq!(killed.status.code(), None, "{}", told(&killed));
    assert!(evaluated(&broken, 3).is_empty() && !broken.join("complete.json").exists());
    let copied = Command::new("cp").arg("-r").args([&broken, &partial]).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy");

    let metrics = fs::read(broken.join("metrics.jsonl")).expect("metrics");
    let resumed = ruminate(&[args, vec!["--resume", "auto"]].concat());
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("(step 3)"), "{}", told(&resumed));
    assert_eq!(fs::read(broken.join("metrics.jsonl")).expect("metrics"), metrics, "no step was made again");
    assert_same(&broken, &whole);

    // Killed between two rows of the evaluation: none is there twice, none is missing.
    let mut log = fs::OpenOptions::new().append(true).open(partial.join("eval.jsonl")).expect("a log");
    writeln!(log, "{}", evaluated(&whole, 3)[0]).expect("written");
    drop(log);
    assert_code(&ruminate(&[tiny("train-rl", text(&partial), &sets), vec!["--resume", "auto"]].concat()), 0);
    assert_same(&partial, &whole);
}

#[test]
fn an_evaluation_on_the_way_that_was_interrupted_is_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let sets = [&LONG[..], &["max_steps=4", "train.save_steps=2", "grpo.eval_steps=2"]].concat();
    assert_code(&ruminate(&tiny("train-rl", text(&whole), &sets)), 0);
    assert_eq!(evaluated(&whole, 2).len(), 2, "validation, with an empty thought");

    let args = tiny("train-rl", text(&broken), &sets);
    let interrupted = signalled_after(&broken, &args, 2, "-INT");
    assert_code(&interrupted, 130);
    assert!(told(&interrupted).contains("after step 2, which is saved"), "{}", told(&interrupted));
    assert!(evaluated(&broken, 2).is_empty());
    assert_code(&ruminate(&[args, vec!["--resume", "auto"]].concat()), 0);
    assert_same(&broken, &whole);
}
