//! Files that lie where a model's file should, known by their first bytes: what a download leaves that did not get the
//! file itself.

use std::io::{self, Read, Seek};

/// How much of a file is looked at.
const LOOKED_AT: usize = 256;

/// What a file of another kind is, with what to do; none where nothing of the kind is recognised.
pub(crate) fn of(bytes: &[u8]) -> Option<&'static str> {
    let bytes = &bytes[..bytes.len().min(LOOKED_AT)];
    if bytes.starts_with(b"version https://git-lfs") {
        return Some("a git-lfs pointer; run `git lfs pull` in the folder, or download the file again");
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(
            "a zip archive, as PyTorch's .bin files are; convert the model to safetensors with transformers",
        );
    }
    if bytes.starts_with(b"GGUF") {
        return Some("a GGUF file; `ruminate import FILE OUT` makes a model folder of it");
    }
    let page = bytes.trim_ascii_start().to_ascii_lowercase();
    let is_page = [&b"<!doctype html"[..], b"<html", b"<head"].iter().any(|tag| page.starts_with(tag));
    is_page.then_some(
        "an HTML page, not the file; download it again, from a link with `/resolve/` and logged in where the model \
         asks for it",
    )
}

/// The same of an open file, which is left at its beginning.
pub(crate) fn of_file(mut file: impl Read + Seek) -> io::Result<Option<&'static str>> {
    let mut bytes = Vec::new();
    file.by_ref().take(LOOKED_AT as u64).read_to_end(&mut bytes)?;
    file.rewind()?;
    Ok(of(&bytes))
}
