//! `import`: what it writes runs, and what it refuses leaves nothing behind.

mod common;

use common::{assert_code, rows, ruminate, told, with_input};
use std::fs;
use std::path::{Path, PathBuf};

fn gguf(name: &str) -> PathBuf {
    ruminate_testkit::fixture_path("gguf").join(name)
}

/// A fixture in `folder`, with other bytes so far behind the beginning of a key.
fn patched(folder: &Path, name: &str, key: &str, behind: usize, with: &[u8]) -> String {
    let mut bytes = fs::read(gguf(name)).expect("the fixture");
    let place = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("it is there");
    bytes[place + behind..][..with.len()].copy_from_slice(with);
    let file = folder.join(name);
    fs::write(&file, &bytes).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn an_imported_file_of_every_family_generates_and_scores_text() {
    let folder = tempfile::tempdir().expect("a folder");
    for case in
        ["llama", "qwen2", "qwen3", "pieces", "qwen3moe", "smollm3", "granite", "seed_oss", "phi3", "unigram"]
    {
        let out = folder.path().join(case);
        let out = out.to_str().expect("UTF-8");
        let imported = ruminate(&["import", gguf(&format!("{case}.gguf")).to_str().expect("UTF-8"), out]);
        assert_code(&imported, 0);
        assert!(imported.stdout.is_empty(), "standard output is for results");
        assert!(told(&imported).contains("GiB of weights"), "{}", told(&imported));

        let prompt = "{\"prompt\": [{\"role\": \"user\", \"content\": \"the cat\"}]}\n";
        let flags = ["generate", "--model", out, "--max-new-tokens", "4", "--temperature", "0"];
        let generated = with_input(&flags, prompt);
        assert_code(&generated, 0);
        let row = &rows(&generated.stdout)[0];
        assert!(row["prompt_ids"].as_array().is_some_and(|ids| ids.len() > 4), "{row}");
        let scored =
            with_input(&["score", "--model", out], "{\"prompt\": \"the cat\", \"completion\": \" sat\"}\n");
        assert_code(&scored, 0);
        assert!(rows(&scored.stdout)[0]["sum"].as_f64().is_some_and(|sum| sum < 0.0));
    }
}

#[test]
fn a_file_that_names_no_rule_for_its_text_needs_pre() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let out = out.to_str().expect("UTF-8");
    // The key under another name of its length, and the converter's word for a tokenizer that it does not know.
    let file = &patched(folder.path(), "qwen2.gguf", "tokenizer.ggml.pre", 15, b"was");
    let refused = ruminate(&["import", file, out]);
    assert_code(&refused, 3);
    assert!(told(&refused).contains("state it with `--pre NAME`, one of gpt-2"), "{}", told(&refused));
    let unknown = ruminate(&["import", file, out, "--pre", "default"]);
    assert_code(&unknown, 2);
    assert!(told(&unknown).contains("--pre default: expected one of gpt-2"), "{}", told(&unknown));
    assert!(!Path::new(out).exists());
    assert_code(&ruminate(&["import", file, out, "--pre", "qwen2"]), 0);
    let named = folder.path().join("named");
    let named = named.to_str().expect("UTF-8");
    assert_code(&ruminate(&["import", gguf("qwen2.gguf").to_str().expect("UTF-8"), named]), 0);
    let tokenizer = |folder: &str| fs::read(Path::new(folder).join("tokenizer.json")).expect("a file");
    assert_eq!(tokenizer(out), tokenizer(named));
}

#[test]
fn weights_are_stored_as_dtype_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = gguf("llama.gguf");
    let file = file.to_str().expect("UTF-8");
    let out = folder.path().join("out");
    let out = out.to_str().expect("UTF-8");
    let unknown = ruminate(&["import", file, out, "--dtype", "float16"]);
    assert_code(&unknown, 2);
    assert!(told(&unknown).contains("--dtype float16: expected float32 or bfloat16"), "{}", told(&unknown));
    let exact = ruminate(&["import", file, out, "--dtype", "float32"]);
    assert_code(&exact, 0);
    assert!(told(&exact).contains("of weights in float32"), "{}", told(&exact));
}

#[test]
fn a_part_of_a_split_file_needs_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let part = folder.path().join("model-00001-of-00003.gguf");
    // A key of the same length and type says that the file is the first of three.
    let mut bytes = fs::read(gguf("llama.gguf")).expect("the fixture");
    let key = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let replaced = key("llama.block_count");
    let at = bytes.windows(replaced.len()).position(|window| window == replaced).expect("it is there");
    let value = [&key("split.count")[..], &[4, 0, 0, 0], &3_u32.to_le_bytes()].concat();
    bytes.splice(at..at + replaced.len() + 8, value);
    // The header became shorter, and with it the place of the data.
    bytes.extend([0; 64]);
    fs::write(&part, &bytes).expect("written");
    let out = folder.path().join("out");
    let refused = ruminate(&["import", part.to_str().expect("UTF-8"), out.to_str().expect("UTF-8")]);
    assert_code(&refused, 3);
    assert!(told(&refused).contains("part 2 of 3 is missing"), "{}", told(&refused));
}

