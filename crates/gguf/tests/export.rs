//! Models into files: what is exported is imported again as it was, and what llama.cpp cannot run is refused.

mod common;

use common::{fixture, json, tensors};
use ruminate_gguf::{
    Dtype, Export, ExportError, ExportSource, ExportType, Gguf, Import, Options, TensorType, Value,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Cursor;

const CASES: [&str; 9] =
    ["llama", "qwen2", "qwen3", "pieces", "qwen3moe", "smollm3", "granite", "seed_oss", "phi3"];

/// A model folder in memory.
struct Folder {
    config: serde_json::Value,
    tokenizer: serde_json::Value,
    named: serde_json::Value,
    template: String,
    weights: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

fn imported(mut gguf: Gguf<impl std::io::Read + std::io::Seek>, dtype: Dtype) -> Folder {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { dtype: Some(dtype), ..Options::default() };
    let import = Import::plan(&mut gguf, &options).expect("a model that we know");
    import.write(&mut gguf, folder.path(), &mut |_| {}).expect("written");
    let path = |name: &str| folder.path().join(name);
    Folder {
        config: json(&path("config.json")),
        tokenizer: json(&path("tokenizer.json")),
        named: json(&path("tokenizer_config.json")),
        template: std::fs::read_to_string(path("chat_template.jinja")).expect("a template"),
        weights: tensors(&path("model.safetensors")),
    }
}

fn of_fixture(case: &str, dtype: Dtype) -> Folder {
    imported(Gguf::open(&fixture(&format!("{case}.gguf"))).expect("the fixture"), dtype)
}

/// The id of a token that the folder names.
fn id(folder: &Folder, key: &str) -> Option<u32> {
    let token = folder.named[key].as_str()?;
    let added = folder.tokenizer["added_tokens"].as_array().expect("a list");
    added.iter().find(|added| added["content"] == token)?["id"].as_u64().map(|id| id as u32)
}

fn planned(folder: &Folder, kind: ExportType) -> Result<Export, ExportError> {
    let ends: Vec<u32> = match &folder.config["eos_token_id"] {
        serde_json::Value::Array(ids) => ids.iter().map(|id| id.as_u64().expect("an id") as u32).collect(),
        id => id.as_u64().map(|id| id as u32).into_iter().collect(),
    };
    Export::plan(
        &ExportSource {
            name: "tiny",
            config: &folder.config,
            tokenizer: &folder.tokenizer,
            bos: id(folder, "bos_token"),
            pad: id(folder, "pad_token"),
            unk: id(folder, "unk_token"),
            ends: &ends,
            chat_template: Some(&folder.template),
        },
        kind,
    )
}

fn exported(folder: &Folder, kind: ExportType) -> Result<Vec<u8>, ExportError> {
    let export = planned(folder, kind)?;
    let mut out = Vec::new();
    let mut told = Vec::new();
    export.write(
        &mut out,
        &mut |name, range, values| {
            values.extend_from_slice(&folder.weights[name].1[range.start as usize..range.end as usize]);
        },
        &mut |at| told.push((at.done, at.of)),
    )?;
    assert_eq!(out.len() as u64, export.bytes(), "the size that was planned");
    assert!(told.last().is_some_and(|(done, of)| done == of), "progress reaches its end");
    Ok(out)
}

#[test]
fn what_is_exported_exactly_is_imported_as_it_was() {
    for case in CASES {
        let folder = of_fixture(case, Dtype::Bf16);
        let bytes = exported(&folder, ExportType::Bf16).expect("a model that llama.cpp runs");
        let again = imported(Gguf::read(Cursor::new(bytes)).expect("a file"), Dtype::Bf16);
        assert_eq!(again.config, folder.config, "{case}");
        assert_eq!(again.tokenizer, folder.tokenizer, "{case}");
        assert_eq!(again.named, folder.named, "{case}");
        assert_eq!(again.template, folder.template, "{case}");
        assert_eq!(again.weights, folder.weights, "{case}");
    }
}

#[test]
fn other_types_are_those_of_the_values() {
    for (case, kind, stored) in
        [("llama", ExportType::F16, TensorType::F16), ("qwen3moe", ExportType::Q8_0, TensorType::Q8_0)]
    {
        let folder = of_fixture(case, Dtype::F32);
        let bytes = exported(&folder, kind).expect("a model that llama.cpp runs");
        let gguf = Gguf::read(Cursor::new(bytes)).expect("a file");
        for tensor in gguf.tensors() {
            let expected = match tensor.shape.as_slice() {
                [_] => TensorType::F32,
                _ if tensor.name.ends_with("ffn_gate_inp.weight") => TensorType::F32,
                // No whole blocks.
                [.., row] if row % 32 != 0 => TensorType::F16,
                _ => stored,
            };
            assert_eq!(tensor.kind, expected, "{}", tensor.name);
        }
        let again = imported(gguf, Dtype::F32);
        for (name, (_, values)) in &folder.weights {
            let is_exact = values.len() < 100 || name.ends_with("mlp.gate.weight");
            for (place, (ours, theirs)) in again.weights[name].1.iter().zip(values).enumerate() {
                let expected = half::f16::from_f32(*theirs).to_f32();
                let same = match kind {
                    _ if is_exact => ours == theirs,
                    ExportType::F16 => *ours == expected,
                    // Half a step of 8 bits, and the rounding of the step itself.
                    _ => (ours - theirs).abs() < 0.006 * 0.5,
                };
                assert!(same, "{case} {name} element {place}: {ours} instead of {theirs}");
            }
        }
    }
}

#[test]
fn the_header_says_what_llama_cpp_reads() {
    let folder = of_fixture("llama", Dtype::Bf16);
    let bytes = exported(&folder, ExportType::Q8_0).expect("a model that llama.cpp runs");
    let gguf = Gguf::read(Cursor::new(bytes)).expect("a file");
    let theirs = Gguf::open(&fixture("llama.gguf")).expect("the fixture");
    // What the converter wrote of the same model, less what names it.
    for (key, value) in theirs.metadata().iter().filter(|(key, _)| !key.starts_with("general.")) {
        assert_eq!(gguf.metadata().get(key), Some(value), "{key}");
    }
    assert_eq!(gguf.metadata().get("general.file_type"), Some(&Value::Integer(7)));
    assert!(gguf.tensors().iter().any(|tensor| tensor.name == "rope_freqs.weight"));
}

#[test]
fn what_llama_cpp_cannot_run_is_refused() {
    let refused = |change: &dyn Fn(&mut Folder)| {
        let mut folder = of_fixture("qwen3moe", Dtype::Bf16);
        change(&mut folder);
        planned(&folder, ExportType::F16).map(drop).expect_err("a refusal").to_string()
    };
    for (change, says) in [
        (
            &(|f: &mut Folder| f.config["model_type"] = json!("mamba")) as &dyn Fn(&mut Folder),
            "expected one of mistral, llama",
        ),
        (&|f| f.config["norm_topk_prob"] = json!(false), "`norm_topk_prob` is false"),
        (&|f| f.config["rope_theta"] = json!(null), "`rope_theta` is absent"),
        (&|f| f.config["hidden_size"] = json!(-1), "`hidden_size` is -1"),
        (
            &|f| {
                f.config["rope_scaling"] =
                    json!({ "rope_type": "yarn", "factor": 2.0, "attention_factor": 0.7 });
            },
            "factors of attention",
        ),
        (&|f| f.tokenizer["model"]["type"] = json!("WordLevel"), "model.type is \"WordLevel\""),
        (
            &|f| f.tokenizer["pre_tokenizer"] = json!({ "type": "Whitespace" }),
            "these rules for splitting text",
        ),
        (&|f| f.config["eos_token_id"] = json!([1, 2, 3, 4]), "4 tokens end"),
        (&|f| f.tokenizer["model"]["vocab"]["odd"] = json!(1_000_000), "has the id 1000000"),
    ] {
        let message = refused(change);
        assert!(message.contains(says), "{message}");
    }
    for (case, key, value) in [
        ("llama", "mlp_bias", json!(true)),
        ("qwen3", "attention_bias", json!(true)),
        ("seed_oss", "attention_bias", json!(false)),
        ("seed_oss", "attention_out_bias", json!(true)),
        ("smollm3", "no_rope_layers", json!([1, 0])),
        ("granite", "logits_scaling", json!(null)),
        ("smollm3", "no_rope_layer_interval", json!(2)),
    ] {
        let mut folder = of_fixture(case, Dtype::Bf16);
        folder.config[key] = value;
        if key == "no_rope_layer_interval" {
            folder.config["no_rope_layers"] = json!(null);
        }
        let message = planned(&folder, ExportType::F16).map(drop).expect_err("a refusal").to_string();
        assert!(message.contains(&format!("`{key}` is ")), "{message}");
    }
    let mut mistral = of_fixture("pieces", Dtype::Bf16);
    mistral.config["model_type"] = json!("mistral");
    assert!(planned(&mistral, ExportType::F16).is_ok(), "llama.cpp runs it as llama");
    let mut pieces = of_fixture("pieces", Dtype::Bf16);
    pieces.tokenizer["model"]["merges"].as_array_mut().expect("a list").pop();
    let message = planned(&pieces, ExportType::F16).map(drop).expect_err("a refusal").to_string();
    assert!(message.contains("of other pairs"), "{message}");
}

#[test]
fn a_weight_beyond_the_type_is_named() {
    let mut folder = of_fixture("qwen3", Dtype::Bf16);
    folder.weights.get_mut("model.layers.1.mlp.up_proj.weight").expect("a weight").1[5] = 1e6;
    let error = exported(&folder, ExportType::F16).expect_err("a refusal");
    let ExportError::Overflow { tensor, value: 1e6, kind: "F16" } = &error else { panic!("{error}") };
    assert_eq!(tensor, "model.layers.1.mlp.up_proj.weight");
    assert!(error.to_string().contains("export it as bf16"), "{error}");
    folder.weights.get_mut("model.layers.1.mlp.up_proj.weight").expect("a weight").1[5] = f32::MAX;
    let error = exported(&folder, ExportType::Bf16).expect_err("a refusal");
    assert!(matches!(error, ExportError::Overflow { kind: "BF16", .. }), "{error}");
    assert!(!error.to_string().contains("export it as bf16"), "{error}");
}

#[test]
fn a_weight_that_is_no_number_is_refused_whatever_the_type() {
    for name in ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"] {
        for kind in [ExportType::F16, ExportType::Bf16, ExportType::Q8_0] {
            let mut folder = of_fixture("qwen3", Dtype::Bf16);
            folder.weights.get_mut(name).expect("a weight").1[5] = f32::NAN;
            let error = exported(&folder, kind).expect_err("a refusal");
            let ExportError::NotFinite { tensor, .. } = &error else { panic!("{error}") };
            assert_eq!(tensor, name);
            assert!(!error.to_string().contains("export it as bf16"), "{error}");
        }
    }
}

#[test]
fn what_a_template_puts_around_a_text_is_what_llama_cpp_puts_there() {
    let added = |folder: &Folder, end: &str| {
        let bytes = exported(folder, ExportType::Bf16).expect("a model that llama.cpp runs");
        let gguf = Gguf::read(Cursor::new(bytes)).expect("a file");
        let key = |name: String| gguf.metadata().get(&format!("tokenizer.ggml.{name}")).cloned();
        (key(format!("add_{end}_token")), key(format!("{end}_token_id")))
    };
    for case in ["llama", "pieces"] {
        let mut folder = of_fixture(case, Dtype::Bf16);
        let bos = id(&folder, "bos_token").expect("it has one");
        let put = (Some(Value::Flag(true)), Some(Value::Integer(bos.into())));
        assert_eq!(added(&folder, "bos"), put, "{case}");
        // A file without the id would put a token of llama.cpp's own there.
        folder.named["bos_token"] = json!(null);
        assert_eq!(added(&folder, "bos"), put, "{case}");
        folder.named["bos_token"] = folder.named["eos_token"].clone();
        let message = planned(&folder, ExportType::F16).map(drop).expect_err("a refusal").to_string();
        assert!(message.contains(&format!("the token {bos} where `bos_token` has the id")), "{message}");
    }
    let eos = |folder: &Folder| id(folder, "eos_token").expect("it has one");
    let mut folder = of_fixture("qwen2", Dtype::Bf16);
    let template = |ids: &[u32]| {
        json!({
            "type": "TemplateProcessing",
            "single": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "<e>", "type_id": 0 } }],
            "special_tokens": { "<e>": { "id": "<e>", "ids": ids, "tokens": ["<e>"] } },
        })
    };
    let end = eos(&folder);
    folder.tokenizer["post_processor"] = template(&[end]);
    assert_eq!(added(&folder, "eos"), (Some(Value::Flag(true)), Some(Value::Integer(end.into()))));
    for ids in [&[end - 1][..], &[end, end], &[], &[1 << 20]] {
        folder.tokenizer["post_processor"] = template(ids);
        let message = planned(&folder, ExportType::F16).map(drop).expect_err("a refusal").to_string();
        assert!(message.contains("post_processor is "), "{message}");
    }
}

