//! What we write we read back: every family, every layout, one file or many, with the words of the folder that the
//! model came from.

mod common;

use burn::tensor::activation::log_softmax;
use common::{CASES, bits, copy, read_json, tensors};
use ruminate_model::{
    Batch, Config, Decoder, Format, Held, Progress, Routes, WeightType, load, load_with_progress, save,
    save_as,
};
use ruminate_testkit as testkit;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Small enough for several files in every case, and for single tensors above it.
const TINY: u64 = 3000;

fn fixture(name: &str) -> Decoder {
    load(&testkit::fixture_path(&format!("model/{name}")), &testkit::device()).expect(name)
}

fn saved(decoder: &Decoder, format: Format) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = save_as(decoder, folder.path(), format).expect("saved");
    let mut found: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    found.sort();
    let mut told = written.clone();
    told.sort();
    assert_eq!(told, found, "the paths are those of the files");
    folder
}

fn logprobs(decoder: &Decoder) -> Vec<f32> {
    let vocabulary = decoder.config().vocab_size as u32;
    let row: Vec<u32> = (0..24).map(|i| (i * 7 + 3) % vocabulary).collect();
    let output = decoder.forward(&Batch::from_rows(&[row]), Routes::Choose);
    testkit::floats(log_softmax(decoder.logits(output.hidden), 1))
}

#[test]
fn every_family_comes_back_bit_by_bit_whole_and_in_shards() {
    for name in CASES {
        let decoder = fixture(name);
        for max_shard_size in [Format::default().max_shard_size, TINY] {
            let folder = saved(&decoder, Format { max_shard_size, ..Format::default() });
            let whole = folder.path().join("model.safetensors").exists();
            assert_eq!(whole, max_shard_size > TINY, "{name}");
            let again = load(folder.path(), &testkit::device()).expect("loaded");
            assert_eq!(again.config(), decoder.config(), "{name}");
            assert_eq!(bits(&again), bits(&decoder), "{name}");
            assert_eq!(logprobs(&again), logprobs(&decoder), "{name}");
        }
    }
}

#[test]
fn bf16_weights_come_back_bit_by_bit_and_others_rounded() {
    // Its files are bf16.
    let decoder = fixture("qwen3_moe_sharded");
    let format = Format { dtype: WeightType::Bfloat16, ..Format::default() };
    let again = load(saved(&decoder, format).path(), &testkit::device()).expect("loaded");
    assert_eq!(bits(&again), bits(&decoder));

    let decoder = fixture("deepseek_v3_full");
    let folder = saved(&decoder, Format { max_shard_size: TINY, ..format });
    assert_eq!(read_json(folder.path(), "config.json")["dtype"], json!("bfloat16"));
    let again = load(folder.path(), &testkit::device()).expect("loaded");
    for ((name, _, rounded), (_, _, exact)) in bits(&again).0.iter().zip(&bits(&decoder).0) {
        for (&rounded, &exact) in rounded.iter().zip(exact) {
            let (rounded, exact) = (f32::from_bits(rounded), f32::from_bits(exact));
            // Half a unit in the last of eight bits; a router's bias is kept.
            let most = if name.ends_with("e_score_correction_bias") { 0.0 } else { exact.abs() / 256.0 };
            assert!((rounded - exact).abs() <= most, "{name}: {exact} became {rounded}");
        }
    }
    let biases = tensors(folder.path()).into_iter().filter(|(_, tensor)| tensor.dtype == Dtype::F32);
    assert_eq!(biases.count(), 2, "of two routers");
}

#[test]
fn shards_have_their_limit_their_index_and_aligned_tensors() {
    let decoder = fixture("deepseek_v3_mtp");
    let format = Format { dtype: WeightType::Bfloat16, max_shard_size: TINY };
    let folder = saved(&decoder, format);
    let index = read_json(folder.path(), "model.safetensors.index.json");
    let found = tensors(folder.path());
    let total: u64 = found.iter().map(|(_, tensor)| tensor.bytes).sum();
    assert_eq!(index["metadata"]["total_size"], json!(total));
    let map = index["weight_map"].as_object().expect("an object");
    assert_eq!(map.len(), found.len());
    for (name, tensor) in &found {
        assert_eq!(map[name], json!(tensor.file), "{name}");
        assert_eq!(tensor.begin * 8 % tensor.dtype.bitsize() as u64, 0, "{name} begins at {}", tensor.begin);
    }
    let mut files: Vec<&str> = found.iter().map(|(_, tensor)| tensor.file.as_str()).collect();
    files.dedup();
    for (number, file) in files.iter().enumerate() {
        assert_eq!(*file, format!("model-{:05}-of-{:05}.safetensors", number + 1, files.len()));
        let of = found.iter().filter(|(_, tensor)| tensor.file == **file);
        let sizes: Vec<u64> = of.map(|(_, tensor)| tensor.bytes).collect();
        assert!(sizes.iter().sum::<u64>() <= TINY || sizes.len() == 1, "{file}: {sizes:?}");
    }
}

