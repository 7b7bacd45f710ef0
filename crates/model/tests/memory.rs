//! How much memory loading and saving take beside the parameters themselves: measured on models of a few hundred MB,
//! each in a process of its own, so that nothing that the test allocated and freed before can serve it. Hostile
//! headers and configurations take next to nothing.
#![cfg(target_os = "linux")]

mod common;

use common::{copy, set};
use ruminate_model::{load, save};
use ruminate_testkit as testkit;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Set for the process that loads: the folder.
const MEASURED: &str = "RUMINATE_MODEL_MEASURED";

/// What hostile files may take.
const BOUND_KIB: u64 = 64 << 10;

/// A line of `/proc/self/status` in KiB.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line is there");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What another process told of a folder.
#[derive(Debug, Default)]
struct Measured {
    /// By how many KiB it grew while it loaded the folder, and then while it saved the model.
    load: u64,
    save: u64,
    /// Of the model.
    parameters: u64,
    error: String,
}

/// This file's test of that name again, in another process.
fn measured(test: &str, folder: &Path) -> Measured {
    let own = std::env::current_exe().expect("a test is a program");
    let args = ["--exact", test, "--nocapture"];
    let output = Command::new(own).args(args).env(MEASURED, folder).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let line = told.lines().find_map(|line| line.strip_prefix("measured ")).expect("a line");
    let mut words = line.splitn(4, ' ');
    let mut number = || words.next().expect("a word").parse().expect("a number");
    let (load, save, parameters) = (number(), number(), number());
    Measured { load, save, parameters, error: words.next().unwrap_or_default().to_owned() }
}

/// What the other process does.
fn measure(folder: &Path) {
    let device = testkit::device();
    let before = status("VmRSS");
    let loaded = load(folder, &device);
    let load = status("VmHWM").saturating_sub(before);
    match loaded {
        Ok(decoder) => {
            let (parameters, held) = (decoder.parameter_count(), status("VmHWM"));
            let out = tempfile::tempdir().expect("a folder");
            save(&decoder, out.path()).expect("saved");
            eprintln!("measured {load} {} {parameters}", status("VmHWM").saturating_sub(held));
        }
        Err(error) => eprintln!("measured {load} 0 0 {}", error.to_string().replace('\n', " ")),
    }
}

/// A file of that length whose bytes are zeros, after its header: holes take no disk.
fn zeros(path: &Path, tensors: &[(String, Vec<usize>)]) {
    let (mut header, mut end) = (String::from("{"), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<usize>() * 2;
        let comma = if begin == 0 { "" } else { "," };
        write!(
            header,
            r#"{comma}"{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
        )
        .expect("a text");
    }
    header.push('}');
    let mut file = File::create(path).expect("created");
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
    file.write_all(header.as_bytes()).expect("written");
    file.set_len(8 + (header.len() + end) as u64).expect("room for holes");
}

/// A folder in the hub's layout with the sizes that its `config.json` says.
fn large(name: &str, changes: &Value) -> tempfile::TempDir {
    let folder = copy(name);
    set(folder.path(), "config.json", changes);
    let json = common::read_json(folder.path(), "config.json");
    let size = |key: &str| json[key].as_u64().map_or(0, |size| size as usize);
    let (width, heads) = (size("hidden_size"), [size("num_attention_heads"), size("num_key_value_heads")]);
    let [queries, keys] = heads.map(|heads| heads * size("head_dim"));
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![size("vocab_size"), width]),
        ("model.norm.weight".to_owned(), vec![width]),
        ("lm_head.weight".to_owned(), vec![size("vocab_size"), width]),
    ];
    for layer in 0..size("num_hidden_layers") {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(norm, &[width]);
        }
        for (name, shape) in
            [("q", [queries, width]), ("k", [keys, width]), ("v", [keys, width]), ("o", [width, queries])]
        {
            add(&format!("self_attn.{name}_proj"), &shape);
        }
        let (inner, prefixes) = match size("num_experts") {
            0 => (size("intermediate_size"), vec!["mlp".to_owned()]),
            experts => {
                add("mlp.gate", &[experts, width]);
                add("self_attn.q_norm", &[size("head_dim")]);
                add("self_attn.k_norm", &[size("head_dim")]);
                let names = (0..experts).map(|expert| format!("mlp.experts.{expert}"));
                (size("moe_intermediate_size"), names.collect())
            }
        };
        for prefix in prefixes {
            add(&format!("{prefix}.gate_proj"), &[inner, width]);
            add(&format!("{prefix}.up_proj"), &[inner, width]);
            add(&format!("{prefix}.down_proj"), &[width, inner]);
        }
    }
    zeros(&folder.path().join("model.safetensors"), &tensors);
    folder
}

