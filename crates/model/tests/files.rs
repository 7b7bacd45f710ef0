//! What lies in a model folder and is not what it should be: numbers that are none, files of another kind, other names,
//! the folder of a run. Each is said by its name.

mod common;

use common::{copy, read_json, set, tensors, write};
use half::bf16;
use ruminate_model::{Config, LoadError, load, load_config, save};
use ruminate_testkit as testkit;
use safetensors::Dtype;
use serde_json::json;
use std::fs;
use std::path::Path;

fn refusal(folder: &Path) -> LoadError {
    load(folder, &testkit::device()).expect_err("a spoilt folder")
}

/// Replaces an element of a tensor of a folder's one file.
fn poison(folder: &Path, name: &str, index: usize, bytes: &[u8]) {
    let mut all = tensors(folder);
    let stored = &mut all.iter_mut().find(|(stored, _)| stored == name).expect("there").1;
    stored.data[index * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
    write(&folder.join("model.safetensors"), &all);
}

#[test]
fn kimi_k2_is_deepseek_v3_under_another_name() {
    let folder = copy("deepseek_v3_plain");
    let same = load_config(folder.path()).expect("a fixture");
    set(folder.path(), "config.json", &json!({"model_type": "kimi_k2"}));
    let config = load_config(folder.path()).expect("another name");
    assert_eq!(config, same);
    // Under this name transformers has a class of its own.
    assert_eq!(config.to_json()["model_type"], "deepseek_v3");
}

#[test]
fn a_class_without_a_key_for_biases_gets_none() {
    for (case, has_key) in
        [("qwen2", false), ("mistral", false), ("mixtral", false), ("phi3", false), ("llama_tied", true)]
    {
        let config = load_config(&testkit::fixture_path("model").join(case)).expect("a fixture");
        assert_eq!(config.to_json().get("attention_bias").is_some(), has_key, "{case}");
    }
}

#[test]
fn a_window_of_mistral_is_read_where_it_holds_all_positions() {
    let mut json = read_json(&testkit::fixture_path("model/mistral"), "config.json");
    let read = |json: &serde_json::Value| Config::from_json(json);
    for window in [json!(null), json!(64), json!(4096)] {
        json["sliding_window"] = window;
        let config = read(&json).expect("the whole sequence is seen");
        // Left out, the class would take 4096.
        assert_eq!(config.to_json().get("sliding_window"), Some(&serde_json::Value::Null));
    }
    json.as_object_mut().expect("an object").remove("sliding_window");
    read(&json).expect("4096 is meant, of 64 positions");
    json["max_position_embeddings"] = json!(32_768);
    let error = read(&json).expect_err("4096 is meant").to_string();
    assert!(error.contains("`sliding_window` is absent") && error.contains("4096 is meant"), "{error}");
}

#[test]
fn longrope_has_the_positions_of_its_short_factors_and_keeps_what_the_file_says() {
    let source = testkit::fixture_path("model/phi3_longrope");
    let config = load_config(&source).expect("a fixture");
    assert_eq!(config.max_position_embeddings, 24, "of 64");
    let long = [1.0 + (64.0_f64 / 24.0).ln() / 24.0_f64.ln(), 1.0].map(f64::sqrt);
    assert!((config.rope.angle_factor() - long[0]).abs() < 1e-12);
    let decoder = load(&source, &testkit::device()).expect("a fixture");
    let out = tempfile::tempdir().expect("a folder");
    save(&decoder, out.path()).expect("saved");
    let written = read_json(out.path(), "config.json");
    let table = &written["rope_scaling"];
    assert_eq!((&written["max_position_embeddings"], &table["rope_type"]), (&json!(64), &json!("longrope")));
    assert_eq!(written["original_max_position_embeddings"], json!(24));
    assert_eq!(table["long_factor"], json!([1.5, 3.0, 7.0]));
    assert_eq!(written["partial_rotary_factor"], json!(0.75));

    // As the first of these models were published.
    let mut json = read_json(&source, "config.json");
    let mut table = json["rope_parameters"].take();
    json["rope_theta"] = table["rope_theta"].take();
    json["partial_rotary_factor"] = table["partial_rotary_factor"].take();
    for kind in ["su", "yarn", "longrope"] {
        let older =
            json!({"type": kind, "short_factor": table["short_factor"], "long_factor": table["long_factor"]});
        json["rope_scaling"] = older;
        assert_eq!(Config::from_json(&json).expect(kind), config);
    }
    // What the file does not state is 4096, whatever stands in the table.
    json["rope_scaling"]["original_max_position_embeddings"] = json!(24);
    json.as_object_mut().expect("an object").shift_remove("original_max_position_embeddings");
    assert_eq!(Config::from_json(&json).expect("valid").max_position_embeddings, 64);
}

#[test]
fn a_part_of_a_head_is_rotated_as_transformers_rounds_it() {
    let mut json = read_json(&testkit::fixture_path("model/phi3"), "config.json");
    for (head_dim, share, columns) in
        [(96, 0.4, 38), (128, 0.75, 96), (64, 0.5, 32), (10, 0.9999, 0), (64, 1.0, 64)]
    {
        json["head_dim"] = json!(head_dim);
        json["rope_parameters"]["partial_rotary_factor"] = json!(share);
        let read = Config::from_json(&json);
        if columns == 0 {
            let error = read.expect_err("9 columns").to_string();
            assert!(error.contains("`partial_rotary_factor` is 0.9999 of heads of 10"), "{error}");
            continue;
        }
        let config = read.expect("valid");
        assert_eq!(config.rotary_width(), columns);
        assert_eq!(Config::from_json(&config.to_json()).expect("ours"), config);
    }
}

#[test]
fn dynamic_scaling_is_none_up_to_the_positions() {
    let json = read_json(&testkit::fixture_path("model/internlm3"), "config.json");
    let config = Config::from_json(&json).expect("a fixture");
    let mut plain = json.clone();
    plain["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 10000.0});
    let plain = Config::from_json(&plain).expect("valid");
    assert_eq!(config.rope.frequencies(12), plain.rope.frequencies(12));
    assert_eq!(config.to_json()["rope_scaling"], json!({"rope_type": "dynamic", "factor": 6.0}));
    // Its two biases have two names each.
    let mut other = json;
    for (key, name) in [("attention_bias", "qkv_bias"), ("mlp_bias", "bias")] {
        other[name] = other.as_object_mut().expect("an object").shift_remove(key).expect("there");
    }
    assert_eq!(Config::from_json(&other).expect("valid"), config);
}

#[test]
fn blocks_of_smollm3_are_rotated_by_the_interval_where_no_list_says_it() {
    let mut json = read_json(&testkit::fixture_path("model/smollm3"), "config.json");
    json["num_hidden_layers"] = json!(8);
    json.as_object_mut().expect("an object").remove("no_rope_layers");
    json["no_rope_layer_interval"] = json!(4);
    json.as_object_mut().expect("an object").remove("layer_types");
    let config = Config::from_json(&json).expect("valid");
    let unrotated: Vec<usize> = (0..8).filter(|&layer| config.unrotated.contains(layer)).collect();
    assert_eq!(unrotated, [3, 7]);
    json["no_rope_layers"] = json!([1, 1, 1, 0, 1, 1, 1, 0]);
    assert_eq!(Config::from_json(&json).expect("valid"), config, "the list says the same");
    for list in [json!([1, 1, 1, 1, 1, 1, 1, 1]), json!([1, 0, 0, 1, 1, 1, 1, 0])] {
        json["no_rope_layers"] = list;
        let config = Config::from_json(&json).expect("valid");
        assert_eq!(Config::from_json(&config.to_json()).expect("ours"), config);
    }
}

#[test]
fn a_number_that_is_none_is_refused_with_its_tensor_and_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (name, index) in [("model.norm.weight", 31), ("model.layers.1.mlp.up_proj.weight", 700)] {
            let folder = copy("llama_tied");
            poison(folder.path(), name, index, &bad.to_le_bytes());
            match refusal(folder.path()) {
                LoadError::NonFinite { path, tensor, index: place, value } => {
                    assert!(path.ends_with("model.safetensors"));
                    assert_eq!((tensor.as_str(), place, value.to_bits()), (name, index, bad.to_bits()));
                }
                other => panic!("{other}"),
            }
        }
    }
    // A single expert's, in bf16 and in a shard.
    let folder = copy("qwen3_moe_sharded");
    let name = "model.layers.1.mlp.experts.3.down_proj.weight";
    let file = tensors(folder.path()).into_iter().find(|(stored, _)| stored == name).expect("there").1.file;
    let mut of_file: Vec<_> =
        tensors(folder.path()).into_iter().filter(|(_, stored)| stored.file == file).collect();
    let stored = &mut of_file.iter_mut().find(|(stored, _)| stored == name).expect("there").1;
    assert_eq!(stored.dtype, Dtype::BF16);
    stored.data[10..12].copy_from_slice(&bf16::NAN.to_le_bytes());
    write(&folder.path().join(&file), &of_file);
    let error = refusal(folder.path()).to_string();
    assert!(error.contains(&format!("{name} holds NaN at element 5")) && error.contains(&file), "{error}");
}