#[test]
fn what_the_source_says_beyond_the_architecture_is_said_again() {
    let source = copy("qwen2");
    let path = source.path().join("config.json");
    let mut config = read_json(source.path(), "config.json");
    config["pad_token_id"] = json!(7);
    config["id2label"] = json!({"0": "a"});
    config["torch_dtype"] = json!("bfloat16");
    config.as_object_mut().expect("an object").shift_remove("dtype");
    fs::write(&path, config.to_string()).expect("written");
    let generation = json!({"temperature": 0.6, "eos_token_id": [1, 2], "unknown": {"a": [1]}});
    fs::write(source.path().join("generation_config.json"), generation.to_string()).expect("written");

    // Through two generations, as a checkpoint that is resumed and saved.
    let mut folder = source;
    for _ in 0..2 {
        let decoder = load(folder.path(), &testkit::device()).expect("loaded");
        folder = saved(&decoder, Format::default());
    }
    let written = read_json(folder.path(), "config.json");
    assert_eq!((&written["pad_token_id"], &written["id2label"]), (&json!(7), &json!({"0": "a"})));
    assert_eq!((&written["torch_dtype"], written.get("dtype")), (&json!("float32"), None));
    assert_eq!(read_json(folder.path(), "generation_config.json"), generation);
}

#[test]
fn dequantised_weights_do_not_claim_to_be_quantised() {
    let folder = saved(&fixture("deepseek_v3_fp8"), Format::default());
    assert!(read_json(folder.path(), "config.json").get("quantization_config").is_none());
    assert!(tensors(folder.path()).iter().all(|(name, _)| !name.ends_with("_scale_inv")));
}

#[test]
fn a_fresh_model_says_what_its_architecture_knows() {
    let config = Config::from_json(&testkit::json::<Value>("model/llama_tied/config.json")).expect("valid");
    let decoder = Decoder::init(&config, &mut rand_of(3), &testkit::device());
    let folder = tempfile::tempdir().expect("a temporary folder");
    save(&decoder, folder.path()).expect("saved");
    assert_eq!(
        read_json(folder.path(), "generation_config.json"),
        json!({"do_sample": true, "eos_token_id": 1})
    );
    assert_eq!(read_json(folder.path(), "config.json"), {
        let mut expected = config.to_json();
        expected["dtype"] = json!("float32");
        expected
    });
}

fn rand_of(seed: u64) -> impl rand::Rng {
    use rand::SeedableRng;
    rand::rngs::SmallRng::seed_from_u64(seed)
}

#[test]
fn progress_counts_parameters_up_to_all_of_them() {
    let mut steps: Vec<(u64, u64, String)> = Vec::new();
    let folder = testkit::fixture_path("model/deepseek_v3_fp8");
    let decoder =
        load_with_progress(&folder, Held::AsF32, &testkit::device(), &mut |Progress { done, of, tensor }| {
            steps.push((done, of, tensor.to_owned()));
        })
        .expect("loaded");
    let all = decoder.parameter_count() as u64;
    assert_eq!(steps.first(), Some(&(0, all, "model.embed_tokens.weight".to_owned())));
    assert_eq!(steps.last(), Some(&(all, all, String::new())));
    assert!(steps.is_sorted_by(|a, b| a.0 <= b.0));
    assert_eq!(steps.len(), bits(&decoder).0.len() + 1);
}

#[test]
fn a_full_disk_names_the_file() {
    let decoder = fixture("qwen2");
    let absent = Path::new("/absent/folder");
    let error = save(&decoder, absent).expect_err("no folder");
    assert_eq!(error.path, absent.join("config.json"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("model.safetensors")).expect("made");
    let error = save(&decoder, folder.path()).expect_err("a folder is in the way");
    assert_eq!(error.path, folder.path().join("model.safetensors"));
}