#[test]
fn a_file_without_an_end_is_imported_with_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = patched(folder.path(), "qwen2.gguf", "tokenizer.ggml.eos_token_id", 15, b"was");
    let out = folder.path().join("out");
    let output = ruminate(&["import", &file, out.to_str().expect("UTF-8")]);
    assert_code(&output, 0);
    assert!(told(&output).contains("no token ends a text or a turn"), "{}", told(&output));
}

#[test]
fn a_table_of_characters_that_leads_nowhere_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = "tokenizer.ggml.precompiled_charsmap";
    // Behind the types of the list and of its elements and its length: the size of the trie.
    let file = patched(folder.path(), "unigram.gguf", key, key.len() + 16, &u32::MAX.to_le_bytes());
    let out = folder.path().join("out");
    let output = ruminate(&["import", &file, out.to_str().expect("UTF-8")]);
    assert_code(&output, 3);
    assert!(told(&output).contains(key), "{}", told(&output));
    assert!(told(&output).contains("shorter than it claims"), "{}", told(&output));
    assert!(!out.exists());
}

#[test]
fn a_folder_that_exists_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    fs::write(&kept, "mine").expect("written");
    let out = folder.path().to_str().expect("UTF-8");
    let output = ruminate(&["import", gguf("llama.gguf").to_str().expect("UTF-8"), out]);
    assert_code(&output, 2);
    assert!(told(&output).contains("exists already"), "{}", told(&output));
    assert_eq!(fs::read_to_string(kept).expect("still there"), "mine");
}

#[test]
fn a_broken_file_exits_3_with_its_name_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let broken = folder.path().join("broken.gguf");
    let bytes = fs::read(gguf("qwen3.gguf")).expect("the fixture");
    // A weight of bf16 that is no number, and is found when nearly everything has been written.
    let mut infinite = bytes.clone();
    let last = infinite.len() - 2;
    infinite[last..].copy_from_slice(&[0x80, 0x7F]);
    for (content, says) in [
        (&bytes[..bytes.len() / 2], "cut off"),
        (&b"PK\x03\x04"[..], "expected the bytes \"GGUF\""),
        (&infinite, "expected finite weights"),
    ] {
        fs::write(&broken, content).expect("written");
        let args = ["import", broken.to_str().expect("UTF-8"), out.to_str().expect("UTF-8")];
        let output = ruminate(&args);
        assert_code(&output, 3);
        let told = told(&output);
        assert!(told.contains("broken.gguf") && told.contains(says), "{told}");
        let left = fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(left, 1, "only the broken file itself lies there");
    }
    let absent = ruminate(&["import", "absent.gguf", out.to_str().expect("UTF-8")]);
    assert_code(&absent, 3);
    assert!(told(&absent).contains("absent.gguf"), "{}", told(&absent));
}

#[test]
fn a_model_that_is_exported_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    for case in ["llama", "qwen2", "qwen3", "pieces", "qwen3moe", "smollm3", "granite", "seed_oss"] {
        let (model, file, again) =
            (path(case), path(&format!("{case}.gguf")), path(&format!("{case}-again")));
        let original = gguf(&format!("{case}.gguf"));
        assert_code(
            &ruminate(&["import", original.to_str().expect("UTF-8"), &model, "--dtype", "bfloat16"]),
            0,
        );
        let exported = ruminate(&["export", &model, &file, "--type", "bf16"]);
        assert_code(&exported, 0);
        assert!(exported.stdout.is_empty(), "standard output is for results");
        assert_code(&ruminate(&["import", &file, &again]), 0);
        for name in [
            "model.safetensors",
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "chat_template.jinja",
        ] {
            let read = |folder: &str| fs::read(Path::new(folder).join(name)).expect("a file");
            assert!(read(&model) == read(&again), "{case}: {name} differs");
        }
        let twice = ruminate(&["export", &model, &file]);
        assert_code(&twice, 2);
        assert!(told(&twice).contains("exists already"), "{}", told(&twice));
    }
}

#[test]
fn what_cannot_be_exported_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (model, out) = (path("model"), path("out.gguf"));
    assert_code(&ruminate(&["import", gguf("qwen2.gguf").to_str().expect("UTF-8"), &model]), 0);
    let unknown = ruminate(&["export", &model, &out, "--type", "q4_k"]);
    assert_code(&unknown, 2);
    assert!(told(&unknown).contains("--type q4_k: expected f16, bf16 or q8_0"), "{}", told(&unknown));
    let tokenizer = Path::new(&model).join("tokenizer.json");
    let text = fs::read_to_string(&tokenizer).expect("a file");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["pre_tokenizer"] = serde_json::json!({ "type": "Whitespace" });
    fs::write(&tokenizer, json.to_string()).expect("written");
    let refused = ruminate(&["export", &model, &out]);
    assert_code(&refused, 3);
    assert!(told(&refused).contains("these rules for splitting text only"), "{}", told(&refused));
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "only the model lies there");
}
