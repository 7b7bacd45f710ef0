//! Models named as the Hub names them: downloaded once from a server on this machine that answers as the Hub does, then
//! used without it.
#![cfg(feature = "hub")]

mod common;

use common::{assert_code, command, fixture, rows, told};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

/// Files of the model `org/tiny` by name, and the paths that were asked for.
struct Hub {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// Serves until the test's process ends.
    fn serve(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is its own business.
                let _ = stream.and_then(|stream| answer(stream, &files, &log));
            }
        });
        Self { endpoint, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

/// Before the name of a file whose tag it is, where the Hub has it in LFS.
const TAG: &str = "tag of ";

fn tag_of(name: &str) -> String {
    format!("{TAG}{name}")
}

/// One request, one answer, as huggingface.co gives them to clients of its cache.
fn answer(
    mut stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut first = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(range) = header.to_lowercase().strip_prefix("range: bytes=") {
            let (from, to) = range.trim().split_once('-').expect("a range");
            first = if to == "0" { usize::MAX } else { from.parse().expect("a number") };
        }
    }
    log.lock().expect("not poisoned").push(path.clone());
    let revision = |name: &str| {
        ["main", "v1.0"].into_iter().find_map(|of| {
            name.strip_prefix("/org/tiny/resolve/")?.strip_prefix(of)?.strip_prefix('/').map(str::to_owned)
        })
    };
    let name = revision(&path).unwrap_or_default();
    if let Some(bytes) = files.get(&name) {
        // Of a file in LFS the tag is its hash, of another one something else.
        let tag = if let Some(tag) = files.get(&tag_of(&name)) {
            String::from_utf8_lossy(tag).into_owned()
        } else {
            let hash = |hash: u64, &byte: &u8| hash.wrapping_mul(31).wrapping_add(u64::from(byte));
            format!("{:x}", bytes.iter().fold(7_u64, hash))
        };
        let (from, to) = if first == usize::MAX { (0, 1) } else { (first, bytes.len()) };
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \
             \"{tag}\"\r\nX-Repo-Commit: c0ffee\r\nConnection: close\r\n\r\n",
            to - from,
            to - 1,
            bytes.len(),
        )?;
        return stream.write_all(&bytes[from..to]);
    }
    if ["main", "v1.0"].iter().any(|revision| path == format!("/api/models/org/tiny/revision/{revision}")) {
        let listed = files.keys().filter(|name| !name.starts_with(TAG));
        let siblings: Vec<_> = listed.map(|name| json!({ "rfilename": name })).collect();
        let body = json!({ "sha": "c0ffee", "siblings": siblings }).to_string();
        let length = body.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: \
             close\r\n\r\n{body}"
        );
    }
    write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn files(case: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(fixture(case)).expect("a case").map(|entry| entry.expect("a file").path());
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("a text").to_owned();
    let mut files: BTreeMap<_, _> =
        entries.map(|path| (name(&path), fs::read(&path).expect("readable"))).collect();
    files.insert("pytorch_model.bin".into(), b"what nobody asks for".to_vec());
    files
}

/// `generate` by ids from `org/tiny`.
fn generate(home: &Path, endpoint: &str) -> Output {
    generate_from(home, endpoint, "org/tiny")
}

/// The same from a model of another name.
fn generate_from(home: &Path, endpoint: &str, model: &str) -> Output {
    let args =
        ["generate", "--model", model, "--max-new-tokens", "3", "--temperature", "0", "--input", "in.jsonl"];
    fs::write(home.join("in.jsonl"), "{\"prompt_ids\": [3, 4, 5]}\n").expect("written");
    let mut command = command(&args);
    command.env("HF_HOME", home.join("cache")).env("HF_ENDPOINT", endpoint).current_dir(home);
    command.output().expect("the binary starts")
}

