//! The recipes for real checkpoints, each for a step on a random one of the same family and a few rows.

mod common;

use common::{assert_code, qwen2, rows_of, ruminate};
use std::fs;
use std::path::Path;

#[test]
fn recipes_for_checkpoints_run_a_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = format!("model={}", qwen2(folder.path(), 2048, Some("qwen2_5.jinja")));
    let tasks = folder.path().join("gsm8k.jsonl");
    let rows: Vec<String> = (0..6)
        .map(|i| {
            format!(
                r#"{{"question": "{i} and 1?", "answer": "{i}+1=<<{i}+1={n}>>{n}\n#### {n}"}}"#,
                n = i + 1
            )
        })
        .collect();
    fs::write(&tasks, rows.join("\n")).expect("written");
    let validation = folder.path().join("validation.jsonl");
    fs::write(&validation, r#"{"question": "7 and 1?", "answer": "7+1=8\n#### 8"}"#).expect("written");
    let (train, eval) =
        (format!("data.train={}", tasks.display()), format!("data.eval={}", validation.display()));
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let files = [train.as_str(), &eval];
    // These two name their files as seen from the root of the repository.
    let sums = ["train=sums-train", "eval=sums-held-out"].map(|set| {
        let (key, name) = set.split_once('=').expect("a key and a name");
        format!("data.{key}={}", recipes.join(format!("data/{name}.jsonl")).display())
    });
    let sums = [sums[0].as_str(), &sums[1]];
    for (recipe, data) in [
        ("qwen2.5-0.5b-countdown.toml", &[][..]),
        ("gsm8k.toml", &files[..]),
        ("gsm-symbolic.toml", &files[..]),
        ("lora-24gb.toml", &[files[0], files[1], "lora.r=8"][..]), // the model is 16 wide
        ("smollm2-sums.toml", &sums[..]),
        ("smollm2-sums-lora.toml", &sums[..]),
    ] {
        let run = folder.path().join(recipe);
        let recipe = recipes.join(recipe);
        let mut args =
            vec!["train-rl", recipe.to_str().expect("UTF-8"), "--out", run.to_str().expect("UTF-8")];
        let small = [
            "max_steps=1",
            &model,
            "rollout.max_new_tokens=64",
            "grpo.prompts_per_step=2",
            "grpo.num_generations=2",
            "grpo.num_minibatches=1",
            "eval.n=1",
            "eval.num_samples=1",
        ];
        for set in small.iter().chain(data) {
            args.extend(["--set", set]);
        }
        if fs::read_to_string(&recipe).expect("readable").contains("[lora]") {
            args.extend(["--set", "lora.r=4"]); // the random model is 8 wide
        }
        assert_code(&ruminate(&args), 0);
        assert!(run.join("final/model.safetensors").is_file());
        let row = &rows_of(&run.join("completions/step-000001.jsonl"))[0];
        assert_ne!(row["verdict"], "unscored", "{row}");
    }
}
