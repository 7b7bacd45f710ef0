//! The committed fixtures are the ones that `fixtures/manifest.json` records: none was edited by hand,
//! none is missing, none came without a script. Does not recompute them (the scripts' `--check` does).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ruminate_testkit::{fixture_path, json};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Entry {
    script: String,
    tolerance: f64,
    bytes: usize,
    sha256: String,
}

fn manifest() -> BTreeMap<String, Entry> {
    json("manifest.json")
}

#[test]
fn every_recorded_fixture_is_what_its_script_wrote() {
    for (file, entry) in manifest() {
        let data = std::fs::read(fixture_path(&file)).unwrap_or_else(|why| panic!("{file}: {why}"));
        let digest = hex(&Sha256::digest(&data));

        assert_eq!(data.len(), entry.bytes, "{file}: size");
        assert_eq!(
            digest, entry.sha256,
            "{file}: run `python fixtures/{}` instead of editing it",
            entry.script
        );
        assert!(fixture_path(&entry.script).is_file(), "{file}: no script {}", entry.script);
        // At 0 the bytes themselves are compared.
        assert!((0.0..1e-3).contains(&entry.tolerance), "{file}: tolerance {}", entry.tolerance);
    }
}

#[test]
fn every_file_beside_a_script_is_recorded() {
    let manifest = manifest();
    let folders: BTreeSet<_> = manifest.values().filter_map(|entry| entry.script.split('/').next()).collect();
    assert!(!folders.is_empty(), "the manifest is empty");
    for folder in folders {
        for file in files_below(folder) {
            assert!(manifest.contains_key(&file), "fixtures/{file} is in no entry of manifest.json");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The fixtures below `folder`, relative to `fixtures/`. Scripts and their caches are none, and corpora of cases
/// (`.jsonl`) are written by hand.
fn files_below(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fixture_path(folder)).unwrap_or_else(|why| panic!("{folder}: {why}"));
    let fixture = |name: &str| {
        Path::new(name).extension().is_none_or(|extension| extension != "py" && extension != "jsonl")
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|why| panic!("{folder}: {why}")).path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let relative = format!("{folder}/{name}");
        if path.is_dir() && name != "__pycache__" {
            files.extend(files_below(&relative));
        } else if path.is_file() && fixture(&name) {
            files.push(relative);
        }
    }
    files
}
