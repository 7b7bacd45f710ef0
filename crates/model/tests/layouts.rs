//! The ways in which published folders differ: both generations of `config.json`, shards, FP8, tensors that are
//! there twice or not at all. What fits loads, what does not is named.

mod common;

use common::{CASES, Stored, bits, copy, read_json, set, tensors, write};
use ruminate_model::{Config, Decoder, LoadError, load, save};
use ruminate_testkit as testkit;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const INDEX: &str = "model.safetensors.index.json";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

fn loaded(folder: &Path) -> Decoder {
    load(folder, &testkit::device()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(folder: &Path) -> LoadError {
    load(folder, &testkit::device()).expect_err("a spoilt folder")
}

#[test]
fn both_spellings_of_positions_say_the_same_in_every_family() {
    let yarn = json!({
        "rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 16.0, "beta_slow": 2.0,
    });
    let llama3 = json!({
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    });
    let plain = json!({"rope_type": "default", "rope_theta": 1e6});
    for name in CASES {
        for parameters in [&yarn, &llama3, &plain] {
            // Its class has rules of its own.
            if name.starts_with("phi3") && parameters["rope_type"] != "default" {
                continue;
            }
            let mut newer: Value = testkit::json(&format!("model/{name}/config.json"));
            for key in ["rope_theta", "rope_scaling"] {
                newer[key] = Value::Null;
            }
            let mut older = newer.clone();
            newer["rope_parameters"] = parameters.clone();
            older["rope_parameters"] = Value::Null;
            older["rope_theta"] = parameters["rope_theta"].clone();
            let newer = Config::from_json(&newer).expect(name);
            // `type` is the older name of `rope_type`; files without scaling have null.
            for key in ["type", "rope_type"] {
                let mut scaling = parameters.clone();
                scaling["rope_theta"] = Value::Null;
                let kind = scaling.as_object_mut().expect("an object").shift_remove("rope_type");
                scaling[key] = kind.expect("a kind");
                older["rope_scaling"] = scaling;
                assert_eq!(Config::from_json(&older).expect(name), newer, "{name}");
            }
            if parameters["rope_type"] == "default" {
                older["rope_scaling"] = Value::Null;
                assert_eq!(Config::from_json(&older).expect(name), newer, "{name}");
            }
        }
    }
}

/// A copy of a tied case with another tensor beside its embedding, and the embedding.
fn with_head(change: impl Fn(&mut Stored)) -> (tempfile::TempDir, Stored) {
    let folder = copy("llama_tied");
    let mut all = tensors(folder.path());
    let embedding = all.iter().find(|(name, _)| name == EMBEDDING).expect("there").1.clone();
    let mut head = embedding.clone();
    change(&mut head);
    all.push((HEAD.to_owned(), head));
    write(&folder.path().join("model.safetensors"), &all);
    (folder, embedding)
}

fn head(decoder: &Decoder) -> Vec<u8> {
    testkit::floats(decoder.head()).iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_tied_models_copy_of_the_head_is_left_alone() {
    let as_f64 = |head: &mut Stored| {
        let values = head.data.as_chunks::<4>().0.iter();
        head.data = values.flat_map(|&bits| f64::from(f32::from_le_bytes(bits)).to_le_bytes()).collect();
        head.dtype = Dtype::F64;
    };
    for change in [(|_: &mut Stored| ()) as fn(&mut Stored), as_f64] {
        let (folder, embedding) = with_head(change);
        let decoder = loaded(folder.path());
        assert!(decoder.config().tie_word_embeddings);
        assert_eq!(head(&decoder), embedding.data, "the head is the embedding");
        let out = tempfile::tempdir().expect("a folder");
        save(&decoder, out.path()).expect("saved");
        assert!(tensors(out.path()).iter().all(|(name, _)| name != HEAD), "it is not written again");
    }
}

#[test]
fn a_tied_models_head_with_values_of_its_own_is_the_head_and_is_kept() {
    let (folder, embedding) = with_head(|head| *head.data.last_mut().expect("bytes") ^= 1);
    let decoder = loaded(folder.path());
    assert!(!decoder.config().tie_word_embeddings);
    assert_ne!(head(&decoder), embedding.data);
    let out = tempfile::tempdir().expect("a folder");
    save(&decoder, out.path()).expect("saved");
    assert_eq!(read_json(out.path(), "config.json")["tie_word_embeddings"], json!(false));
    let again = loaded(out.path());
    assert_eq!(bits(&again), bits(&decoder));
    assert_eq!(head(&again), head(&decoder));
}

#[test]
fn a_tied_models_one_matrix_may_be_stored_as_its_head() {
    let folder = copy("llama_tied");
    let expected = bits(&loaded(folder.path()));
    let renamed = tensors(folder.path()).into_iter().map(|(name, stored)| match name.as_str() {
        EMBEDDING => (HEAD.to_owned(), stored),
        _ => (name, stored),
    });
    let renamed: Vec<_> = renamed.collect();
    write(&folder.path().join("model.safetensors"), &renamed);
    assert_eq!(bits(&loaded(folder.path())), expected);
    // Of a model that is not tied the embedding is missing.
    set(folder.path(), "config.json", &json!({"tie_word_embeddings": false}));
    match refusal(folder.path()) {
        LoadError::Tensors { missing, .. } => assert_eq!(missing, [EMBEDDING]),
        other => panic!("{other}"),
    }
}

/// A copy of a case whose tensors have other names.
fn renamed(case: &str, rename: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = copy(case);
    let all = tensors(folder.path()).into_iter().map(|(name, stored)| (rename(&name), stored));
    write(&folder.path().join("model.safetensors"), &all.collect::<Vec<_>>());
    folder
}

#[test]
fn names_without_the_models_prefix_are_read_and_another_prefix_is_named() {
    for case in ["llama_tied", "llama_untied", "deepseek_v3_fp8"] {
        let folder = renamed(case, |name| name.strip_prefix("model.").unwrap_or(name).to_owned());
        let original = testkit::fixture_path(&format!("model/{case}"));
        assert_eq!(bits(&loaded(folder.path())), bits(&loaded(&original)), "{case}");
    }
    for prefix in ["language_model.model.", "_orig_mod.model.", "transformer."] {
        let folder = renamed("llama_tied", |name| name.replacen("model.", prefix, 1));
        let error = refusal(folder.path()).to_string();
        assert!(error.contains(&format!("the names begin with `{prefix}`, expected `model.`")), "{error}");
    }
}

#[test]
fn a_module_is_read_though_the_key_for_it_is_absent() {
    let folder = copy("deepseek_v3_mtp");
    let mut config = read_json(folder.path(), "config.json");
    config.as_object_mut().expect("an object").shift_remove("num_nextn_predict_layers");
    fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    let original = loaded(&testkit::fixture_path("model/deepseek_v3_mtp"));
    assert_eq!(bits(&loaded(folder.path())), bits(&original));
    // Newer transformers' name of it.
    set(folder.path(), "config.json", &json!({"num_mtp_layers": 1}));
    assert_eq!(loaded(folder.path()).config().num_nextn_predict_layers, 1);
}

#[test]
fn a_module_that_transformers_left_out_is_left_out() {
    let folder = copy("deepseek_v3_plain");
    set(folder.path(), "config.json", &json!({"num_nextn_predict_layers": 1}));
    assert_eq!(loaded(folder.path()).config().num_nextn_predict_layers, 0);
    // A part of it is an error.
    let folder = copy("deepseek_v3_mtp");
    let all = tensors(folder.path()).into_iter().filter(|(name, _)| !name.ends_with("eh_proj.weight"));
    write(&folder.path().join("model.safetensors"), &all.collect::<Vec<_>>());
    match refusal(folder.path()) {
        LoadError::Tensors { missing, .. } => assert_eq!(missing, ["model.layers.2.eh_proj.weight"]),
        other => panic!("{other}"),
    }
}

#[test]
fn one_whole_file_comes_before_an_index() {
    let folder = copy("llama_tied");
    fs::write(folder.path().join(INDEX), "no JSON").expect("written");
    loaded(folder.path());
}

/// The faults of a folder's shards.
fn faults(folder: &Path) -> Vec<String> {
    match refusal(folder) {
        LoadError::Shards { path, faults } => {
            assert!(path.ends_with(INDEX), "{}", path.display());
            faults
        }
        other => panic!("{other}"),
    }
}

#[test]
fn shards_that_are_not_the_indexs_are_named() {
    let [first, second, third] = [1, 2, 3].map(|number| format!("model-0000{number}-of-00003.safetensors"));
    let folder = copy("qwen3_moe_sharded");
    for shard in [&first, &third] {
        fs::remove_file(folder.path().join(shard)).expect("removed");
    }
    assert_eq!(faults(folder.path()), [format!("{first} is absent"), format!("{third} is absent")]);

    let folder = copy("qwen3_moe_sharded");
    let norm = "model.norm.weight";
    let mut index = read_json(folder.path(), INDEX);
    let right = index["weight_map"][norm].as_str().expect("a name").to_owned();
    let wrong = if right == first { &second } else { &first };
    index["weight_map"][norm] = json!(wrong);
    fs::write(folder.path().join(INDEX), index.to_string()).expect("written");
    assert_eq!(faults(folder.path()), [format!("{norm} is in {right} instead of {wrong}")]);

    let folder = copy("qwen3_moe_sharded");
    let all = tensors(folder.path());
    let norm = all.iter().find(|(name, _)| name == "model.norm.weight").expect("there").clone();
    let file = |shard: &String| folder.path().join(shard);
    let mut of_first: Vec<_> = all.iter().filter(|(_, tensor)| tensor.file == first).cloned().collect();
    assert_ne!(norm.1.file, first);
    of_first.push(norm.clone());
    write(&file(&first), &of_first);
    let told = faults(folder.path());
    assert_eq!(told[0], format!("{} is in {first} instead of {}", norm.0, norm.1.file));
    assert_eq!(told[1], format!("{} is in {first} and in {}", norm.0, norm.1.file));

    let folder = copy("qwen3_moe_sharded");
    let path = folder.path().join(&second);
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let error = refusal(folder.path());
    assert!(matches!(&error, LoadError::Safetensors { path: at, .. } if *at == path), "{error}");
}

#[test]
fn an_index_names_files_of_its_folder_only() {
    let outside = testkit::fixture_path("model/llama_tied/model.safetensors");
    let outside = outside.to_str().expect("a text");
    let spoilt = |index: &str| {
        let folder = copy("llama_tied");
        fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
        fs::write(folder.path().join(INDEX), index).expect("written");
        refusal(folder.path())
    };
    for shard in [outside, "../model.safetensors", "a/b.safetensors", "..\\model.safetensors", "..", ""] {
        let error = spoilt(&json!({"weight_map": {"model.norm.weight": shard}}).to_string());
        assert!(matches!(error, LoadError::Index { .. }), "{shard}: {error}");
        assert!(error.to_string().contains("files of this folder"), "{error}");
    }
    for index in ["{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"x": 1}}"#, r#"{"weight_map": {}}"#, "7"]
    {
        let error = spoilt(index);
        assert!(matches!(error, LoadError::Index { .. }), "{index}: {error}");
    }
    let twice = spoilt(r#"{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}"#);
    assert!(twice.to_string().contains("tensor x has two files"), "{twice}");
    for index in ["{", "", &"[".repeat(100_000)] {
        let error = spoilt(index);
        assert!(matches!(error, LoadError::Json { .. } | LoadError::Index { .. }), "{error}");
    }
}

const QUANTISED: &str = "model.layers.1.mlp.experts.2.up_proj.weight";

fn misshapen(folder: &Path) -> Vec<String> {
    match refusal(folder) {
        LoadError::Tensors { misshapen, missing, unexpected, .. } => {
            assert!(missing.is_empty() && unexpected.is_empty(), "{missing:?} {unexpected:?}");
            misshapen
        }
        other => panic!("{other}"),
    }
}

/// A copy of the FP8 case with some tensors replaced or left out.
fn changed(change: impl Fn(&str, Stored) -> Option<Stored>) -> tempfile::TempDir {
    let folder = copy("deepseek_v3_fp8");
    let all = tensors(folder.path()).into_iter();
    let kept = all.filter_map(|(name, stored)| change(&name, stored).map(|stored| (name, stored)));
    write(&folder.path().join("model.safetensors"), &kept.collect::<Vec<_>>());
    folder
}

#[test]
fn fp8_weights_need_their_factors() {
    let scale = format!("{QUANTISED}_scale_inv");
    let folder = changed(|name, stored| (name != scale).then_some(stored));
    assert_eq!(misshapen(folder.path()), [format!("{QUANTISED}: F8_E4M3 without {scale}")]);

    let folder = changed(|name, stored| {
        Some(if name == scale {
            Stored { shape: vec![stored.shape.iter().product()], ..stored }
        } else {
            stored
        })
    });
    assert_eq!(misshapen(folder.path()), [format!("{scale}: [4] instead of [2, 2]")]);

    let folder = changed(|name, stored| {
        Some(if name == scale { Stored { dtype: Dtype::U32, ..stored } } else { stored })
    });
    assert_eq!(misshapen(folder.path()), [format!("{scale}: U32 instead of F32, F16 or BF16")]);

    // Factors without a quantised matrix belong to nothing.
    let folder = changed(|name, stored| {
        let floats = Stored { dtype: Dtype::F32, data: vec![0; stored.data.len() * 4], ..stored.clone() };
        Some(if name == QUANTISED { floats } else { stored })
    });
    match refusal(folder.path()) {
        LoadError::Tensors { unexpected, .. } => assert_eq!(unexpected, [scale]),
        other => panic!("{other}"),
    }

    let folder = copy("deepseek_v3_fp8");
    set(folder.path(), "config.json", &json!({"quantization_config": null}));
    let told = misshapen(folder.path());
    assert!(
        told[0].ends_with("F8_E4M3, but config.json has no quantization_config.weight_block_size"),
        "{told:?}"
    );
}

#[test]
fn another_quantisation_is_refused_by_its_key() {
    for (quantization, key) in [
        (json!({"quant_method": "awq", "bits": 4}), "quant_method"),
        (json!({"bits": 4}), "quant_method"),
        (json!("fp8"), "quant_method"),
        (json!({"quant_method": "fp8"}), "weight_block_size"),
        (json!({"quant_method": "fp8", "weight_block_size": [128]}), "weight_block_size"),
        (json!({"quant_method": "fp8", "weight_block_size": [0, 128]}), "weight_block_size"),
        (json!({"quant_method": "fp8", "weight_block_size": [8, 8], "fmt": "e5m2"}), "fmt"),
    ] {
        let folder = copy("deepseek_v3_fp8");
        set(folder.path(), "config.json", &json!({"quantization_config": quantization}));
        let error = refusal(folder.path());
        assert!(matches!(error, LoadError::Config { .. }), "{quantization}: {error}");
        assert!(error.to_string().contains(&format!("`{key}`")), "{quantization}: {error}");
    }
}

#[test]
fn fused_experts_may_be_quantised_too() {
    let folder = copy("deepseek_v3_fp8");
    let expected = bits(&loaded(folder.path()));
    let (mut kept, mut fused) = (Vec::new(), BTreeMap::<String, Stored>::new());
    // In the order of their names, so of the experts.
    let mut all = tensors(folder.path());
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, stored) in all {
        let Some((layer, rest)) = name.split_once(".experts.").filter(|(_, rest)| rest.contains("down_proj"))
        else {
            kept.push((name, stored));
            continue;
        };
        let suffix = if rest.ends_with("_scale_inv") { "_scale_inv" } else { "" };
        let whole = fused.entry(format!("{layer}.experts.down_proj{suffix}")).or_insert_with(|| Stored {
            shape: [&[0][..], &stored.shape].concat(),
            data: Vec::new(),
            ..stored.clone()
        });
        whole.shape[0] += 1;
        whole.data.extend(stored.data);
    }
    assert_eq!(fused["model.layers.1.mlp.experts.down_proj"].shape, [4, 16, 12]);
    write(&folder.path().join("model.safetensors"), &kept.into_iter().chain(fused).collect::<Vec<_>>());
    assert_eq!(bits(&loaded(folder.path())), expected);
}
