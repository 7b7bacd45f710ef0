//! Adapters from the outside: what a run leaves behind, that all ways to it mean the same model, and what is refused.

mod common;

use common::{assert_code, rows, rows_of, ruminate, timeless_metrics, tiny, told, with_input};
use std::fs;
use std::path::Path;

/// Greedy completions of a prompt and the score of a completion.
fn speaks(model: &[&str]) -> (serde_json::Value, serde_json::Value) {
    let generate = [&["generate", "--temperature", "0", "--max-new-tokens", "8"], model].concat();
    let written = with_input(&generate, "{\"prompt\": \"14-8+1=\"}\n");
    assert_code(&written, 0);
    let score = with_input(&[&["score"], model].concat(), "{\"prompt\": \"1+1=\", \"completion\": \"02\"}\n");
    assert_code(&score, 0);
    (rows(&written.stdout)[0]["completion_ids"].clone(), rows(&score.stdout)[0]["sum"].clone())
}

#[test]
fn a_run_with_adapters_leaves_them_and_the_merged_model_and_all_ways_to_it_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let run = path("run");
    let sets =
        ["lora.r=2", "lora.alpha=64", "train.learning_rate=1e-2", "train.warmup_steps=0", "grpo.beta=0.01"];
    let output = ruminate(&tiny("train-rl", &run, &sets));
    assert_code(&output, 0);
    assert!(told(&output).contains("parameters are trained"), "{}", told(&output));
    let metrics = rows_of(&Path::new(&run).join("metrics.jsonl"));
    assert_eq!((metrics.len(), &metrics[0]["kl"]), (2, &0.0.into()), "the reference is the base");

    let (merged, adapter, base) = (path("run/final"), path("run/final/adapter"), path("run/base/final"));
    for file in ["model.safetensors", "tokenizer.json", "adapter/adapter_config.json"] {
        assert!(Path::new(&merged).join(file).is_file(), "final/{file}");
    }
    let expected = speaks(&["--model", &merged]);
    assert_ne!(expected.1, speaks(&["--model", &base]).1, "the adapters learnt something");
    assert_eq!(speaks(&["--model", &adapter]), expected, "the adapter folder names its base");
    assert_eq!(speaks(&["--model", &base, "--adapter", &adapter]), expected);
    let made = path("made");
    assert_code(&ruminate(&["merge", &adapter, &made]), 0);
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        let read = |folder: &str| fs::read(Path::new(folder).join(file)).expect("a file");
        assert_eq!(read(&made), read(&merged), "{file}");
    }

    let model = format!("model={adapter}");
    let refused = ruminate(&tiny("train-rl", &path("other"), &[&model]));
    assert_code(&refused, 2);
    assert!(told(&refused).contains("ruminate merge"), "{}", told(&refused));
    let measured = ruminate(&tiny("eval", &path("measured"), &[&model, "eval.empty_thought=false"]));
    assert_code(&measured, 0);
    let sets: Vec<serde_json::Value> = rows(&measured.stdout).iter().map(|row| row["set"].clone()).collect();
    assert_eq!(sets, ["held_out", "fresh"]);

    assert_code(&ruminate(&["merge", &adapter, &made]), 2); // it is there
    assert_code(&ruminate(&["merge", &merged, &path("none")]), 3); // nothing to merge
    let twice = ruminate(&["score", "--model", &adapter, "--adapter", &adapter]);
    assert_code(&twice, 2);
}

#[test]
fn fine_tuning_trains_adapters_and_resumes_to_the_same_metrics() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let pairs = path("pairs.jsonl");
    fs::write(&pairs, "{\"prompt\": \"1+1=\", \"completion\": \"<answer>02</answer>\"}\n".repeat(3))
        .expect("written");
    let base = path("base");
    assert_code(&ruminate(&tiny("pretrain", &base, &[])), 0);
    let (data, model) = (format!("data.train={pairs}"), format!("model={base}/final"));
    let sft = |out: &str, more: &[&str]| {
        let sets =
            [&[data.as_str(), &model, "lora.r=2", "sft.max_steps=4", "sft.save_steps=2"], more].concat();
        let mut args: Vec<String> = tiny("sft", out, &sets).into_iter().map(str::to_owned).collect();
        args.extend(["--resume", "auto"].map(str::to_owned));
        ruminate(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (whole, broken) = (path("whole"), path("broken"));
    assert_code(&sft(&whole, &[]), 0);
    // As after a kill between steps 2 and 4.
    assert_code(&sft(&broken, &[]), 0);
    for name in ["complete.json", "checkpoints/step-000004/manifest.json"] {
        fs::remove_file(Path::new(&broken).join(name)).expect("removed");
    }
    let resumed = sft(&broken, &[]);
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("(step 2)"), "{}", told(&resumed));
    assert_eq!(timeless_metrics(Path::new(&broken)), timeless_metrics(Path::new(&whole)));
    let weights = |run: &str| fs::read(Path::new(run).join("final/model.safetensors")).expect("weights");
    assert_eq!(weights(&broken), weights(&whole));
}

#[test]
fn adapters_that_cannot_be_are_refused_before_anything_is_computed() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let run = run.to_str().expect("UTF-8");
    for (command, sets, says) in [
        ("train-rl", vec!["lora.target_modules=[\"o_porj\"]"], "did you mean `o_proj`?"),
        ("train-rl", vec!["lora.target_modules=[\"gate\"]"], "it can adapt kv_a_proj_with_mqa, kv_b_proj"),
        ("pretrain", vec!["lora.r=4"], "remove [lora]"),
        ("sft", vec!["lora.r=4", "data.train=absent.jsonl"], "random ones"),
        ("train-rl", vec!["lora.r=0"], "`lora.r` is 0"),
    ] {
        let output = ruminate(&tiny(command, run, &sets));
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{command} {sets:?}: {}", told(&output));
        assert!(!Path::new(run).exists(), "{command} {sets:?}");
    }
}
