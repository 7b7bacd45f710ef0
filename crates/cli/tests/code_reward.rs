//! A training run whose reward runs what the policy writes: this binary is the sandbox's helper. Verdicts flow into the
//! groups, and nothing that a program started outlives the run.
#![cfg(target_os = "linux")]

mod common;

use common::{assert_code, rows_of, ruminate, tiny, told};
use std::fs;

/// The exit code of a system without a layer of the sandbox.
const NO_SANDBOX: i32 = 6;

#[test]
fn programs_are_run_and_judged_while_training_and_nothing_outlives_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tasks, run) = (folder.path().join("tasks.jsonl"), folder.path().join("run"));
    // What is run echoes its input, whatever the policy wrote: a task with an even number expects that, the others
    // do not. It also leaves a process behind.
    let lines: Vec<String> = (0..40)
        .map(|i| {
            let output = if i % 2 == 0 { "echo" } else { "something else" };
            format!(r#"{{"prompt": "{i}=", "answer": "", "tests": [{{"input": "echo\n", "output": "{output}"}}]}}"#)
        })
        .collect();
    fs::write(&tasks, lines.join("\n")).expect("written");
    let left_behind = format!("7{:09}", std::process::id());
    let data = format!("data.train={}", tasks.display());
    let reward = format!(
        "reward.components=[{{ kind = 'code', file = 'answer', timeout_ms = 20000, \
         command = ['sh', '-c', 'setsid sleep {left_behind} > /dev/null 2>&1 & cat answer > copy; exec cat'] }}]"
    );
    // A base that closes its answers, so that there is something to run.
    let sets = [
        data.as_str(),
        reward.as_str(),
        "data.mix={ direct = 1, partial = 0, slip = 0, corrected = 0, correct = 0, untagged = 0 }",
        "pretrain.max_steps=80",
        "pretrain.batch_size=16",
        "pretrain.warmup_steps=5",
        "pretrain.learning_rate=1e-2",
        "eval.n=2",
        "rollout.max_new_tokens=40",
    ];
    let output = ruminate(&tiny("train-rl", run.to_str().expect("UTF-8"), &sets));
    if output.status.code() == Some(NO_SANDBOX) {
        eprintln!("SKIPPED: {}", told(&output));
        return;
    }
    assert_code(&output, 0);
    assert!(told(&output).contains("warning"), "the user is warned: {}", told(&output));
    let mut judged = [0, 0];
    for row in (1..=2).flat_map(|step| rows_of(&run.join(format!("completions/step-{step:06}.jsonl")))) {
        let number: usize = row["prompt"]
            .as_str()
            .and_then(|p| p.strip_suffix('='))
            .expect("a prompt")
            .parse()
            .expect("a number");
        assert_ne!(row["verdict"], "unscored", "{row}");
        let ran = row["verdict"] == "correct"
            || row["why"].as_str().is_some_and(|why| why.contains("something else"));
        if ran {
            assert_eq!(row["verdict"] == "correct", number.is_multiple_of(2), "{row}");
            judged[number % 2] += 1;
        }
    }
    assert!(judged[0] > 0 && judged[1] > 0, "programs of both kinds ran: {judged:?}");
    assert!(!is_running(&left_behind), "a process of a program has outlived the run");
}

/// Whether any process has this argument.
fn is_running(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands
        .into_iter()
        .any(|command| command.split(|&byte| byte == 0).any(|word| word == argument.as_bytes()))
}
