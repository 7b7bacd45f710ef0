//! What the tokenizer's files of a model folder mean to the commands: the border between a prompt and its completion, what ends
//! a completion, templates, and what is kept of the files.

mod common;

use common::{assert_code, rows, rows_of, ruminate, told, with_input};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn path(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

/// A tiny random model with the tokenizer `name` of `fixtures/text/pairs`, embeddings for so many ids, and these files.
fn model(folder: &Path, name: &str, vocab_size: usize, files: &[(&str, Value)]) -> PathBuf {
    let run = folder.join("run");
    let architecture = format!(
        "model={{ model_type = 'qwen2', hidden_size = 16, num_hidden_layers = 1, num_attention_heads = 2, \
         num_key_value_heads = 1, intermediate_size = 16, max_position_embeddings = 96, vocab_size = {vocab_size} }}"
    );
    let mut args = vec!["pretrain", "--out", path(&run)];
    for set in [&architecture, "pretrain.max_steps=1", "pretrain.batch_size=2"] {
        args.extend(["--set", set]);
    }
    assert_code(&ruminate(&args), 0);
    let model = run.join("final");
    let tokenizer = ruminate_testkit::fixture_path("text/pairs").join(name);
    fs::copy(tokenizer.join("tokenizer.json"), model.join("tokenizer.json")).expect("copied");
    fs::remove_file(model.join("tokenizer_config.json")).expect("removed");
    for (file, content) in files {
        write(&model, file, content);
    }
    model
}

/// Writes a file: a text as it is, anything else as JSON.
fn write(model: &Path, file: &str, content: &Value) {
    let path = model.join(file);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
    fs::write(path, text).expect("written");
}

fn set_key(model: &Path, file: &str, key: &str, value: &Value) {
    let text = fs::read_to_string(model.join(file)).expect("a file");
    let mut keys: Value = serde_json::from_str(&text).expect("JSON");
    keys[key] = value.clone();
    write(model, file, &keys);
}

fn greedy(model: &Path, input: &Value) -> std::process::Output {
    let args = ["generate", "--model", path(model), "--temperature", "0", "--max-new-tokens", "6"];
    with_input(&args, &format!("{input}\n"))
}

#[test]
fn a_completion_begins_at_its_border_in_score_and_sft() {
    let folder = tempfile::tempdir().expect("a folder");
    let model =
        model(folder.path(), "llama", 400, &[("tokenizer_config.json", json!({"eos_token": "</s>"}))]);
    let (prompt, completion) = ("Question: What is 2+2?\nAnswer:\n", "4");
    // `fixtures/text/pairs.json`: seven tokens and one.
    let ids = [333, 338, 302, 334, 303, 264, 259, 263];
    let score = |input: Value| {
        let output = with_input(&["score", "--model", path(&model)], &format!("{input}\n"));
        assert_code(&output, 0);
        rows(&output.stdout).remove(0)["logprobs"].clone()
    };
    let by_text = score(json!({"prompt": prompt, "completion": completion}));
    assert_eq!(by_text.as_array().map(Vec::len), Some(1));
    assert_eq!(by_text, score(json!({"prompt_ids": ids[..7], "completion_ids": ids[7..]})));

    let data = folder.path().join("train.jsonl");
    fs::write(&data, format!("{}\n", json!({"prompt": prompt, "completion": completion}))).expect("written");
    let out = folder.path().join("sft");
    let (model, data) = (format!("model={}", path(&model)), format!("data.train={}", path(&data)));
    let sets = ["sft.max_steps=1", "sft.batch_size=1"];
    let mut args = vec!["sft", "--out", path(&out)];
    for set in [model.as_str(), &data].iter().chain(&sets) {
        args.extend(["--set", set]);
    }
    assert_code(&ruminate(&args), 0);
    let tokens = &rows_of(&out.join("metrics.jsonl"))[0]["num_tokens"];
    assert_eq!(tokens.as_f64(), Some(ids.len() as f64 + 1.0), "the text's tokens, and the end");
}

#[test]
fn an_ending_token_beyond_the_vocabulary_exits_3_in_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[("tokenizer_config.json", json!({"eos_token": "</s>"}))]);
    let data = folder.path().join("data.jsonl");
    let row = json!({"prompt": "the cat", "completion": "sat", "answer": "1"});
    fs::write(&data, format!("{row}\n")).expect("written");
    let model_set = format!("model={}", path(&model));
    let (train, eval) = (format!("data.train={}", path(&data)), format!("data.eval={}", path(&data)));
    let teacher = format!("distill.teacher={}", path(&model));
    let out = folder.path().join("out");
    let recipes: [&[&str]; 4] = [
        &["sft", "--set", &model_set, "--set", &train],
        &["train-rl", "--set", &model_set, "--set", &train],
        &["eval", "--set", &model_set, "--set", &eval],
        &["distill", "--set", &teacher, "--set", &train],
    ];
    for (file, ids) in [("config.json", json!(999_999)), ("generation_config.json", json!([300, 999_999]))] {
        let before = fs::read(model.join(file)).expect("a file");
        set_key(&model, file, "eos_token_id", &ids);
        let mut outputs: Vec<_> =
            recipes.iter().map(|args| ruminate(&[*args, &["--out", path(&out)]].concat())).collect();
        outputs.push(greedy(&model, &json!({"prompt": "the cat"})));
        outputs.push(greedy(&model, &json!({"prompt_ids": [5]})));
        let ids = json!({"prompt_ids": [5], "completion_ids": [6]});
        outputs.push(with_input(&["score", "--model", path(&model)], &format!("{ids}\n")));
        for output in outputs {
            assert_code(&output, 3);
            let told = told(&output);
            assert!(told.contains(&format!("{file}: `eos_token_id`")) && told.contains("999999"), "{told}");
            assert!(!told.contains("panicked"), "{told}");
        }
        fs::write(model.join(file), before).expect("written");
    }
}

