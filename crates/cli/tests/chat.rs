//! `generate --chat` through a pipe: answers alone on standard output, history, and what leaves.

mod common;

use common::{assert_code, fixture, ruminate, told, with_input};
use serde_json::json;
use std::fs;
use std::path::Path;

/// A tiny random model of Qwen2's architecture that speaks printable ASCII, with Qwen2.5's chat template or without one.
fn model(folder: &Path, positions: usize, template: Option<&str>) -> String {
    let run = folder.join("run");
    let architecture = format!(
        "model={{ model_type = 'qwen2', hidden_size = 16, num_hidden_layers = 1, num_attention_heads = 2, \
         num_key_value_heads = 1, intermediate_size = 16, max_position_embeddings = {positions} }}"
    );
    let sets = [architecture.as_str(), "pretrain.max_steps=1"];
    // Only this model: the tiny recipe's keys are those of another architecture.
    let mut args = vec!["pretrain", "--out", run.to_str().expect("UTF-8")];
    for set in sets.iter().chain(&["pretrain.batch_size=2"]) {
        args.extend(["--set", set]);
    }
    assert_code(&ruminate(&args), 0);
    let model = run.join("final");
    if let Some(template) = template {
        let template =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/text/templates").join(template);
        fs::copy(template, model.join("chat_template.jinja")).expect("copied");
    }
    model.to_str().expect("UTF-8").to_owned()
}

fn chat(model: &str, more: &[&str], input: &str) -> (String, String) {
    let args = [&["generate", "--chat", "--model", model, "--max-new-tokens", "12"], more].concat();
    let output = with_input(&args, input);
    assert_code(&output, 0);
    (String::from_utf8(output.stdout.clone()).expect("UTF-8"), told(&output))
}

#[test]
fn a_conversation_answers_line_by_line_remembers_and_forgets() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), 2048, Some("qwen2_5.jinja"));
    let (one, _) = chat(&model, &["--temperature", "0"], "1+1=\n");
    assert!(!one.contains('\x1b') && !one.starts_with("> "), "no colour and no prompt in a pipe: {one:?}");
    // Greedy: the same question in the same place has the same answer.
    let (cleared, _) = chat(&model, &["--temperature", "0"], "1+1=\n/clear\n\n1+1=\n/exit\n2+2=\n");
    assert_eq!(
        cleared,
        one.repeat(2),
        "a cleared conversation starts anew, a blank line asks nothing, and /exit leaves"
    );
    let (sampled, _) = chat(&model, &["--seed", "5"], "1+1=\nagain\n");
    assert_eq!(
        chat(&model, &["--seed", "5"], "1+1=\nagain\n").0,
        sampled,
        "a seed's conversation is repeatable"
    );
}

#[test]
fn a_conversation_that_outgrows_the_model_forgets_its_oldest_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), 256, Some("qwen2_5.jinja"));
    let question = "x".repeat(40);
    let (_, story) = chat(&model, &[], &format!("{question}\n{question}\n{question}\n"));
    assert!(story.contains("256 positions: its oldest turn is forgotten"), "{story}");
    let long = with_input(&["generate", "--chat", "--model", &model], &format!("hi\n{}\n", "x".repeat(300)));
    assert_code(&long, 3);
    assert!(told(&long).contains("<stdin>:2: ") && told(&long).contains("256 positions"), "{}", told(&long));
}

#[test]
fn a_model_without_a_template_takes_each_line_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), 64, None);
    let (one, story) = chat(&model, &["--temperature", "0"], "1+1=\n");
    assert!(story.contains("no chat template"), "{story}");
    assert_eq!(chat(&model, &["--temperature", "0"], "1+1=\n1+1=\n").0, one.repeat(2));
    let unknown = with_input(&["generate", "--chat", "--model", &model], "\u{e9}\n");
    assert_code(&unknown, 3);
    assert!(told(&unknown).contains("<stdin>:1: character"), "{}", told(&unknown));
}

#[test]
fn a_chat_needs_a_tokenizer_and_takes_no_files() {
    let bare = fixture("qwen2");
    let bare = bare.to_str().expect("UTF-8");
    assert_code(&ruminate(&["generate", "--chat", "--model", bare]), 3);
    assert_code(&ruminate(&["generate", "--chat", "--model", bare, "--input", "x.jsonl"]), 2);
}

#[test]
fn messages_are_put_in_the_template_with_its_generation_prompt_and_text_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), 512, Some("qwen2_5.jinja"));
    let chat =
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n";
    let messages =
        json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "1+1=" }]);
    let input = format!("{}\n{}\n", json!({ "prompt": messages }), json!({ "prompt": chat }));
    let output =
        with_input(&["generate", "--model", &model, "--max-new-tokens", "2", "--temperature", "0"], &input);
    assert_code(&output, 0);
    let rows = common::rows(&output.stdout);
    assert_eq!(rows[0]["prompt_ids"], rows[1]["prompt_ids"]);
    assert_eq!(
        rows[0]["prompt_ids"].as_array().map(Vec::len),
        Some(chat.chars().count()),
        "a token a character"
    );
    assert!(rows[0]["text"].is_string());
    let scored = with_input(
        &["score", "--model", &model],
        &format!("{}\n", json!({ "prompt": chat, "completion": "2" })),
    );
    assert_code(&scored, 0);
    let row = &common::rows(&scored.stdout)[0];
    assert_eq!(row["logprobs"].as_array().map(Vec::len), Some(1));
    let difference = row["sum"].as_f64().expect("a sum") - row["logprobs"][0].as_f64().expect("a logarithm");
    assert!(difference.abs() < 1e-6, "{row}");
}

/// The recipes for real checkpoints, on a random one of the same family and a few rows.
#[test]
fn recipes_for_checkpoints_run_a_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = format!("model={}", model(folder.path(), 2048, Some("qwen2_5.jinja")));
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
    let held_out = folder.path().join("held_out.jsonl");
    fs::write(&held_out, r#"{"question": "7 and 1?", "answer": "7+1=8\n#### 8"}"#).expect("written");
    let (train, eval) =
        (format!("data.train={}", tasks.display()), format!("data.eval={}", held_out.display()));
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    for (recipe, data) in [("qwen2.5-0.5b-countdown.toml", &[][..]), ("gsm8k.toml", &[train.as_str(), &eval])]
    {
        let run = folder.path().join(recipe);
        let recipe = recipes.join(recipe);
        let mut args =
            vec!["train-rl", recipe.to_str().expect("UTF-8"), "--out", run.to_str().expect("UTF-8")];
        let small = [
            "max_steps=1",
            &model,
            "rollout.max_new_tokens=4",
            "grpo.prompts_per_step=2",
            "grpo.num_generations=2",
            "grpo.num_minibatches=1",
            "eval.n=1",
            "eval.num_samples=1",
        ];
        for set in small.iter().chain(data) {
            args.extend(["--set", set]);
        }
        assert_code(&ruminate(&args), 0);
        assert!(run.join("final/model.safetensors").is_file());
        let row = &common::rows_of(&run.join("completions/step-000001.jsonl"))[0];
        assert_ne!(row["verdict"], "unscored", "{row}");
    }
}
