//! Whatever bytes a file of problems has, each line is a problem, or an error that names it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_data::jsonl::{self, BadLines};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder that is written again and again.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

fuzz_target!(|data: &[u8]| {
    let path = folder().join("problems.jsonl");
    fs::write(&path, data).expect("written");
    let strict = jsonl::tasks(&path, BadLines::Refuse);
    if let Err(error) = &strict {
        assert!(error.to_string().len() < 1 << 16, "a message for people");
    }
    let lines = data.split(|byte| *byte == b'\n').count();
    if let Ok(rows) = jsonl::tasks(&path, BadLines::Skip) {
        assert!(rows.rows.len() <= lines);
    }
    let _either = jsonl::objects(&path, BadLines::Skip);
    if let Ok(text) = str::from_utf8(data)
        && let Ok(value) = serde_json::from_str(text)
    {
        let _either = ruminate_data::messages("messages", value);
    }
});