#[test]
fn a_model_is_downloaded_once_and_then_used_without_the_hub() {
    for case in ["llama_tied", "qwen3_moe_sharded"] {
        let home = tempfile::tempdir().expect("a folder");
        let hub = Hub::serve(files(case));
        let first = generate(home.path(), &hub.endpoint);
        assert_code(&first, 0);
        assert_eq!(rows(&first.stdout)[0]["completion_ids"].as_array().map(Vec::len), Some(3));
        let asked = hub.asked();
        assert!(!asked.iter().any(|path| path.ends_with("pytorch_model.bin")), "{asked:?}");
        let again = generate(home.path(), "http://127.0.0.1:9");
        assert_code(&again, 0);
        assert_eq!(again.stdout, first.stdout);
        assert!(hub.asked().is_empty(), "{case}: nothing is asked for twice");
    }
}

#[test]
fn an_interrupted_download_goes_on_with_what_is_missing() {
    let home = tempfile::tempdir().expect("a folder");
    let whole = files("qwen3_moe_sharded");
    let [last, ..] = ["model-00003-of-00003.safetensors"];
    let without: BTreeMap<_, _> = whole.clone().into_iter().filter(|(name, _)| name != last).collect();
    let output = generate(home.path(), &Hub::serve(without).endpoint);
    assert_code(&output, 3);
    assert!(told(&output).contains(last), "{}", told(&output));
    let hub = Hub::serve(whole);
    assert_code(&generate(home.path(), &hub.endpoint), 0);
}

#[test]
fn what_the_hub_does_not_have_exits_3_with_the_folder_to_fill() {
    let home = tempfile::tempdir().expect("a folder");
    let without: BTreeMap<_, _> =
        files("llama_tied").into_iter().filter(|(name, _)| !name.ends_with(".safetensors")).collect();
    let hub = Hub::serve(without);
    for (endpoint, says) in [
        (hub.endpoint.as_str(), "has no safetensors files"),
        ("http://127.0.0.1:9", "it cannot be downloaded"), // nobody listens there
    ] {
        let output = generate(home.path(), endpoint);
        assert_code(&output, 3);
        let told = told(&output);
        assert!(told.contains(says) && told.contains("into the folder org/tiny"), "{told}");
    }
}

#[test]
fn a_revision_is_asked_for_by_its_name() {
    let home = tempfile::tempdir().expect("a folder");
    let hub = Hub::serve(files("llama_tied"));
    assert_code(&generate_from(home.path(), &hub.endpoint, "org/tiny@v1.0"), 0);
    let asked = hub.asked();
    assert!(asked.iter().any(|path| path == "/api/models/org/tiny/revision/v1.0"), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("main")), "{asked:?}");
    assert_code(&generate_from(home.path(), "http://127.0.0.1:9", "org/tiny@v1.0"), 0);
    let missing = generate_from(home.path(), &hub.endpoint, "org/tiny@v2.0");
    assert_code(&missing, 3);
    assert!(told(&missing).contains("org/tiny/tree/v2.0"), "{}", told(&missing));
}

#[test]
fn a_file_that_is_not_what_its_hash_says_is_refused_and_removed() {
    let home = tempfile::tempdir().expect("a folder");
    let tagged = |hash: &str| {
        let mut files = files("llama_tied");
        files.insert(tag_of("model.safetensors"), hash.as_bytes().to_vec());
        Hub::serve(files)
    };
    let hash = ruminate_run::sha256_hex(&files("llama_tied")["model.safetensors"]);
    let other = hash.chars().rev().collect::<String>();
    let output = generate(home.path(), &tagged(&other).endpoint);
    assert_code(&output, 3);
    assert!(
        told(&output).contains("model.safetensors has arrived with another SHA-256"),
        "{}",
        told(&output)
    );
    let snapshot = home.path().join("cache/hub/models--org--tiny/snapshots/c0ffee/model.safetensors");
    assert!(snapshot.symlink_metadata().is_err(), "it is gone");
    assert_code(&generate(home.path(), &tagged(&hash).endpoint), 0);
    assert!(snapshot.exists());
}
