//! Model folders come from anywhere: whatever is in them, the answer is a model or an error that names what is
//! wrong. Never a panic, and never memory for what a file only claims.

mod common;

use common::{copy, set};
use proptest::prelude::*;
use ruminate_model::{LoadError, load};
use ruminate_testkit as testkit;
use serde_json::json;
use std::fs;
use std::path::Path;
fn refusal(folder: &Path) -> LoadError {
    load(folder, &testkit::device()).expect_err("a spoilt folder")
}

/// A safetensors file from its parts: length of the header, header, data.
fn file(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [length.to_le_bytes().as_slice(), header.as_bytes(), data].concat()
}

/// Replaces a text in a file's header by one of the same length.
fn edit_header(folder: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).expect("readable");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).expect("a text");
    assert!(header.contains(from), "{header}");
    bytes[8..8 + length].copy_from_slice(header.replacen(from, to, 1).as_bytes());
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_file_cut_anywhere_is_not_a_safetensors_file() {
    let folder = copy("llama_tied");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).expect("readable");
    for length in [0, 7, 8, 9, 500, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("written");
        let error = refusal(folder.path());
        assert!(matches!(error, LoadError::Safetensors { .. }), "{length}: {error}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let folder = copy("llama_tied");
    let entry = |shape: &str, end: u64| {
        format!(r#"{{"norm.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let cases = [
        file(1 << 63, "{}", &[]),
        file(u64::MAX, "{}", &[]),
        file(2, "{}", &[]),
        file(2, "[]", &[]),
        file(4, "\u{fffd}{", &[]),
        file(entry("[2]", 8).len() as u64, &entry("[2]", 8), &[0; 4]),
        file(entry("[3]", 8).len() as u64, &entry("[3]", 8), &[0; 8]),
        file(
            entry("[4294967296,4294967296,4]", 8).len() as u64,
            &entry("[4294967296,4294967296,4]", 8),
            &[0; 8],
        ),
    ];
    for (i, bytes) in cases.iter().enumerate() {
        fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
        let error = refusal(folder.path());
        // An empty file is a valid one that has none of the tensors.
        let expected =
            matches!((i, &error), (2, LoadError::Tensors { .. }) | (_, LoadError::Safetensors { .. }));
        assert!(expected, "{i}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_byte_of_a_header_makes_loading_panic(
        place in 0_usize..4000,
        byte in any::<u8>(),
    ) {
        let folder = copy("deepseek_v3_mtp");
        let path = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&path).expect("readable");
        bytes[place] = byte;
        fs::write(&path, bytes).expect("written");
        drop(load(folder.path(), &testkit::device()));
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let norm = "model.layers.0.input_layernorm.weight";

    let renamed = copy("llama_tied");
    edit_header(renamed.path(), norm, "model.layers.9.input_layernorm.weight");
    match refusal(renamed.path()) {
        LoadError::Tensors { missing, .. } => assert_eq!(missing, [norm]),
        other => panic!("{other}"),
    }

    let renamed = copy("llama_tied");
    edit_header(renamed.path(), "layers.0.mlp.up_proj.weight", "layers.0.mlp.up_quux.weight");
    match refusal(renamed.path()) {
        LoadError::Tensors { missing, unexpected, misshapen, .. } => {
            assert_eq!(missing, ["model.layers.0.mlp.up_proj.weight"]);
            assert_eq!(unexpected, ["model.layers.0.mlp.up_quux.weight"]);
            assert!(misshapen.is_empty(), "{misshapen:?}");
        }
        other => panic!("{other}"),
    }

    let reshaped = copy("llama_tied");
    edit_header(reshaped.path(), "[40,32]", "[32,40]");
    match refusal(reshaped.path()) {
        LoadError::Tensors { misshapen, .. } => {
            assert_eq!(misshapen.len(), 1);
            assert!(misshapen[0].ends_with("[32, 40] instead of [40, 32]"), "{misshapen:?}");
        }
        other => panic!("{other}"),
    }

    let integers = copy("llama_tied");
    edit_header(integers.path(), r#""F32""#, r#""I32""#);
    let error = refusal(integers.path());
    assert!(matches!(error, LoadError::Tensors { .. }), "{error}");
    assert!(error.to_string().contains("I32 instead of F32, F16, BF16, F64 or F8_E4M3"), "{error}");
}

#[test]
fn a_configuration_larger_than_its_files_is_refused_before_any_allocation() {
    // Each of these alone asks for more memory than any machine has.
    let cases = [
        ("llama_untied", json!({"num_hidden_layers": 1 << 28})),
        ("llama_untied", json!({"vocab_size": 1 << 28, "hidden_size": 1 << 28})),
        ("qwen2", json!({"num_attention_heads": 1 << 28, "head_dim": 1 << 20})),
        ("deepseek_v3_plain", json!({"n_routed_experts": 65_535, "moe_intermediate_size": 1 << 28})),
        ("deepseek_v3_plain", json!({"n_shared_experts": 1 << 28, "moe_intermediate_size": 1 << 28})),
        ("deepseek_v3_full", json!({"q_lora_rank": 1 << 28, "kv_lora_rank": 1 << 28})),
        ("deepseek_v3_mtp", json!({"intermediate_size": 1 << 28})),
        ("smollm3", json!({"num_hidden_layers": 1 << 28, "no_rope_layers": null})),
        (
            "smollm3",
            json!({"num_hidden_layers": 1 << 28, "no_rope_layers": null, "no_rope_layer_interval": 1}),
        ),
    ];
    for (name, changes) in cases {
        let folder = copy(name);
        set(folder.path(), "config.json", &changes);
        let error = refusal(folder.path());
        assert!(matches!(error, LoadError::Tensors { .. }), "{changes}: {error}");
        assert!(error.to_string().len() < 10_000, "{changes}: a message for people");
    }
}

#[test]
fn absent_and_unreadable_files_are_named() {
    let folder = copy("llama_tied");
    fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
    let error = refusal(folder.path());
    assert!(matches!(&error, LoadError::Read { path, .. } if path.ends_with("model.safetensors")), "{error}");

    fs::write(folder.path().join("config.json"), "{\"model_type\": ").expect("written");
    assert!(matches!(refusal(folder.path()), LoadError::Json { .. }));
    fs::write(folder.path().join("config.json"), "{}").expect("written");
    assert!(matches!(refusal(folder.path()), LoadError::Config { .. }));
}

#[test]
fn a_config_nested_too_deep_or_of_another_kind_is_refused() {
    let folder = copy("llama_tied");
    let path = folder.path().join("config.json");
    for (text, says) in [
        ("[".repeat(100_000), "recursion limit"),
        ("{\"a\":".repeat(50_000), "recursion limit"),
        (" ".repeat(17 << 20), "expected at most 16777216"),
        (format!("[{}0]", "0,".repeat(200_000)), "more than 120000 values"),
        ("{\"model_type\": \"llama\", \"vocab_size\": 1000000000000}".to_owned(), "1000000000000"),
    ] {
        fs::write(&path, text).expect("written");
        let error = refusal(folder.path());
        assert!(error.to_string().contains(says), "{error}");
    }
    let folder = copy("llama_tied");
    fs::write(folder.path().join("generation_config.json"), "[".repeat(1000)).expect("written");
    let error = refusal(folder.path());
    assert!(
        matches!(&error, LoadError::Json { path, .. } if path.ends_with("generation_config.json")),
        "{error}"
    );
}

/// A link would put what it leads to into the folder of a trained model; a pipe is waited for.
#[cfg(unix)]
#[test]
fn links_out_of_the_folder_and_files_that_are_none_are_refused() {
    use std::os::unix::fs::symlink;
    let elsewhere = copy("llama_tied");
    for name in ["config.json", "generation_config.json"] {
        let folder = copy("llama_tied");
        let path = folder.path().join(name);
        drop(fs::remove_file(&path));
        symlink(elsewhere.path().join("config.json"), &path).expect("linked");
        let error = refusal(folder.path());
        assert!(error.to_string().contains("found a link to"), "{error}");
    }
    for name in ["config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json"] {
        let folder = copy("llama_tied");
        let path = folder.path().join(name);
        if name != "config.json" {
            fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
        }
        drop(fs::remove_file(&path));
        symlink("/dev/zero", &path).expect("linked");
        let error = refusal(folder.path());
        assert!(error.to_string().contains("expected a file, found a device"), "{name}: {error}");
        fs::remove_file(&path).expect("removed");
        if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
            let error = refusal(folder.path());
            assert!(error.to_string().contains("expected a file, found a pipe"), "{name}: {error}");
        }
    }
    // Weights are large, and kept where there is room.
    let folder = copy("llama_tied");
    fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
    symlink(elsewhere.path().join("model.safetensors"), folder.path().join("model.safetensors"))
        .expect("linked");
    load(folder.path(), &testkit::device()).expect("a model");
}
