//! Model folders from the outside: what is wrong with one is said with its name, exit 3, and nothing on standard output.

mod common;

use common::{assert_code, fixture, rows, ruminate, tiny, told, with_input};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A copy of a committed checkpoint to spoil.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture(name).join(file), folder.path().join(file)).expect("copied");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every command that reads a model and lines, on that folder.
fn refusals(model: &Path) -> Vec<String> {
    let prompt = "{\"prompt_ids\": [1, 2, 3]}\n";
    let pair = "{\"prompt_ids\": [1, 2, 3], \"completion_ids\": [4]}\n";
    [("generate", prompt), ("score", pair)]
        .map(|(command, line)| {
            let output = with_input(&[command, "--model", text(model)], line);
            assert_code(&output, 3);
            assert!(output.stdout.is_empty(), "{command}");
            told(&output)
        })
        .into()
}

#[test]
fn weights_that_are_no_numbers_end_the_command_with_the_tensor() {
    let folder = copy("llama_tied");
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("readable");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).expect("written");
    for told in refusals(folder.path()) {
        assert!(told.contains("model.safetensors: tensor model.") && told.contains("holds NaN"), "{told}");
    }
}

#[test]
fn an_id_beyond_the_vocabulary_is_named_by_its_key() {
    for key in ["eos_token_id", "bos_token_id", "pad_token_id"] {
        let folder = copy("llama_tied");
        let path = folder.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
        config[key] = json!(40);
        fs::write(&path, config.to_string()).expect("written");
        for told in refusals(folder.path()) {
            assert!(
                told.contains(&format!("`{key}` is 40")) && told.contains("below `vocab_size`, 40"),
                "{told}"
            );
        }
    }
}

#[test]
fn a_run_folder_in_the_place_of_a_model_says_where_the_model_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    assert_code(&ruminate(&tiny("pretrain", text(&run), &[])), 0);
    let says = format!("model is in {}", run.join("final").display());
    for told in refusals(&run) {
        assert!(told.contains(&says), "{told}");
    }
    let model = format!("model={}", text(&run));
    let pairs = folder.path().join("pairs.jsonl");
    fs::write(&pairs, "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n").expect("written");
    let data = format!("data.train={}", text(&pairs));
    for command in ["eval", "train-rl", "sft"] {
        let out = folder.path().join(command);
        let sets = [model.as_str(), &data];
        let sets = if command == "sft" { &sets[..] } else { &sets[..1] };
        let output = ruminate(&tiny(command, text(&out), sets));
        assert_code(&output, 3);
        assert!(told(&output).contains(&says), "{command}: {}", told(&output));
    }
    // The model itself is one.
    let line = "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n";
    let scored = with_input(&["score", "--model", text(&run.join("final"))], line);
    assert_code(&scored, 0);
    assert!(rows(&scored.stdout)[0]["sum"].is_number());
}

#[test]
fn a_model_that_is_neither_folder_nor_table_is_said_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let output = ruminate(&["eval", "--out", text(&out), "--set", "model=3"]);
    assert_code(&output, 2);
    let told = told(&output);
    assert!(told.contains("expected a model folder, or a table"), "{told}");
    assert!(!told.contains("untagged"), "{told}");
}
