//! Adapters from the outside: what a run leaves behind, that all ways to it mean the same model, and what is refused.

mod common;

use common::{assert_code, rows, rows_of, ruminate, timeless_metrics, tiny, told, with_input};
use std::fs;
use std::path::Path;
use std::process::Output;

/// Greedy completions of a prompt and the score of a completion.
fn speaks(model: &[&str]) -> (serde_json::Value, serde_json::Value) {
    let generate = [&["generate", "--temperature", "0", "--max-new-tokens", "8"], model].concat();
    let written = with_input(&generate, "{\"prompt\": \"14-8+1=\"}\n");
    assert_code(&written, 0);
    let score = with_input(&[&["score"], model].concat(), "{\"prompt\": \"1+1=\", \"completion\": \"02\"}\n");
    assert_code(&score, 0);
    (rows(&written.stdout)[0]["completion_ids"].clone(), rows(&score.stdout)[0]["sum"].clone())
}

/// A folder with a pretrained base in `base/final` and pairs to tune it on.
struct Tuning(tempfile::TempDir);

impl Tuning {
    fn new() -> Self {
        let tuning = Self(tempfile::tempdir().expect("a folder"));
        let pair = "{\"prompt\": \"1+1=\", \"completion\": \"<answer>02</answer>\"}\n";
        fs::write(tuning.path("pairs.jsonl"), pair.repeat(3)).expect("written");
        assert_code(&ruminate(&tiny("pretrain", &tuning.path("base"), &[])), 0);
        tuning
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn sft(&self, out: &str) -> Output {
        let data = format!("data.train={}", self.path("pairs.jsonl"));
        let model = format!("model={}", self.path("base/final"));
        let sets = [
            data.as_str(),
            &model,
            "lora.r=2",
            "lora.alpha=8",
            "sft.learning_rate=1e-2",
            "sft.max_steps=4",
            "sft.save_steps=2",
        ];
        let out = self.path(out);
        ruminate(&[tiny("sft", &out, &sets), vec!["--resume", "auto"]].concat())
    }
}

#[test]
fn all_ways_to_a_model_with_adapters_agree() {
    let tuning = Tuning::new();
    let path = |name: &str| tuning.path(name);
    let output = tuning.sft("run");
    assert_code(&output, 0);
    assert!(told(&output).contains("parameters are trained"), "{}", told(&output));

    let (merged, adapter, base) = (path("run/final"), path("run/final/adapter"), path("base/final"));
    let expected = speaks(&["--model", &merged]);
    assert_ne!(expected.1, speaks(&["--model", &base]).1, "the adapters learnt something");
    assert_eq!(speaks(&["--model", &adapter]), expected, "the adapter folder names its base");
    assert_eq!(speaks(&["--model", &base, "--adapter", &adapter]), expected);
    assert_eq!(speaks(&["--model", &path("run/checkpoints/step-000004")]), expected);
    let made = path("made");
    let merging = ruminate(&["merge", &adapter, &made]);
    assert_code(&merging, 0);
    let line = &rows(&merging.stdout)[0];
    assert_eq!((&line["model"], &line["adapter"]), (&made.as_str().into(), &adapter.as_str().into()));
    assert!(line["base"].as_str().is_some_and(|named| named.ends_with("base/final")), "{line}");
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
    assert_eq!(sets, ["validation", "test"]);

    assert_code(&ruminate(&["merge", &adapter, &made]), 2); // it is there
    for (name, make) in IN_THE_WAY {
        let out = path(name);
        make(Path::new(&out));
        let refused = ruminate(&["merge", &adapter, &out]);
        assert_code(&refused, 2);
        assert!(told(&refused).contains("exists already") && refused.stdout.is_empty(), "{}", told(&refused));
        assert!(Path::new(&out).symlink_metadata().is_ok(), "{name} is still there");
    }
    for whole in [&merged, &path("run")] {
        let nothing = ruminate(&["merge", whole, &path("none")]);
        assert_code(&nothing, 3);
        assert!(told(&nothing).contains("final/adapter"), "{}", told(&nothing));
    }
    assert_code(&ruminate(&["score", "--model", &adapter, "--adapter", &adapter]), 2);
}

/// A name and what makes it.
type Obstacle = (&'static str, fn(&Path));

/// What a merge must not put its model in the place of.
const IN_THE_WAY: [Obstacle; 3] = [
    ("a-file", |path| fs::write(path, "mine").expect("written")),
    ("an-empty-folder", |path| fs::create_dir(path).expect("made")),
    ("a-link-to-nothing", |path| std::os::unix::fs::symlink("absent", path).expect("linked")),
];

#[test]
fn reinforcement_leaves_adapters_beside_the_merged_model_and_refers_to_the_base() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let output = ruminate(&tiny("train-rl", run.to_str().expect("UTF-8"), &["lora.r=2", "grpo.beta=0.01"]));
    assert_code(&output, 0);
    let metrics = rows_of(&run.join("metrics.jsonl"));
    assert_eq!((metrics.len(), &metrics[0]["kl"]), (2, &0.0.into()), "the reference is the base");
    for file in ["model.safetensors", "tokenizer.json", "adapter/adapter_model.safetensors"] {
        assert!(run.join("final").join(file).is_file(), "final/{file}");
    }
    let config = fs::read_to_string(run.join("final/adapter/adapter_config.json")).expect("a configuration");
    assert!(config.contains(run.join("base/final").to_str().expect("UTF-8")), "{config}");
}

#[test]
fn fine_tuning_of_adapters_resumes_to_the_same_metrics_and_weights() {
    let tuning = Tuning::new();
    assert_code(&tuning.sft("whole"), 0);
    assert_code(&tuning.sft("broken"), 0);
    let (whole, broken) = (tuning.0.path().join("whole"), tuning.0.path().join("broken"));
    // As after a kill between steps 2 and 4.
    for name in ["complete.json", "checkpoints/step-000004/manifest.json"] {
        fs::remove_file(broken.join(name)).expect("removed");
    }
    let resumed = tuning.sft("broken");
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("(step 2)"), "{}", told(&resumed));
    assert_eq!(timeless_metrics(&broken), timeless_metrics(&whole));
    let weights = |run: &Path| fs::read(run.join("final/model.safetensors")).expect("weights");
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
        ("train-rl", vec!["lora.r=17"], "`lora.r` is 17, above the width of the model, 16"),
    ] {
        let output = ruminate(&tiny(command, run, &sets));
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{command} {sets:?}: {}", told(&output));
        assert!(!Path::new(run).exists(), "{command} {sets:?}");
    }
}
