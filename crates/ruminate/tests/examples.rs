//! The examples run as their heads say, at toy size: a reward of one's own, then GRPO on a file with the policy that came of it,
//! then its distillation.

#[path = "../../cli/tests/common/tiny_recipe.rs"]
mod tiny_recipe;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the examples that it builds with the tests.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let profile = this.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let path = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{}: build it by `cargo test -p ruminate`, without --test", path.display());
    path
}

/// Runs an example in a folder and returns what it printed.
fn run(name: &str, folder: &Path, args: &[&str]) -> String {
    let output = Command::new(example(name)).args(args).current_dir(folder).output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {printed}");
    printed
}

#[test]
fn the_examples_train_and_print_a_table() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let read = |key: &&str| !key.starts_with("distill.") && !key.starts_with("sft.");
    let tiny: Vec<&str> = tiny_recipe::TINY.into_iter().filter(read).collect();
    let table = run("own_reward", folder, &tiny);
    assert!(
        table.contains("pass@1, sampled") && table.contains("before") && table.contains("after"),
        "{table}"
    );
    let run_folder = folder.join("runs/example-palindromes");
    let config = fs::read_to_string(run_folder.join("config.json")).expect("a recipe");
    assert!(config.contains("\"palindrome\""), "the recipe names the reward: {config}");
    let metrics = fs::read_to_string(run_folder.join("metrics.jsonl")).expect("a log");
    assert!(metrics.contains("rewards/palindrome/mean"), "{metrics}");

    let policy = run_folder.join("final");
    let policy = policy.to_str().expect("UTF-8");
    let rows: Vec<String> =
        (0..40).map(|n| format!("{{\"prompt\": \"{n}+1=\", \"answer\": \"{}\"}}", n + 1)).collect();
    fs::write(folder.join("sums.jsonl"), rows.join("\n")).expect("written");
    let few = [
        "max_steps=1",
        "grpo.prompts_per_step=4",
        "grpo.num_generations=4",
        "rollout.max_new_tokens=8",
        "eval.n=4",
    ];
    let table = run("train_rl", folder, &[&[policy, "sums.jsonl"], &few[..]].concat());
    assert!(table.contains("pass@1, sampled") && table.contains("runs/example/final"), "{table}");
    assert!(folder.join("runs/example/final/model.safetensors").is_file());

    // An untrained teacher writes no correct trace, which the example says.
    let task = ["data.task=chain_sum", "distill.prompts=4", "eval.n=4"];
    let output = Command::new(example("distill"))
        .args([&[policy, policy], &task[..]].concat())
        .current_dir(folder)
        .output()
        .expect("it starts");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains("no trace that passes the filters"), "{printed}");
}

#[test]
fn an_option_that_contradicts_a_key_is_an_error_of_usage() {
    let options = ruminate::RunOptions { model: Some("A".into()), ..ruminate::RunOptions::default() };
    let error = ruminate::train_rl(options.set("model=B")).expect_err("a contradiction");
    assert_eq!(error.kind(), ruminate::ErrorKind::Usage);
    assert!(error.to_string().contains("contradict each other"), "{error}");
}

#[test]
fn a_verifier_is_registered_once_by_its_name() {
    let judge = |_: &ruminate::Task, _: &ruminate::Response<'_>| ruminate::Verdict::correct(1.0);
    ruminate::register_verifier("once", judge).expect("a new name");
    for taken in ["once", "exact", "cosine", "command"] {
        let error = ruminate::register_verifier(taken, judge).expect_err(taken);
        assert!(error.to_string().contains(taken), "{error}");
    }
}
