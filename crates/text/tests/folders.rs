//! Tokenizers that are more than `tokenizer.json`, against what transformers makes of them (`fixtures/text/folders.py`).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ruminate_data::Message;
use ruminate_text::{ChatTemplate, Error, GenerationPrompt, SpecialText, TemplateInputs, Tokenizer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

fn fixtures() -> PathBuf {
    ruminate_testkit::fixture_path("text")
}

/// A folder with a tokenizer of `fixtures/text/pairs`, parts of its file replaced, and files beside it.
fn folder(base: &str, changes: &Map<String, Value>, files: &[(&str, &str)]) -> tempfile::TempDir {
    let path = fixtures().join("pairs").join(base).join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for (pointer, value) in changes {
        *tokenizer.pointer_mut(pointer).unwrap() = value.clone();
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The error of a folder with these files beside GPT-2's tokenizer of `pairs/`.
fn refused(files: &[(&str, &str)]) -> String {
    Tokenizer::load(folder("gpt2", &Map::new(), files).path()).unwrap_err().to_string()
}

fn loaded(files: &[(&str, &str)]) -> Tokenizer {
    Tokenizer::load(folder("gpt2", &Map::new(), files).path()).unwrap()
}

#[test]
fn folders_are_read_as_transformers_reads_them() {
    let cases: Vec<Value> =
        serde_json::from_slice(&fs::read(fixtures().join("folders.json")).unwrap()).unwrap();
    assert!(cases.len() >= 45, "the corpus has shrunk");
    for case in &cases {
        let name = &case["case"];
        let files: Vec<(&str, &str)> = case["files"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str().unwrap()))
            .collect();
        let folder = folder(case["base"].as_str().unwrap(), case["changes"].as_object().unwrap(), &files);
        let tokenizer = Tokenizer::load(folder.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for row in case["encodings"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            assert_eq!(json!(tokenizer.encode(text).unwrap()), row["ids"], "{name}: {text:?}");
        }
        let named: BTreeMap<&str, &str> = tokenizer.special_tokens().named().collect();
        assert_eq!(json!(named), case["named"], "{name}");
        let template = tokenizer.chat_template();
        assert_eq!(json!(template), case["template"], "{name}");
        if let Some(source) = template {
            let template = ChatTemplate::new(source, tokenizer.special_tokens(), UNIX_EPOCH).unwrap();
            let turn = Message::new("user", "hi");
            assert_eq!(
                template.render(&[turn], &TemplateInputs::default(), GenerationPrompt::Omit).unwrap(),
                case["rendered"],
                "{name}"
            );
        }

        // What is saved is the folder's, so that transformers reads the same.
        let saved = tempfile::tempdir().unwrap();
        tokenizer.save(saved.path()).unwrap();
        for (file, text) in &files {
            assert_eq!(fs::read_to_string(saved.path().join(file)).unwrap(), *text, "{name}: {file}");
        }
    }
}

#[test]
fn files_that_other_programs_read_are_kept() {
    let files =
        [("tokenizer.model", "pieces"), ("merges.txt", "a b"), ("vocab.json", "{}"), ("notes.txt", "no")];
    let saved = tempfile::tempdir().unwrap();
    loaded(&files).save(saved.path()).unwrap();
    let mut names: Vec<String> = fs::read_dir(saved.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["merges.txt", "tokenizer.json", "tokenizer.model", "vocab.json"]);
}

#[test]
fn a_token_that_cannot_have_its_id_is_refused_by_name() {
    for (file, text) in [
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"5": {"content": "<|tool|>", "special": true}}}"#,
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"400": {"content": "<|tool|>", "special": true}}}"#,
        ),
        ("added_tokens.json", r#"{"<|tool|>": 299}"#),
    ] {
        let error = refused(&[(file, text)]);
        assert!(error.contains(file) && error.contains("<|tool|>") && error.contains("301"), "{error}");
    }
}

#[test]
fn a_value_that_is_none_is_named_with_file_and_key() {
    for (file, text, says) in [
        ("tokenizer_config.json", r#"{"eos_token": 2}"#, "`eos_token`: expected a token"),
        (
            "tokenizer_config.json",
            r#"{"eos_token": {"text": "a"}}"#,
            "`eos_token`: expected a token with `content`",
        ),
        (
            "tokenizer_config.json",
            r#"{"extra_special_tokens": 3}"#,
            "`extra_special_tokens`: expected a list of tokens",
        ),
        ("tokenizer_config.json", r#"{"extra_special_tokens": [3]}"#, "found the number 3"),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": []}"#,
            "`added_tokens_decoder`: expected tokens by id",
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"a": {}}}"#,
            "expected the id of a token, found \"a\"",
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"301": {"content": "a", "lstrip": "no"}}}"#,
            "`added_tokens_decoder.301`: expected a token whose `lstrip` is true or false, found a text",
        ),
        ("tokenizer_config.json", "[]", "expected a JSON object, found a list"),
        ("special_tokens_map.json", "{", "expected a JSON object"),
        ("special_tokens_map.json", r#"{"bos_token": [1]}"#, "`bos_token`: expected a token"),
        ("added_tokens.json", r#"{"<|a|>": "301"}"#, "`<|a|>`: expected the id of a token, found a text"),
    ] {
        let error = refused(&[(file, text)]);
        assert!(
            error.contains(file) && error.contains(says) && !error.contains("untagged"),
            "{text}: {error}"
        );
    }
}

