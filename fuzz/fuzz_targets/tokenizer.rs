//! Whatever bytes a `tokenizer.json` has, it loads, or is refused; what it loads encodes and decodes, or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_text::{SpecialText, Tokenizer};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder that is written again and again.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            // libFuzzer's hook ends the process at every panic; those that become errors are none of its.
            let _ = std::panic::take_hook();
            ruminate_text::silence_caught_panics();
            tempfile::tempdir().expect("a temporary folder")
        })
        .path()
}

fuzz_target!(|data: &[u8]| {
    fs::write(folder().join("tokenizer.json"), data).expect("written");
    let Ok(tokenizer) = Tokenizer::load(folder()) else { return };
    for text in ["", "a", "The quick <unk> é😀</s>\0", "aaaa bbbb  cccc\n\n1234567890"] {
        let Ok(ids) = tokenizer.encode(text) else { continue };
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()), "an id beyond the vocabulary");
        let _text = tokenizer.decode(&ids, SpecialText::Keep);
        if let Ok((prompt, completion)) = tokenizer.encode_pair("1+1=", text) {
            assert!(prompt.len() + completion.len() < 1 << 20);
        }
    }
});
