//! Adapter folders come from anywhere, too: a key is read, harmless or refused, and a file that lies is a typed error.

mod common;

use common::{Bits, bits};
use proptest::prelude::*;
use ruminate_model::lora::{base_folder, load_adapter};
use ruminate_model::{Decoder, LoadError, load};
use ruminate_testkit as testkit;
use std::fs;
use std::path::Path;

fn base() -> Decoder {
    load(&testkit::fixture_path("model/llama_tied"), &testkit::device()).expect("a fixture")
}

/// The weights that come of an adapter.
fn merged(decoder: Decoder) -> Bits {
    bits(&decoder.merged())
}

/// Copies a fixture's adapter and spoils it.
fn spoiled(config: impl Fn(&mut serde_json::Value), weights: impl Fn(&mut Vec<u8>)) -> LoadError {
    let (source, folder) = (testkit::fixture_path("lora/llama"), tempfile::tempdir().expect("a folder"));
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(source.join("adapter_config.json")).expect("it")).expect("JSON");
    config(&mut json);
    fs::write(folder.path().join("adapter_config.json"), json.to_string()).expect("written");
    let mut bytes = fs::read(source.join("adapter_model.safetensors")).expect("weights");
    weights(&mut bytes);
    fs::write(folder.path().join("adapter_model.safetensors"), bytes).expect("written");
    load_adapter(base(), folder.path()).expect_err("it is spoiled")
}

#[test]
fn an_adapter_that_we_cannot_compute_is_refused_by_its_key() {
    use serde_json::json;
    for (key, value, says) in [
        ("peft_type", json!("IA3"), "expected `peft_type` to be \"LORA\", found \"IA3\""),
        ("use_dora", json!(true), "`use_dora` is true"),
        ("rank_pattern", json!({"q_proj": 8}), "`rank_pattern` is {\"q_proj\":8}"),
        ("target_parameters", json!(["experts.gate_up_proj"]), "`target_parameters`"),
        ("modules_to_save", json!(["lm_head"]), "`modules_to_save`"),
        ("bias", json!("all"), "expected `bias` to be \"none\""),
        ("use_bdlora", json!({"nblocks": 2}), "`use_bdlora`"),
        ("velora_config", json!({"num_groups": 64}), "`velora_config`"),
        ("megatron_config", json!({"a": 1}), "`megatron_config`"),
        ("trainable_token_indices", json!([1]), "`trainable_token_indices`"),
        ("a_key_of_next_year", json!(0.5), "`a_key_of_next_year` is 0.5"),
        ("use_rslora", json!("yes"), "expected `use_rslora` to be true or false"),
        (
            "init_lora_weights",
            json!("pissa"),
            "`init_lora_weights` is \"pissa\": PEFT changes the base's weights",
        ),
        ("init_lora_weights", json!("pissa_niter_16"), "path_initial_model_for_weight_conversion"),
        ("init_lora_weights", json!("olora"), "`merge_and_unload()`"),
        ("init_lora_weights", json!("OLoRA"), "PEFT changes the base's weights"),
        ("init_lora_weights", json!("corda"), "PEFT changes the base's weights"),
        ("init_lora_weights", json!("loftq"), "PEFT changes the base's weights"),
        ("init_lora_weights", json!("lora_ga"), "PEFT changes the base's weights"),
        ("init_lora_weights", json!("of_next_year"), "one of eva, gaussian, mica, orthogonal"),
        ("init_lora_weights", json!(3), "one of eva, gaussian, mica, orthogonal"),
        ("r", json!(-1), "`r` and `lora_alpha`"),
        ("r", json!(0), "`lora.r` is 0"),
        ("r", json!(8), "lora_A.weight: expected [8, 32], found [4, 32]"),
        ("lora_alpha", json!("much"), "`r` and `lora_alpha`"),
        ("r", json!(u64::MAX), "expected [18446744073709551615, 32]"),
    ] {
        let error = spoiled(|config| config[key] = value.clone(), |_| ()).to_string();
        assert!(error.contains(says), "{key}: {error}");
    }
}

/// The fixture's adapter with some keys changed.
fn with_keys(changes: &serde_json::Value) -> Result<Decoder, LoadError> {
    let (source, folder) = (testkit::fixture_path("lora/llama"), tempfile::tempdir().expect("a folder"));
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(source.join("adapter_config.json")).expect("it")).expect("JSON");
    for (key, value) in changes.as_object().expect("an object") {
        json[key] = value.clone();
    }
    fs::write(folder.path().join("adapter_config.json"), json.to_string()).expect("written");
    let weights = "adapter_model.safetensors";
    fs::copy(source.join(weights), folder.path().join(weights)).expect("copied");
    load_adapter(base(), folder.path())
}