#[test]
fn templates_that_cannot_be_used_are_told_when_one_is_asked_for() {
    let named =
        r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]}"#;
    for (files, says) in [
        (vec![("tokenizer_config.json", named)], "called `rag`, `tool_use`, and none `default`"),
        (vec![("chat_template.jinja", "")], "chat_template.jinja: the chat template is empty"),
        (
            vec![("tokenizer_config.json", r#"{"chat_template": ""}"#)],
            "tokenizer_config.json: the chat template is empty",
        ),
        (vec![("tokenizer_config.json", r#"{"chat_template": 5}"#)], "found a number"),
        (
            vec![("tokenizer_config.json", r#"{"chat_template": {"default": {}}}"#)],
            "found a template that is no text",
        ),
        (
            vec![("tokenizer_config.json", r#"{"chat_template": ["r"]}"#)],
            "lack the texts `name` and `template`",
        ),
        (vec![("additional_chat_templates/rag.jinja", "r")], "called `rag`, and none `default`"),
    ] {
        let tokenizer = loaded(&files);
        assert_eq!(tokenizer.chat_template(), None, "{files:?}");
        let problem = tokenizer.chat_template_problem().unwrap();
        assert!(problem.contains(says), "{problem}");
        assert!(!tokenizer.encode("the cat").unwrap().is_empty(), "text needs no template");
    }
    assert_eq!(loaded(&[("tokenizer_config.json", named)]).named_chat_template("tool_use"), Some("t"));
    assert_eq!(loaded(&[]).chat_template_problem(), None);
}

#[test]
fn a_file_on_which_the_library_panics_is_an_error_that_names_why() {
    let charsmap = |map: &str| json!({"/normalizer": {"type": "Precompiled", "precompiled_charsmap": map}});
    for (changes, says) in [
        (charsmap("AAAA"), "charsmap is empty"),
        (charsmap("BAAAAAAAAAAA"), "leads out of itself"),
        (json!({"/pre_tokenizer": {"type": "FixedLength", "length": 0}}), "the length 0"),
        (json!({"/model/continuing_subword_prefix": "##########", "/model/merges": [["a", "b"]]}), "panic"),
    ] {
        let folder = folder("gpt2", changes.as_object().unwrap(), &[]);
        let outcome = Tokenizer::load(folder.path()).and_then(|tokenizer| tokenizer.encode("the cat"));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(says), "{changes}: {error}");
    }
}

#[test]
fn dropout_is_taken_off() {
    let ids = |changes: Value| {
        let folder = folder("gpt2", changes.as_object().unwrap(), &[]);
        Tokenizer::load(folder.path())
            .unwrap()
            .encode("the cat sat on the mat. Question: What is 2+2?")
            .unwrap()
    };
    let plain = ids(json!({}));
    for _ in 0..8 {
        assert_eq!(ids(json!({"/model/dropout": 0.5})), plain);
    }
}

#[test]
fn an_added_token_without_an_embedding_is_refused_where_it_is_met() {
    let padding = ("tokenizer_config.json", r#"{"pad_token": "[PAD]", "eos_token": "</s>"}"#);
    let (tokenizer, beyond) = loaded(&[padding]).for_model(301).unwrap();
    assert_eq!(beyond, [(301, "[PAD]".to_owned())]);
    assert_eq!(tokenizer.encode("the cat</s>").unwrap().last(), Some(&300));
    for error in
        [tokenizer.encode("the [PAD] cat").unwrap_err(), tokenizer.encode_pair("the", " [PAD]").unwrap_err()]
    {
        assert!(matches!(&error, Error::NoEmbedding { id: 301, token, .. } if token == "[PAD]"), "{error}");
    }
    assert_eq!(tokenizer.decode(&[301], SpecialText::Keep).unwrap(), "[PAD]");
    let (_, none) = loaded(&[padding]).for_model(302).unwrap();
    assert_eq!(none, []);
    let error = loaded(&[padding]).for_model(299).unwrap_err();
    assert!(matches!(error, Error::VocabularyTooLarge { .. }), "{error}");
}
