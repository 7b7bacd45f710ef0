//! Damaged `config.json` and safetensors files: an error or a model, within bounded memory, and never the end of the process.

#[path = "../../text/tests/mutants/driver.rs"]
mod driver;

use driver::{bytes, fixture, json, json_fixture};
use ruminate_model::load;
use ruminate_testkit as testkit;
use serde_json::json as value;
use std::fs;
use std::path::Path;

const MODELS: [&str; 8] = [
    "llama_tied",
    "qwen2",
    "qwen3_moe",
    "deepseek_v3_mtp",
    "deepseek_v3_full",
    "phi3_longrope",
    "mixtral",
    "olmo2",
];

/// A folder with one file replaced.
fn read(model: &str, name: &str, mutant: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = testkit::fixture_path(&format!("model/{model}"));
    for entry in fs::read_dir(&source).expect("a fixture").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
    }
    fs::write(folder.path().join(name), mutant).expect("written");
    drop(load(Path::new(folder.path()), &testkit::device()));
}

/// The name of a model, and a line's end, before the file.
fn of_model(make: impl Fn(&mut driver::Random, &str) -> Vec<u8>) -> impl Fn(&mut driver::Random) -> Vec<u8> {
    move |random| {
        let model = MODELS[random.below(MODELS.len())];
        [model.as_bytes(), b"\n", &make(random, model)].concat()
    }
}

fn of_folder(name: &'static str) -> impl Fn(&[u8]) {
    move |mutant| {
        let end = mutant.iter().position(|byte| *byte == b'\n').expect("after the name");
        read(str::from_utf8(&mutant[..end]).expect("a name"), name, &mutant[end + 1..]);
    }
}

#[test]
fn configurations() {
    let values = [
        value!({"rope_type": "yarn", "factor": 1e300, "original_max_position_embeddings": 1}),
        value!({"rope_type": "llama3", "factor": 0.0, "low_freq_factor": 1, "high_freq_factor": 1}),
        value!(1 << 28),
        value!("deepseek_v3"),
        value!([1, 2, 3]),
        value!(0.5),
    ];
    let make = of_model(|random, model| {
        let config = json_fixture(&format!("model/{model}/config.json"));
        let mutant = json(random, &config, &values).to_string().into_bytes();
        if random.below(4) == 0 {
            bytes(random, &mutant, &mutant, &["NaN", "-Infinity", "[", "{\"a\":", ","])
        } else {
            mutant
        }
    });
    driver::run("configurations", 200, make, of_folder("config.json"));
}

#[test]
fn weights() {
    let make = of_model(|random, model| {
        let file = fixture(&format!("model/{model}/model.safetensors"));
        // Most of a file is numbers, of which any are as good as others.
        let header = usize::from(file[0]) + 256 * usize::from(file[1]) + 8;
        let cut = if random.below(3) == 0 { file.len() } else { header.min(file.len()) };
        let words = ["\"F32\"", "\"BF16\"", "\"F8_E4M3\"", "data_offsets", "[0,0]", "\"shape\":[]", "{", "}"];
        [bytes(random, &file[..cut], &file[..header], &words), file[cut..].to_vec()].concat()
    });
    driver::run("weights", 200, make, of_folder("model.safetensors"));
}