#[test]
fn keys_that_change_nothing_are_taken_with_any_value() {
    use serde_json::json;
    let plain = merged(with_keys(&json!({})).expect("the fixture"));
    for changes in [
        json!({"init_lora_weights": true, "lora_dropout": 0.1, "inference_mode": false, "peft_version": "0.21.2"}),
        json!({"init_lora_weights": "gaussian", "exclude_modules": ["lm_head"], "auto_mapping": {"a": "b"}}),
        json!({"init_lora_weights": "mica", "megatron_core": "megatron.core", "qalora_group_size": 16}),
        json!({"init_lora_weights": "eva", "eva_config": {"rho": 2.0}, "loftq_config": {"loftq_bits": 4}}),
        json!({"init_lora_weights": "orthogonal", "layers_pattern": "layers", "layers_to_transform": [0, 1]}),
        json!({"init_lora_weights": false, "lora_bias": false, "rank_pattern": {}, "arrow_config": null}),
    ] {
        let decoder = with_keys(&changes).unwrap_or_else(|error| panic!("{changes}: {error}"));
        assert_eq!(merged(decoder), plain, "{changes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_adapter_config_is_refused_or_loads(
        key in prop::sample::select(vec![
            "r", "lora_alpha", "bias", "use_rslora", "init_lora_weights", "peft_type", "target_modules",
            "base_model_name_or_path", "rank_pattern", "use_dora", "unknown",
        ]),
        value in prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            "[a-z_]{0,8}".prop_map(serde_json::Value::from),
            prop::collection::vec(any::<u8>(), 0..3).prop_map(serde_json::Value::from),
        ],
    ) {
        drop(with_keys(&serde_json::json!({ key: value })));
    }
}

#[test]
fn a_factor_that_is_no_number_is_refused_with_its_place() {
    let error = spoiled(
        |_| (),
        |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        },
    );
    let LoadError::NonFinite { path, tensor, index, .. } = &error else { panic!("{error}") };
    assert!(path.ends_with("adapter_model.safetensors") && tensor.contains(".lora_"), "{error}");
    assert!(*index > 0, "{error}");
    let pointer = spoiled(|_| (), |bytes| *bytes = b"version https://git-lfs.github.com/spec/v1".to_vec());
    assert!(matches!(pointer, LoadError::Kind { .. }), "{pointer}");
}

#[test]
fn an_adapter_of_an_older_peft_is_said_to_be_one() {
    let (source, folder) = (testkit::fixture_path("lora/llama"), tempfile::tempdir().expect("a folder"));
    fs::copy(source.join("adapter_config.json"), folder.path().join("adapter_config.json")).expect("copied");
    fs::write(folder.path().join("adapter_model.bin"), b"PK\x03\x04").expect("written");
    let error = load_adapter(base(), folder.path()).expect_err("pickled").to_string();
    assert!(error.contains("found adapter_model.bin: only safetensors are read"), "{error}");
}

#[test]
fn adapter_files_that_lie_are_typed_errors() {
    let truncated = spoiled(|_| (), |bytes| bytes.truncate(1000));
    assert!(matches!(truncated, LoadError::Safetensors { .. }), "{truncated}");
    let endless = spoiled(|_| (), |bytes| bytes[..8].copy_from_slice(&(1_u64 << 63).to_le_bytes()));
    assert!(matches!(endless, LoadError::Safetensors { .. }), "{endless}");
    let renamed = |from: &str, to: &str| {
        spoiled(
            |_| (),
            |bytes| {
                let at =
                    bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("there");
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            },
        )
        .to_string()
    };
    let unknown = renamed("layers.1.mlp.up_proj.lora_A", "layers.7.mlp.up_proj.lora_A");
    assert!(unknown.contains("such as base_model.model.model.layers.1.mlp.up_proj.lora_B"), "{unknown}");
    let missing = renamed("layers.1.mlp.up_proj.lora_B", "layers.1.mlp.up_proj.lora_C");
    assert!(missing.contains("up_proj.lora_B.weight is missing"), "{missing}");

    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("adapter_config.json"),
        r#"{"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.2-1B"}"#,
    )
    .expect("written");
    let error = load(folder.path(), &testkit::device()).expect_err("the base is not here").to_string();
    assert!(
        error.contains("\"meta-llama/Llama-3.2-1B\"") && error.contains("--model BASE --adapter"),
        "{error}"
    );
}

#[test]
fn a_relative_base_lies_beside_the_adapter_before_the_current_folder() {
    // Tests run in the folder of their crate, from where this is a model.
    let name = "../../fixtures/model/llama_tied";
    let home = tempfile::tempdir().expect("a folder");
    let adapter = home.path().join("runs/sums/adapter");
    fs::create_dir_all(&adapter).expect("a folder");
    let config = serde_json::json!({"base_model_name_or_path": name}).to_string();
    fs::write(adapter.join("adapter_config.json"), config).expect("written");
    assert_eq!(base_folder(&adapter).expect("it is there"), Path::new(name));

    let beside = adapter.join(name);
    fs::create_dir_all(&beside).expect("a folder");
    fs::write(beside.join("config.json"), "{}").expect("written");
    assert_eq!(base_folder(&adapter).expect("it is there"), beside);

    fs::write(adapter.join("model.safetensors"), "").expect("written");
    assert_eq!(base_folder(&adapter).expect("itself"), adapter);
}
