//! Model folders as they are found: complete, partial, broken, hostile.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_text::{Error, SpecialText, Tokenizer};
use std::path::Path;
use std::sync::LazyLock;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// The embedded tokenizer's `tokenizer.json`, and a `tokenizer_config.json` of our choice.
fn load_with_config(config: &str) -> Result<Tokenizer, Error> {
    let embedded = Tokenizer::embedded();
    let (name, json) = embedded.files().next().unwrap();
    let dir = folder(&[(name, json), ("tokenizer_config.json", config.as_bytes())]);
    Tokenizer::load(dir.path())
}

fn load_json(json: &[u8]) -> Result<Tokenizer, Error> {
    let dir = folder(&[("tokenizer.json", json)]);
    Tokenizer::load(dir.path())
}

#[test]
fn a_saved_tokenizer_loads_as_itself() {
    let tokenizer = Tokenizer::embedded();
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    let again = Tokenizer::load(dir.path()).unwrap();
    assert!(again.files().eq(tokenizer.files()));
    assert_eq!(again.encode("1+1=<think>").unwrap(), tokenizer.encode("1+1=<think>").unwrap());
    assert_eq!((again.eos_id(), again.pad_id()), (Some(1), Some(0)));
}

#[test]
fn the_config_is_optional_and_tokens_may_be_objects() {
    let embedded = Tokenizer::embedded();
    let bare = load_json(embedded.files().next().unwrap().1).unwrap();
    assert_eq!((bare.eos_id(), bare.pad_id(), bare.chat_template()), (None, None, None));

    let config =
        r#"{"eos_token": {"content": "<|end|>", "special": true}, "bos_token": null, "unheard": [1]}"#;
    let tokenizer = load_with_config(config).unwrap();
    assert_eq!((tokenizer.eos_id(), tokenizer.special_tokens().bos.as_deref()), (Some(1), None));
}

#[test]
fn a_named_token_that_the_file_lacks_is_added() {
    let tokenizer = load_with_config(r#"{"eos_token": "<eos>"}"#).unwrap();
    assert_eq!((tokenizer.eos_id(), tokenizer.vocab_size()), (Some(102), 103));
    assert_eq!(tokenizer.encode("1<eos>").unwrap().last(), Some(&102));
    assert!(tokenizer.check_vocab_size(102).is_err());
}

#[test]
fn the_template_file_wins_over_the_key_and_named_templates_have_a_default() {
    let named =
        r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    assert_eq!(load_with_config(named).unwrap().chat_template(), Some("d"));

    let embedded = Tokenizer::embedded();
    let json = embedded.files().next().unwrap().1;
    let dir = folder(&[
        ("tokenizer.json", json),
        ("tokenizer_config.json", br#"{"chat_template": "key"}"#),
        ("chat_template.jinja", b"file"),
    ]);
    assert_eq!(Tokenizer::load(dir.path()).unwrap().chat_template(), Some("file"));
}

#[test]
fn what_is_wrong_is_named_with_its_path() {
    let missing = Tokenizer::load(Path::new("/nonexistent/model")).unwrap_err();
    assert!(matches!(&missing, Error::Read { path, .. } if path.ends_with("tokenizer.json")), "{missing}");

    let not_json = load_with_config("{").unwrap_err();
    assert!(matches!(&not_json, Error::Config { .. }), "{not_json}");

    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(matches!(load_json(&nested).unwrap_err(), Error::Tokenizer { .. }));
    let nested = format!("{{\"eos_token\": {}", "[".repeat(100_000));
    assert!(matches!(load_with_config(&nested).unwrap_err(), Error::Config { .. }));
}

#[test]
fn a_vocabulary_larger_than_the_model_is_refused_and_a_padded_model_is_not() {
    let tokenizer = Tokenizer::embedded();
    assert!(tokenizer.check_vocab_size(102).is_ok());
    assert!(tokenizer.check_vocab_size(128).is_ok());
    let error = tokenizer.check_vocab_size(101).unwrap_err();
    assert!(matches!(error, Error::VocabularyTooLarge { highest_id: 101, vocab_size: 101 }), "{error}");
}

#[test]
fn truncation_and_padding_of_the_file_do_not_apply() {
    let embedded = Tokenizer::embedded();
    let mut json: serde_json::Value = serde_json::from_slice(embedded.files().next().unwrap().1).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>"
    });
    let tokenizer = load_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("12345").unwrap().len(), 5);
}