#[test]
fn a_head_that_is_only_compared_is_checked_too() {
    let folder = copy("llama_tied");
    let mut all = tensors(folder.path());
    let mut head =
        all.iter().find(|(name, _)| name.ends_with("embed_tokens.weight")).expect("there").1.clone();
    head.data[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
    all.push(("lm_head.weight".to_owned(), head));
    write(&folder.path().join("model.safetensors"), &all);
    let error = refusal(folder.path()).to_string();
    assert!(error.contains("lm_head.weight holds NaN at element 1"), "{error}");
}

#[test]
fn fp8_weights_their_factors_and_their_products_are_finite() {
    const QUANTISED: &str = "model.layers.1.mlp.experts.2.up_proj.weight";
    let scale = format!("{QUANTISED}_scale_inv");
    for (name, bytes, says) in [
        (QUANTISED, vec![0x7f], format!("{QUANTISED} holds NaN at element 3")),
        (&scale, f32::INFINITY.to_le_bytes().to_vec(), format!("{scale} holds inf at element 3")),
        (&scale, f32::MAX.to_le_bytes().to_vec(), format!("{QUANTISED} holds ")),
    ] {
        let folder = copy("deepseek_v3_fp8");
        poison(folder.path(), name, 3, &bytes);
        let error = refusal(folder.path()).to_string();
        assert!(error.contains(&says), "{error}");
    }
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 15\n";

#[test]
fn files_of_another_kind_are_recognised() {
    let kinds: [(&[u8], &str); 5] = [
        (POINTER.as_bytes(), "this is a git-lfs pointer; run `git lfs pull`"),
        (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "this is an HTML page"),
        (b"<html>404</html>", "this is an HTML page"),
        (b"PK\x03\x04rest of an archive", "this is a zip archive, as PyTorch's .bin files are"),
        (b"GGUF\x03\0\0\0", "this is a GGUF file; `ruminate import"),
    ];
    for (content, says) in kinds {
        for name in ["model.safetensors", "config.json", "generation_config.json"] {
            let folder = copy("llama_tied");
            fs::write(folder.path().join(name), content).expect("written");
            let error = refusal(folder.path());
            assert!(
                matches!(&error, LoadError::Kind { path, .. } if path.ends_with(name)),
                "{name}: {error}"
            );
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
        let folder = copy("qwen3_moe_sharded");
        for name in ["model-00002-of-00003.safetensors", "model.safetensors.index.json"] {
            fs::write(folder.path().join(name), content).expect("written");
            let error = refusal(folder.path()).to_string();
            assert!(error.contains(says) && error.contains(name), "{error}");
        }
    }
}

#[test]
fn weights_under_other_names_are_named_with_what_to_do() {
    for (name, remedy) in [
        ("pytorch_model.bin", "convert the folder with transformers"),
        ("consolidated.00.pth", "convert the folder with transformers"),
        ("consolidated.safetensors", "download the files that transformers loads"),
        ("model.fp16.safetensors", "rename the variant"),
        ("model-00001-of-00002.safetensors", "read with their index"),
        ("model-Q4_K_M.gguf", "`ruminate import FILE OUT`"),
    ] {
        let folder = copy("llama_tied");
        fs::rename(folder.path().join("model.safetensors"), folder.path().join(name)).expect("renamed");
        // Of a trainer, not of a model.
        fs::write(folder.path().join("training_args.bin"), "x").expect("written");
        let error = refusal(folder.path());
        match &error {
            LoadError::NoWeights { found, .. } => assert_eq!(found, &[name]),
            other => panic!("{name}: {other}"),
        }
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn a_run_folder_says_where_its_model_is() {
    let run = tempfile::tempdir().expect("a folder");
    let recipe = json!({"seed": 1, "model": {"model_type": "llama"}});
    fs::write(run.path().join("config.json"), recipe.to_string()).expect("written");
    let unknown = load_config(run.path()).expect_err("a recipe");
    assert!(matches!(unknown, LoadError::Config { .. }), "{unknown}");
    let place = |name: &str| {
        let folder = run.path().join(name);
        fs::create_dir_all(&folder).expect("made");
        fs::copy(testkit::fixture_path("model/llama_tied/config.json"), folder.join("config.json"))
            .expect("copied");
        folder
    };
    for name in ["checkpoints/step-000002", "checkpoints/step-000010", "final"] {
        let model = place(name);
        for error in [load_config(run.path()).expect_err("a run"), refusal(run.path())] {
            let LoadError::RunFolder { model: named, .. } = &error else { panic!("{error}") };
            assert_eq!(*named, model);
            assert!(error.to_string().contains("this is a run folder; the model is in"), "{error}");
        }
    }
    // A folder of evaluations has no config.json of its own.
    fs::remove_file(run.path().join("config.json")).expect("removed");
    assert!(matches!(refusal(run.path()), LoadError::RunFolder { .. }));
}

#[test]
fn a_long_config_and_numbers_of_python_are_read_and_kept() {
    let folder = copy("llama_tied");
    let labels: serde_json::Map<_, _> =
        (0..12_000).map(|i| (i.to_string(), json!(format!("LABEL_{i}, [{{\"")))).collect();
    set(folder.path(), "config.json", &json!({"id2label": labels}));
    let text = fs::read_to_string(folder.path().join("config.json")).expect("readable");
    assert!(text.len() > 283 << 10, "{}", text.len());
    let special = text.replacen('{', "{\"limits\": [-Infinity, Infinity, NaN],", 1);
    fs::write(folder.path().join("config.json"), special).expect("written");
    let decoder = load(folder.path(), &testkit::device()).expect("read");
    let out = tempfile::tempdir().expect("a folder");
    save(&decoder, out.path()).expect("saved");
    // As transformers writes such numbers since its fifth version, and reads them.
    let float = |name: &str| json!({"__float__": name});
    let kept = read_json(out.path(), "config.json");
    assert_eq!(kept["limits"], json!([float("-Infinity"), float("Infinity"), float("NaN")]));
    assert_eq!(kept["id2label"], json!(labels));

    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config.as_object_mut().expect("an object").shift_remove("rms_norm_eps");
    let text = config.to_string().replacen('{', "{\"rms_norm_eps\": Infinity,", 1);
    fs::write(folder.path().join("config.json"), text).expect("written");
    let error = load_config(folder.path()).expect_err("no epsilon").to_string();
    assert!(error.contains("`rms_norm_eps` is {\"__float__\":\"Infinity\"}"), "{error}");
}

#[test]
fn what_is_written_has_one_table_of_positions_and_one_name_per_key() {
    let folder = copy("qwen2");
    let yarn = json!({"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.9});
    let changes = json!({
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
        "rope_scaling": yarn, "original_max_position_embeddings": 16, "rope_theta": 900.0,
    });
    set(folder.path(), "config.json", &changes);
    let decoder = load(folder.path(), &testkit::device()).expect("loaded");
    let out = tempfile::tempdir().expect("a folder");
    save(&decoder, out.path()).expect("saved");
    let written = read_json(out.path(), "config.json");
    for key in ["rope_parameters", "original_max_position_embeddings"] {
        assert!(written.get(key).is_none(), "{key} in {written}");
    }
    assert_eq!(written["rope_theta"], json!(900.0));
    let table = &written["rope_scaling"];
    assert_eq!(table["attention_factor"], json!(0.9));
    assert_eq!(table["original_max_position_embeddings"], json!(16));
    assert_eq!(&Config::from_json(&written).expect("ours"), decoder.config());
}
