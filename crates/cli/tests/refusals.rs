//! What the binary refuses: with which exit code, and whether the message helps. Nothing here trains.

mod common;

use common::{assert_code, ruminate, told};
use std::fs;

#[test]
fn an_unknown_key_of_a_recipe_exits_2_with_the_nearest_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, "extends = \"default\"\n[grpo]\nnum_generation = 4\n").expect("written");
    let output = ruminate(&["train-rl", recipe.to_str().expect("UTF-8")]);
    assert_code(&output, 2);
    let told = told(&output);
    assert!(told.contains("recipe.toml"), "{told}");
    assert!(
        told.contains("unknown key `grpo.num_generation`; did you mean `grpo.num_generations`?"),
        "{told}"
    );
}

#[test]
fn usage_exits_2() {
    for args in [
        &["tarin-rl"][..],
        &["train-rl", "absent.toml"],
        &["train-rl", "--set", "train.learning_rate=-1"],
        &["train-rl", "--set", "model.n_routed_experts=1"],
        &["train-rl", "--device", "tpu"],
        &["train-rl", "--allow-changed"],
        &["eval"],
        &["pretrain", "--set", "model=some/folder"],
        &["bench", "generate", "--model", ".", "--batch", "0"],
    ] {
        let output = ruminate(args);
        assert_code(&output, 2);
        assert!(!told(&output).is_empty(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}: standard output is for results");
    }
}

#[test]
fn a_device_that_was_not_compiled_in_is_refused_with_the_build_command() {
    if cfg!(feature = "cuda") {
        return; // then the machine decides
    }
    let output = ruminate(&["train-rl", "--device", "cuda:1"]);
    assert_code(&output, 2);
    assert!(told(&output).contains("--features cuda"), "{}", told(&output));
}

#[test]
fn a_bad_line_of_tasks_exits_3_with_its_place_before_any_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = folder.path().join("my.jsonl");
    let out = folder.path().join("run");
    let set = format!("data.train={}", tasks.display());
    for (second_line, says) in [
        ("{\"prompt\": \"2+2=\", ", "my.jsonl:2: expected one JSON object"),
        ("{\"prompt\": \"2+2=\"}", "my.jsonl:2: expected a column `answer`"),
        ("{\"prompt\": \"2\u{d7}2=\", \"answer\": 4}", "set `model` to a model folder"),
    ] {
        fs::write(&tasks, format!("{{\"prompt\": \"1+1=\", \"answer\": 2}}\n{second_line}\n"))
            .expect("written");
        let output = ruminate(&["train-rl", "--out", out.to_str().expect("UTF-8"), "--set", &set]);
        assert_code(&output, 3);
        let told = told(&output);
        assert!(told.contains("my.jsonl:2:") && told.contains(says), "{told}");
        assert!(!out.exists(), "nothing was begun");
    }
}

#[test]
fn a_missing_or_broken_model_folder_exits_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    assert_code(&ruminate(&["generate", "--model", path]), 3);
    fs::write(folder.path().join("config.json"), "{").expect("written");
    let output = ruminate(&["score", "--model", path]);
    assert_code(&output, 3);
    assert!(told(&output).contains("config.json"), "{}", told(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_exits_7() {
    let full = common::with_input(
        &["verify", "--output", "/dev/full"],
        "{\"kind\": \"format\", \"completion\": \"\"}\n",
    );
    assert_code(&full, 7);
    assert!(told(&full).contains("/dev/full"), "{}", told(&full));
    assert_code(&ruminate(&["train-rl", "--out", "/proc/ruminate"]), 7);
}

#[test]
fn a_run_folder_has_one_run_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let lock = fs::File::create(folder.path().join(".lock")).expect("made");
    lock.try_lock().expect("nobody else has it");
    let output = ruminate(&["train-rl", "--out", folder.path().to_str().expect("UTF-8")]);
    assert_code(&output, 2);
    assert!(told(&output).contains("in use by another run"), "{}", told(&output));
}