/// The embedded tokenizer's file, and those of `fixtures/text/pairs`: each model of the library's but WordPiece.
static FILES: LazyLock<Vec<serde_json::Value>> = LazyLock::new(|| {
    let pairs = ruminate_testkit::fixture_path("text/pairs");
    let read = |name: &str| std::fs::read(pairs.join(name).join("tokenizer.json")).unwrap();
    let embedded = Tokenizer::embedded().files().next().unwrap().1.to_vec();
    let files = [embedded, read("gpt2"), read("llama"), read("unigram")];
    files.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
});

/// Replaces the value that a path of positions leads to.
fn replace(value: &mut serde_json::Value, path: &[usize], with: serde_json::Value) {
    let length = match value {
        serde_json::Value::Array(items) => items.len(),
        serde_json::Value::Object(map) => map.len(),
        _ => 0,
    };
    match (path.split_first(), length) {
        (Some((step, rest)), 1..) => {
            let child = match value {
                serde_json::Value::Array(items) => items.get_mut(step % length),
                serde_json::Value::Object(map) => map.values_mut().nth(step % length),
                _ => None,
            };
            replace(child.unwrap(), rest, with);
        }
        _ => *value = with,
    }
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
        prop::sample::select(vec![
            "WordLevel",
            "BPE",
            "Unigram",
            "Metaspace",
            "[",
            "(",
            "",
            "Regex",
            "ByteLevel",
            "Split",
            "Prepend",
            "NFC",
            "ByteFallback",
            "Precompiled",
            "WordPiece",
            "Digits",
            "Removed",
            "MergedWithNext",
            "\u{2581}",
            " ",
        ])
        .prop_map(Into::into),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        Just(serde_json::json!({"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""})),
        Just(serde_json::json!({"type": "Replace", "pattern": {"String": ""}, "content": "a"})),
        Just(serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        Just(serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAA"})),
        Just(serde_json::json!({"type": "Strip", "strip_left": true, "strip_right": true})),
        Just(serde_json::json!({"type": "Truncate", "max": 0})),
        Just(serde_json::json!({"type": "FixedLength", "length": 0})),
        Just(serde_json::json!({"type": "WordPiece", "unk_token": "[U]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {"a": 0}})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_damaged_tokenizer_json_never_panics(
        file in 0_usize..4,
        path in proptest::collection::vec(0_usize..400, 1..6),
        with in scalar(),
        text in "[ -~\u{e9}\u{1f600}]{0,20}|</s>",
    ) {
        let mut json = FILES[file].clone();
        replace(&mut json, &path, with);
        if let Ok(tokenizer) = load_json(json.to_string().as_bytes()) {
            // Either way will do: what counts is that the library's failures are errors.
            let ids = tokenizer.encode(&text).unwrap_or_default();
            let _text = tokenizer.decode(&ids, SpecialText::Keep);
            let _pair = tokenizer.encode_pair("1+1=", &text);
        }
    }

    #[test]
    fn a_damaged_configuration_never_panics(
        path in proptest::collection::vec(0_usize..40, 1..4),
        with in scalar(),
        text in "[ -~]{0,20}",
    ) {
        let mut json = serde_json::json!({
            "added_tokens_decoder": {"0": {"content": "<|pad|>", "special": true}, "102": {"content": "<|a|>", "lstrip": true}},
            "eos_token": "<|end|>", "bos_token": {"content": "<|b|>", "normalized": true}, "image_token": "<|i|>",
            "extra_special_tokens": ["<|x|>", {"content": "1+"}], "split_special_tokens": false,
            "chat_template": [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}],
        });
        replace(&mut json, &path, with);
        if let Ok(tokenizer) = load_with_config(&json.to_string()) {
            let _ids = tokenizer.encode(&text);
            let _problem = (tokenizer.chat_template(), tokenizer.chat_template_problem());
        }
    }
}

#[test]
fn a_byte_level_tokenizer_encodes_and_decodes_as_python_does() {
    let fixtures = ruminate_testkit::fixture_path("text");
    let tokenizer = Tokenizer::load(&fixtures.join("byte_level")).unwrap();
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixtures.join("byte_level.json")).unwrap()).unwrap();
    for row in golden["encodings"].as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(serde_json::to_value(&ids).unwrap(), row["ids"], "{text:?}");
        let decode = |ids: &[u32]| tokenizer.decode(ids, SpecialText::Keep).unwrap();
        assert_eq!(decode(&ids), row["decoded"].as_str().unwrap());
        // Half of a text may end inside a character, as a truncated completion does.
        assert_eq!(decode(&ids[..ids.len() / 2]), row["first_half"].as_str().unwrap());
    }
}
