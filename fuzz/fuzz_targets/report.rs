//! Whatever rows a run folder has, the page is made, or an error names the file; and no text of theirs is markup.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

const FILES: [&str; 8] = [
    "metrics.jsonl",
    "eval.jsonl",
    "moe.jsonl",
    "samples/step-000001.jsonl",
    "completions/step-000001.jsonl",
    "tokens/step-000001.jsonl",
    "config.json",
    "complete.json",
];

/// A folder that is written again and again.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

// Each file is what stands before the next byte 0xFF.
fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0xFF);
    for name in FILES {
        let path = folder().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let _ = fs::remove_file(&path);
        if let Some(part) = parts.next().filter(|part| !part.is_empty()) {
            fs::write(path, part).expect("written");
        }
    }
    if let Ok(report) = ruminate_report::read(folder()) {
        let page = ruminate_report::html(&report);
        // The page has one script of its own, and none of its texts can close it or open another.
        assert_eq!(page.matches("<script").count(), page.matches("</script").count());
        assert!(!page.contains("<fuzz"), "a text of the folder is markup");
    }
});