#[test]
fn loading_takes_at_most_1_3_times_the_parameters_and_saving_one_tensor() {
    if let Some(folder) = std::env::var_os(MEASURED) {
        return measure(Path::new(&folder));
    }
    let dense = large(
        "llama_untied",
        &json!({
            "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 16384, "num_hidden_layers": 2,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 128,
        }),
    );
    let experts = large(
        "qwen3_moe",
        &json!({
            "hidden_size": 512, "moe_intermediate_size": 768, "vocab_size": 4096, "num_hidden_layers": 2,
            "num_experts": 24, "num_local_experts": 24, "head_dim": 64,
        }),
    );
    for folder in [dense, experts] {
        let name = "loading_takes_at_most_1_3_times_the_parameters_and_saving_one_tensor";
        let measured = measured(name, folder.path());
        let parameters_kib = measured.parameters * 4 / 1024;
        assert!(parameters_kib > 200 << 10, "too few parameters to tell: {measured:?}");
        assert!(measured.load * 10 <= parameters_kib * 13, "{measured:?} of {parameters_kib} KiB");
        // The largest tensor is a quarter of either model.
        assert!(measured.save * 10 <= parameters_kib * 4, "{measured:?} of {parameters_kib} KiB");
    }
}

#[test]
fn no_hostile_folder_takes_more_than_64_mib_beyond_its_files() {
    if let Some(folder) = std::env::var_os(MEASURED) {
        return measure(Path::new(&folder));
    }
    let name = "no_hostile_folder_takes_more_than_64_mib_beyond_its_files";
    for (what, says, spoil) in HOSTILE {
        let folder = copy("qwen3_moe");
        spoil(folder.path());
        let measured = measured(name, folder.path());
        assert!(measured.error.contains(says), "{what}: {measured:?}");
        assert!(measured.load < BOUND_KIB, "{what}: {measured:?}");
    }
}

type Spoil = fn(&Path);

/// What is wrong, what the message says, how to make it.
const HOSTILE: [(&str, &str, Spoil); 11] = [
    ("a header of 2^63 bytes", "claims 9223372036854775808 bytes", |folder| {
        header(folder, 1 << 63, "{}", 0);
    }),
    ("a long header", "claims 1073741824 bytes", |folder| {
        header(folder, 1 << 30, "{", 1 << 30);
    }),
    ("a million tensors", "more than 131072 tensors", |folder| {
        let entry = |i: usize| format!(r#""{i:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
        let text = format!("{{{}}}", (0..400_000).map(entry).collect::<Vec<_>>().join(","));
        header(folder, text.len() as u64, &text, 0);
    }),
    ("a shape of a million sides", "at most 8 dimensions", |folder| {
        let text = format!(r#"{{"a":{{"dtype":"U8","shape":[{}1],"#, "1,".repeat(10_000_000));
        header(folder, text.len() as u64, &text, 0);
    }),
    ("endless metadata", "twice", |folder| {
        let pair = |i: usize| format!(r#""{i:x}":"""#);
        let texts = (0..1_000_000).map(pair).collect::<Vec<_>>().join(",");
        let tensor = r#""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
        let text = format!(r#"{{"__metadata__":{{{texts}}},{tensor},{tensor}}}"#);
        header(folder, text.len() as u64, &text, 0);
    }),
    ("an endless index", "more than 262144 tensors", |folder| {
        fs::remove_file(folder.join("model.safetensors")).expect("removed");
        let pair = |i: usize| format!(r#""model.layers.{i}.mlp.experts.1.up_proj.weight":"a.safetensors""#);
        let pairs = (0..500_000).map(pair).collect::<Vec<_>>().join(",");
        fs::write(folder.join("model.safetensors.index.json"), format!(r#"{{"weight_map":{{{pairs}}}}}"#))
            .expect("written");
    }),
    ("an endless config.json", "expected at most 16777216", |folder| {
        fs::write(folder.join("config.json"), format!("[{}0]", "0,".repeat(50_000_000))).expect("written");
    }),
    ("a config.json of nothing but lists", "model_type is", |folder| {
        fs::write(folder.join("config.json"), format!("[{}[]]", "[],".repeat(50_000))).expect("written");
    }),
    ("a config.json of nothing but objects", "model_type is", |folder| {
        fs::write(folder.join("config.json"), format!("[{}0]", "{\"a\":0},".repeat(59_000)))
            .expect("written");
    }),
    ("a config.json of too many objects", "more than 120000 values", |folder| {
        fs::write(folder.join("config.json"), format!("[{}0]", "{\"a\":0},".repeat(400_000)))
            .expect("written");
    }),
    ("a vocabulary and experts beyond all memory", "tensors do not fit", |folder| {
        let sizes = json!({
            "vocab_size": 1 << 28, "num_experts": 65_535, "num_local_experts": 65_535, "moe_intermediate_size": 1 << 28,
        });
        set(folder, "config.json", &sizes);
    }),
];

/// A weight file from the claimed length of its header, the header, and a number of zeros.
fn header(folder: &Path, length: u64, header: &str, data: u64) {
    let mut file = File::create(folder.join("model.safetensors")).expect("created");
    file.write_all(&length.to_le_bytes()).expect("written");
    file.write_all(header.as_bytes()).expect("written");
    file.set_len(8 + header.len() as u64 + data).expect("room for holes");
}