#[test]
fn a_model_without_an_ending_token_is_refused() {
    for case in ["qwen2", "pieces"] {
        let mut folder = of_fixture(case, Dtype::Bf16);
        folder.config["eos_token_id"] = json!(null);
        let error = planned(&folder, ExportType::F16).map(drop).expect_err("a refusal");
        assert!(matches!(error, ExportError::NoEnd), "{error}");
        assert!(error.to_string().contains("set `eos_token_id`"), "{error}");
    }
}

#[test]
fn llama_3s_rule_is_for_the_families_that_have_it() {
    for case in CASES.into_iter().filter(|case| *case != "phi3") {
        let mut folder = of_fixture(case, Dtype::Bf16);
        folder.config["rope_scaling"] = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        });
        let has_rule = matches!(folder.config["model_type"].as_str(), Some("llama" | "granite"));
        match planned(&folder, ExportType::F16) {
            Ok(_) => assert!(has_rule, "{case}"),
            Err(error) => {
                assert!(!has_rule && error.to_string().contains("for llama and granite only"), "{error}");
            }
        }
    }
}

#[test]
fn sizes_are_bounded_before_anything_is_made_of_them() {
    for (key, value) in [
        ("num_hidden_layers", 1_u64 << 28),
        ("num_hidden_layers", 1 << 14),
        ("vocab_size", 1 << 28),
        ("head_dim", 1 << 28),
    ] {
        let mut folder = of_fixture("llama", Dtype::Bf16);
        folder.config[key] = json!(value);
        match planned(&folder, ExportType::F16) {
            Err(ExportError::Config { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{key}: {:?}", other.map(drop)),
        }
    }
}