#[test]
fn an_ending_token_of_the_tokenizer_without_an_embedding_exits_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let model =
        model(folder.path(), "gpt2", 301, &[("special_tokens_map.json", json!({"eos_token": "<|stop|>"}))]);
    let output = greedy(&model, &json!({"prompt": "the cat"}));
    assert_code(&output, 3);
    assert!(
        told(&output).contains("`eos_token` is \"<|stop|>\", whose id 301 has no embedding"),
        "{}",
        told(&output)
    );
}

#[test]
fn each_file_s_ending_token_ends_a_completion() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[]);
    let none = |file: &str| set_key(&model, file, "eos_token_id", &Value::Null);
    none("config.json");
    none("generation_config.json");
    let input = json!({"prompt": "the cat sat"});
    let first = |length: usize, reason: &str| {
        let output = greedy(&model, &input);
        assert_code(&output, 0);
        let row = rows(&output.stdout).remove(0);
        let ids: Vec<u64> = serde_json::from_value(row["completion_ids"].clone()).expect("ids");
        assert_eq!((ids.len(), &row["finish_reason"]), (length, &json!(reason)), "{row}");
        ids[0]
    };
    let end = first(6, "length");
    let other = (end + 1) % 200;
    for file in ["config.json", "generation_config.json"] {
        let rest = if file == "config.json" { "generation_config.json" } else { "config.json" };
        set_key(&model, file, "eos_token_id", &json!([other, end]));
        set_key(&model, rest, "eos_token_id", &json!(other));
        first(1, "stop");
        none(file);
        none(rest);
    }
    let tokenizer = fs::read_to_string(model.join("tokenizer.json")).expect("a file");
    let tokenizer: Value = serde_json::from_str(&tokenizer).expect("JSON");
    let vocab = tokenizer["model"]["vocab"].as_object().expect("a vocabulary");
    let token = vocab.iter().find(|(_, id)| **id == end).expect("the token").0;
    write(&model, "tokenizer_config.json", &json!({"eos_token": token}));
    set_key(&model, "generation_config.json", "eos_token_id", &json!(other));
    first(1, "stop");
}

#[test]
fn training_towards_no_end_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[]);
    for file in ["config.json", "generation_config.json"] {
        set_key(&model, file, "eos_token_id", &Value::Null);
    }
    let data = folder.path().join("train.jsonl");
    fs::write(&data, "{\"prompt\": \"the cat\", \"completion\": \" sat\"}\n").expect("written");
    let (model_set, data) = (format!("model={}", path(&model)), format!("data.train={}", path(&data)));
    let run = |out: &str| {
        let out = folder.path().join(out);
        ruminate(&[
            "sft",
            "--out",
            path(&out),
            "--set",
            &model_set,
            "--set",
            &data,
            "--set",
            "sft.max_steps=1",
        ])
    };
    let output = run("without");
    assert_code(&output, 0);
    assert!(told(&output).contains("no file of the model names an ending token"), "{}", told(&output));
    write(&model, "tokenizer_config.json", &json!({"eos_token": "</s>"}));
    let output = run("with");
    assert_code(&output, 0);
    assert!(!told(&output).contains("ending token"), "{}", told(&output));
}

