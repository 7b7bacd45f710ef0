//! Against llama.cpp's Python package: `fixtures/gguf`, made by its `make.py`.

mod common;

use common::{fixture, json, plan, tensors};
use ruminate_gguf::{Dtype, Gguf, Import, Options, TensorType, dequantize};
use safetensors::SafeTensors;
use std::path::Path;
use tokenizers::Tokenizer;

const CASES: [(&str, Dtype); 12] = [
    ("llama", Dtype::Bf16),
    ("qwen2", Dtype::F32),
    ("qwen3", Dtype::Bf16),
    ("pieces", Dtype::Bf16),
    ("qwen3moe", Dtype::Bf16),
    ("smollm3", Dtype::Bf16),
    ("granite", Dtype::Bf16),
    ("seed_oss", Dtype::Bf16),
    ("phi3", Dtype::Bf16),
    ("deepseek2", Dtype::Bf16),
    ("deepseek2_whole", Dtype::Bf16),
    ("unigram", Dtype::Bf16),
];

#[test]
fn every_block_type_dequantises_to_the_reference_bits() {
    let bytes = std::fs::read(fixture("quants.safetensors")).expect("the fixture");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let expected = tensors_of(&file);
    for kind in TensorType::ALL {
        let blocks = file.tensor(&format!("{}.blocks", kind.name())).expect("blocks of every type");
        let mut values = Vec::new();
        dequantize(kind, blocks.data(), &mut values);
        let expected = expected(kind);
        assert_eq!(values.len(), expected.len(), "{}", kind.name());
        for (place, (ours, theirs)) in values.iter().zip(&expected).enumerate() {
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{} element {place}: {ours} {theirs}", kind.name());
        }
    }
}

fn tensors_of<'a>(file: &'a SafeTensors<'a>) -> impl Fn(TensorType) -> Vec<f32> + 'a {
    |kind| {
        let view = file.tensor(&format!("{}.values", kind.name())).expect("values of every type");
        view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

fn imported(case: &str, dtype: Dtype) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gguf = Gguf::open(&fixture(&format!("{case}.gguf"))).expect("the fixture");
    let import = Import::plan(&mut gguf, &Options::default()).expect("a model that we know");
    assert_eq!(import.dtype(), dtype, "{case}");
    let mut told = Vec::new();
    import.write(&mut gguf, folder.path(), &mut |at| told.push((at.done, at.of))).expect("written");
    assert_eq!(told.last(), Some(&(told.len() - 1, told.len() - 1)), "{case}: progress reaches its end");
    folder
}

#[test]
fn weights_are_those_of_the_model_that_was_written() {
    for (case, dtype) in CASES {
        let folder = imported(case, dtype);
        let ours = tensors(&folder.path().join("model.safetensors"));
        let theirs = tensors(&fixture(&format!("{case}.safetensors")));
        let names = |all: &std::collections::BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{case}");
        for (name, (shape, values)) in &theirs {
            assert_eq!(&ours[name].0, shape, "{case} {name}");
            for (place, (ours, theirs)) in ours[name].1.iter().zip(values).enumerate() {
                let expected = match dtype {
                    Dtype::F32 => *theirs,
                    Dtype::Bf16 => half::bf16::from_f32(*theirs).to_f32(),
                };
                assert_eq!(ours.to_bits(), expected.to_bits(), "{case} {name} element {place}");
            }
        }
    }
}

#[test]
fn the_configuration_is_that_of_the_model_that_was_written() {
    for (case, dtype) in CASES {
        let folder = imported(case, dtype);
        let ours = json(&folder.path().join("config.json"));
        let theirs = json(&fixture(&format!("{case}.json")));
        for (key, value) in theirs["config"].as_object().expect("an object") {
            let same = match (ours[key].as_f64(), value.as_f64()) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ if key == "rope_scaling" && value.is_object() => {
                    let numbers = |v: &serde_json::Value| {
                        [
                            "factor",
                            "low_freq_factor",
                            "high_freq_factor",
                            "original_max_position_embeddings",
                            "mscale",
                            "mscale_all_dim",
                        ]
                        .map(|key| v[key].as_f64())
                    };
                    ours[key]["rope_type"] == value["rope_type"] && numbers(&ours[key]) == numbers(value)
                }
                _ => ours[key] == *value,
            };
            assert!(same, "{case} {key}: {} instead of {value}", ours[key]);
        }
        // Of transformers' classes Qwen2's has no such key.
        assert_eq!(ours.get("attention_bias").is_some(), case != "qwen2", "{case}");
        let generation = json(&folder.path().join("generation_config.json"));
        assert_eq!(generation["eos_token_id"], theirs["config"]["eos_token_id"], "{case}");
        let template =
            std::fs::read_to_string(folder.path().join("chat_template.jinja")).expect("a template");
        assert_eq!(template, theirs["template"].as_str().expect("text"), "{case}");
    }
}

#[test]
fn texts_become_the_ids_of_the_tokenizer_that_was_written_and_come_back() {
    for (case, dtype) in CASES {
        let folder = imported(case, dtype);
        let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
        let theirs = json(&fixture(&format!("{case}.json")));
        assert_eq!(
            tokenizer.get_vocab_size(true) as u64,
            theirs["tokens"].as_u64().expect("a count"),
            "{case}"
        );
        for row in theirs["encodings"].as_array().expect("rows") {
            let text = row["text"].as_str().expect("text");
            let expected: Vec<u32> = serde_json::from_value(row["ids"].clone()).expect("ids");
            let ids = tokenizer.encode(text, false).expect("byte level covers all").get_ids().to_vec();
            assert_eq!(ids, expected, "{case} {text:?}");
            assert_eq!(tokenizer.decode(&ids, false).expect("decodes"), row["decoded"], "{case} {text:?}");
        }
    }
}

#[test]
fn texts_begin_with_bos_where_the_file_says_so() {
    let first = |case: &str, dtype| {
        let folder = imported(case, dtype);
        let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
        let bos = tokenizer.token_to_id("<|endoftext|>");
        let ids = tokenizer.encode("cat", true).expect("encodes").get_ids().to_vec();
        (ids.first().copied() == bos, ids.len())
    };
    let (llama, with) = first("llama", Dtype::Bf16);
    let (qwen2, _) = first("qwen2", Dtype::F32);
    assert!(llama && !qwen2 && with > 1);
}

#[test]
fn a_fixture_cut_off_anywhere_is_refused() {
    let bytes = std::fs::read(fixture("llama.gguf")).expect("the fixture");
    let folder = tempfile::tempdir().expect("a folder");
    // The last tensor is a norm that fills its alignment: not a byte can be spared.
    for len in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
        assert!(common::import(&bytes[..len], folder.path()).is_err(), "first {len} bytes");
    }
    assert!(plan(&bytes).is_ok());
    assert!(Gguf::open(Path::new("absent.gguf")).is_err());
}
