//! What the binary refuses: with which exit code, and whether the message helps. Nothing here trains.

mod common;

use common::{assert_code, fixture, ruminate, told};
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
fn caches_that_do_not_fit_exit_2_before_any_training_with_what_they_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let set = "rollout.kv_cache_memory_gib=0.00001";
    let output = ruminate(&["train-rl", "--out", out.to_str().expect("UTF-8"), "--set", set]);
    assert_code(&output, 2);
    let told = told(&output);
    assert!(
        told.contains("`kv_cache_memory_gib` is 0.00001") && told.contains("expected at least"),
        "{told}"
    );
    assert!(!out.exists(), "nothing was begun");
}

#[test]
fn a_row_too_short_for_one_of_many_traces_is_found_before_any_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let pretrain = |row_length: &str| {
        let set = format!("pretrain.row_length={row_length}");
        ruminate(&["pretrain", "--out", out.to_str().expect("UTF-8"), "--set", &set])
    };
    let refused = pretrain("40");
    assert_code(&refused, 2);
    assert!(
        told(&refused).contains("`pretrain.row_length` = 40: expected room for the longest"),
        "{}",
        told(&refused)
    );
    assert!(!out.join("metrics.jsonl").exists());
}

#[test]
fn a_sample_that_fits_no_row_exits_3_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let pairs = folder.path().join("pairs.jsonl");
    let row = |answer: &str| format!("{{\"prompt\": \"1+1=\", \"completion\": \"{answer}\"}}\n");
    fs::write(&pairs, row("02") + &row(&"2".repeat(60))).expect("written");
    let (set, out) = (format!("data.train={}", pairs.display()), folder.path().join("run"));
    let out = out.to_str().expect("UTF-8");
    let refused = ruminate(&["sft", "--out", out, "--set", &set, "--set", "sft.row_length=48"]);
    assert_code(&refused, 3);
    let told = told(&refused);
    assert!(
        told.contains("pairs.jsonl:2: expected a sample of at most `sft.row_length` = 48 tokens, found 65"),
        "{told}"
    );
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

#[test]
fn a_model_of_the_hub_that_is_not_here_exits_3_with_the_folder_to_fill() {
    if cfg!(feature = "hub") {
        return; // then tests/hub.rs asks a server
    }
    let tasks = fixture("llama_tied").join("config.json");
    let tasks = format!("data.train={}", tasks.display());
    for args in [
        &["generate", "--model", "Qwen/Qwen2.5-0.5B"][..],
        &["score", "--model", "Qwen/Qwen2.5-0.5B"],
        &["bench", "generate", "--model", "Qwen/Qwen2.5-0.5B"],
        &["eval", "--set", "model=Qwen/Qwen2.5-0.5B"],
        &["train-rl", "--set", "model=Qwen/Qwen2.5-0.5B"],
        &["sft", "--set", "model=Qwen/Qwen2.5-0.5B", "--set", &tasks],
        &["distill", "--set", "distill.teacher=Qwen/Qwen2.5-0.5B"],
    ] {
        let output = ruminate(args);
        assert_code(&output, 3);
        let told = told(&output);
        for says in
            ["without the feature `hub`", "into the folder Qwen/Qwen2.5-0.5B", "model.safetensors.index.json"]
        {
            assert!(told.contains(says), "{args:?}: {told}");
        }
    }
}

/// A tiny model beside a tokenizer that has more tokens than it.
#[test]
fn a_tokenizer_beyond_the_vocabulary_exits_3_before_the_model_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::copy(fixture("llama_tied").join("config.json"), path.join("config.json")).expect("copied");
    // Were it read, that would be another error.
    fs::write(path.join("model.safetensors"), "no weights").expect("written");
    let tokens: serde_json::Map<_, _> = (0..41).map(|id| (format!("t{id}"), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "t0"},
    });
    fs::write(path.join("tokenizer.json"), tokenizer.to_string()).expect("written");
    let model = path.to_str().expect("UTF-8");
    let set = format!("model={model}");
    for args in [&["generate", "--model", model][..], &["score", "--model", model], &["eval", "--set", &set]]
    {
        let output = common::with_input(args, "{\"prompt\": \"t1\", \"completion\": \"t2\"}\n");
        assert_code(&output, 3);
        assert!(told(&output).contains("40"), "{args:?}: {}", told(&output));
        assert!(!told(&output).contains("safetensors"), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_tokenizer_or_config_nested_too_deep_exits_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let model = path.to_str().expect("UTF-8");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture("llama_tied").join(name), path.join(name)).expect("copied");
    }
    for name in ["tokenizer.json", "config.json"] {
        for opening in ["[", "{\"model\":"] {
            fs::write(path.join(name), opening.repeat(200_000)).expect("written");
            let output = common::with_input(&["generate", "--model", model], "{\"prompt\": \"a\"}\n");
            assert_code(&output, 3);
            assert!(told(&output).contains(name), "{}", told(&output));
        }
    }
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