#[test]
fn sampling_values_that_are_not_used_are_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[]);
    set_key(&model, "generation_config.json", "repetition_penalty", &json!(1.3));
    let output = greedy(&model, &json!({"question": "the cat"}));
    assert_code(&output, 0);
    assert_eq!(
        rows(&output.stdout)[0]["prompt_ids"],
        json!([258, 290]),
        "`question` is read as the task readers do"
    );
    assert!(
        told(&output).contains("generation_config.json: not used: repetition_penalty 1.3"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_padding_token_without_an_embedding_matters_where_a_text_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({"pad_token": "[PAD]", "eos_token": "</s>"});
    let model = model(folder.path(), "gpt2", 301, &[("tokenizer_config.json", config)]);
    for input in [json!({"prompt_ids": [5]}), json!({"prompt": "the cat"})] {
        let output = greedy(&model, &input);
        assert_code(&output, 0);
        let told = told(&output);
        assert!(told.contains("warning") && told.contains("\"[PAD]\" (id 301)"), "{told}");
    }
    let output = greedy(&model, &json!({"prompt": "the [PAD] cat"}));
    assert_code(&output, 3);
    let told = told(&output);
    assert!(
        told.contains("<stdin>:1") && told.contains("\"[PAD]\", whose id 301 has no embedding"),
        "{told}"
    );
}

#[test]
fn ids_need_no_tokenizer_that_can_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 200, &[("tokenizer_config.json", json!({"eos_token": 2}))]);
    let output = greedy(&model, &json!({"prompt_ids": [5]}));
    assert_code(&output, 0);
    assert_eq!(rows(&output.stdout)[0]["text"], Value::Null);
    assert!(told(&output).contains("`eos_token`: expected a token"), "{}", told(&output));
    let output = greedy(&model, &json!({"prompt": "the cat"}));
    assert_code(&output, 3);
    assert!(!told(&output).contains("untagged"), "{}", told(&output));
}

#[test]
fn a_tokenizer_on_which_the_library_would_panic_is_refused_on_loading() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[]);
    set_key(&model, "tokenizer.json", "pre_tokenizer", &json!({"type": "FixedLength", "length": 0}));
    let output = greedy(&model, &json!({"prompt": "the cat"}));
    assert_code(&output, 3);
    let told = told(&output);
    assert!(told.contains("tokenizer.json") && told.contains("FixedLength with the length 0"), "{told}");
    assert!(!told.contains("panicked at"), "{told}");
}

#[test]
fn a_template_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(folder.path(), "gpt2", 301, &[("tokenizer_config.json", json!({"eos_token": "</s>"}))]);
    let chat = json!({"prompt": [{"role": "user", "content": "hi"}]});
    let named = json!({"eos_token": "</s>", "chat_template": [{"name": "rag", "template": "r"}]});
    for (file, content, says) in [
        ("tokenizer_config.json", named, "the chat templates are called `rag`, and none `default`"),
        ("chat_template.jinja", json!(""), "chat_template.jinja: the chat template is empty"),
    ] {
        write(&model, file, &content);
        let output = greedy(&model, &chat);
        assert_code(&output, 3);
        assert!(told(&output).contains(says), "{}", told(&output));
        assert_code(&greedy(&model, &json!({"prompt": "the cat"})), 0);
    }
    write(&model, "chat_template.jinja", &json!("{% if %}"));
    let output = greedy(&model, &chat);
    assert_code(&output, 3);
    assert!(
        told(&output).contains("chat_template.jinja: the chat template does not parse"),
        "{}",
        told(&output)
    );
}

#[test]
fn every_file_of_the_tokenizer_stays_with_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        ("special_tokens_map.json", json!({"bos_token": "<|a|>", "eos_token": "</s>"})),
        ("added_tokens.json", json!({"<|a|>": 301})),
        ("additional_chat_templates/rag.jinja", json!("rag")),
        ("chat_template.jinja", json!("{{ bos_token }}{{ messages[0].content }}")),
        ("tokenizer.model", json!("pieces")),
    ];
    let model = model(folder.path(), "gpt2", 302, &files);
    let output = greedy(&model, &json!({"prompt": [{"role": "user", "content": "the cat"}]}));
    assert_code(&output, 0);
    assert_eq!(
        rows(&output.stdout)[0]["prompt_ids"],
        json!([301, 258, 290]),
        "the beginning is in the prompt"
    );

    let data = folder.path().join("train.jsonl");
    fs::write(&data, "{\"prompt\": \"the cat\", \"completion\": \" sat\"}\n").expect("written");
    let out = folder.path().join("sft");
    let (model_set, data) = (format!("model={}", path(&model)), format!("data.train={}", path(&data)));
    let mut args = vec!["sft", "--out", path(&out)];
    for set in [model_set.as_str(), &data, "sft.max_steps=1", "sft.save_steps=1"] {
        args.extend(["--set", set]);
    }
    assert_code(&ruminate(&args), 0);
    for place in ["final", "checkpoints/step-000001"] {
        for (file, _) in &files {
            let kept = fs::read(out.join(place).join(file))
                .unwrap_or_else(|error| panic!("{place}/{file}: {error}"));
            assert_eq!(kept, fs::read(model.join(file)).expect("a file"), "{place}/{file}");
        }
    }
}
