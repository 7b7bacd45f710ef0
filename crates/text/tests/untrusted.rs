//! Tokenizers that would end a process, grow without bound, or lead to other files.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ruminate_text::{Error, Tokenizer};
use serde_json::{Value, json};

/// The embedded tokenizer's file with some parts replaced.
fn with(parts: &Value) -> String {
    let mut file: Value = serde_json::from_slice(Tokenizer::embedded().files().next().unwrap().1).unwrap();
    for (key, part) in parts.as_object().unwrap() {
        file[key] = part.clone();
    }
    file.to_string()
}

fn load(file: &str) -> Result<Tokenizer, Error> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file).unwrap();
    Tokenizer::load(folder.path())
}

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

#[test]
fn what_would_end_the_process_or_grow_without_bound_is_refused_on_loading() {
    let sequence = |part: Value, times| json!({"type": "Sequence", "normalizers": vec![part; times]});
    let vocabulary = |id: u64| json!({"type": "WordLevel", "vocab": {"a": 0, "b": id}, "unk_token": "a"});
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    for (parts, says) in [
        (json!({"normalizer": replace(json!({"String": ""}), "a")}), "empty pattern"),
        (json!({"normalizer": replace(json!({"Regex": ""}), "a")}), "empty pattern"),
        // Without its type it is taken for one all the same.
        (json!({"normalizer": {"pattern": {"String": ""}, "content": "a"}}), "empty pattern"),
        (json!({"decoder": replace(json!({"String": ""}), "a")}), "empty pattern"),
        (
            json!({"pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false}}),
            "empty pattern",
        ),
        (json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}}), "length 0"),
        (json!({"normalizer": {"type": "Prepend", "prepend": ""}}), "prepends nothing"),
        (
            json!({"normalizer": sequence(replace(json!({"String": "a"}), &"a".repeat(16)), 8)}),
            "4294967296 times",
        ),
        (json!({"normalizer": {"type": "Prepend", "prepend": "a".repeat(64)}}), "65 times"),
        (json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": vec![byte_level; 7]}}), "128 times"),
        (
            json!({"decoder": {"type": "Sequence", "decoders": vec![replace(json!({"String": "a"}), "aaaa"); 4]}}),
            "256 times",
        ),
        (
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAAA"}}),
            "shorter than it claims",
        ),
        (
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAA"}}),
            "leads out of itself",
        ),
        (json!({"normalizer": {"precompiled_charsmap": "AAAA"}}), "charsmap"),
        (json!({"model": vocabulary(u64::from(u32::MAX))}), "token id 4294967295"),
        (
            json!({"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 1_000_000_000}}),
            "max_input_chars_per_word",
        ),
        (
            json!({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "continuing_subword_prefix": "#".repeat(65)}}),
            "65 bytes",
        ),
    ] {
        let error = load(&with(&parts)).unwrap_err();
        assert!(matches!(&error, Error::Tokenizer { .. }), "{parts}: {error}");
        assert!(error.to_string().contains(says), "{parts}: {error}");
    }
    let twice = with(&json!({})).replacen('{', "{\"normalizer\": null, \"normalizer\": null,", 1);
    assert!(matches!(load(&twice).unwrap_err(), Error::Tokenizer { .. }));
}

#[test]
fn what_published_tokenizers_do_is_no_bomb() {
    for parts in [
        json!({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"},
            replace(json!({"String": " "}), "\u{2581}")]}}),
        json!({"normalizer": {"type": "Sequence", "normalizers": [replace(json!({"String": "``"}), "\""), {"type": "NFKD"},
            {"type": "StripAccents"}, {"type": "Lowercase"}, replace(json!({"Regex": " {2,}"}), "\u{2581}")]}}),
        json!({"padding": {"strategy": {"Fixed": 1_000_000_000}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>"}}),
    ] {
        load(&with(&parts)).unwrap();
    }
}

/// What a link leads to would be written into the folder of the trained model.
#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused_by_name_and_pipes_are_not_waited_for() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(home.path().join("netrc"), "password").unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), with(&json!({}))).unwrap();
    for name in
        ["chat_template.jinja", "vocab.json", "tokenizer_config.json", "additional_chat_templates/rag.jinja"]
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (target, says) in
            [(home.path().join("netrc"), "found a link to"), ("/dev/zero".into(), "found a device")]
        {
            std::os::unix::fs::symlink(&target, &path).unwrap();
            let error = Tokenizer::load(folder.path()).unwrap_err();
            assert!(error.to_string().contains(says) && error.to_string().contains(name), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
            let error = Tokenizer::load(folder.path()).unwrap_err();
            assert!(error.to_string().contains("found a pipe"), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert!(Tokenizer::load(folder.path()).is_ok());
}
