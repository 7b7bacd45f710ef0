//! Whatever bytes lie where a model folder's files are expected, loading answers with a model or with an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_model::load;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

const CASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/model/qwen3_moe_sharded");

/// A folder that is spoilt again and again.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

// The first byte says which file the rest becomes; the others are those of a whole folder.
fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let files: Vec<_> =
        fs::read_dir(CASE).expect("the fixture").map(|entry| entry.expect("a file").path()).collect();
    let names = [
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00003.safetensors",
        "model.safetensors",
    ];
    let spoilt = names[usize::from(which) % names.len()];
    let _ = fs::remove_file(folder().join("model.safetensors"));
    for file in &files {
        fs::copy(file, folder().join(file.file_name().expect("a name"))).expect("copied");
    }
    fs::write(folder().join(spoilt), rest).expect("written");
    if let Err(error) = load(folder(), &ruminate_testkit::device()) {
        assert!(error.to_string().len() < 1 << 20, "a message for people");
    }
});
