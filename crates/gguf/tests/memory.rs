//! An import's memory does not grow with the file: measured on files larger than the bound, each in a process of its own,
//! so that nothing that the test allocated and freed before can serve it.
#![cfg(target_os = "linux")]

mod common;

use common::{Writer, string, tiny};
use ruminate_gguf::{Gguf, Import, Options};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const BOUND_KIB: u64 = 64 << 10;

/// A line of `/proc/self/status` in KiB.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line is there");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Set for the process that imports: the path of its file.
const MEASURED: &str = "RUMINATE_GGUF_MEASURED";

/// By how many KiB an import made its process grow, and whether it succeeded: this test again, in another process.
fn measured(path: &Path) -> (u64, bool) {
    let own = std::env::current_exe().expect("a test is a program");
    let args = ["--exact", "no_file_takes_more_than_64_mib", "--nocapture"];
    let output = Command::new(own).args(args).env(MEASURED, path).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let words: Vec<&str> = told.split_whitespace().collect();
    match words.as_slice() {
        ["grown", kib, "success", success] => {
            (kib.parse().expect("a number"), success.parse().expect("true or false"))
        }
        _ => panic!("the measuring process told {told:?}"),
    }
}

/// What the other process does.
fn measure(path: &Path) {
    let out = tempfile::tempdir().expect("a folder");
    let before = status("VmRSS");
    let imported = Gguf::open(path).and_then(|mut gguf| {
        Import::plan(&mut gguf, &Options::default())?.write(&mut gguf, out.path(), &mut |_| {})
    });
    let grown = status("VmHWM").saturating_sub(before);
    eprintln!("grown {grown} success {}", imported.is_ok());
}

/// Large tensors: a file with holes, which read as zeros.
fn large_tensors(path: &Path) -> u64 {
    const ROWS: u64 = 1 << 14;
    let mut file = tiny();
    let mut data = 0;
    for (name, shape) in [
        ("token_embd.weight", [ROWS, 512]),
        ("blk.0.attn_q.weight", [512, 512]),
        ("blk.0.attn_k.weight", [256, 512]),
        ("blk.0.attn_v.weight", [256, 512]),
        ("blk.0.attn_output.weight", [512, 512]),
        ("blk.0.ffn_gate.weight", [ROWS, 512]),
        ("blk.0.ffn_up.weight", [ROWS, 512]),
        ("blk.0.ffn_down.weight", [512, ROWS]),
    ] {
        file.without_tensor(name).claim(name, &shape, 0, shape[0] * shape[1] * 4);
        data += shape[0] * shape[1] * 4;
    }
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
        file.without_tensor(name).claim(name, &[512], 0, 2048);
        data += 2048;
    }
    file.u32("llama.embedding_length", 512).u32("llama.feed_forward_length", ROWS as u32);
    let header = file.header();
    let mut out = File::create(path).expect("created");
    out.write_all(&header).expect("written");
    out.set_len(header.len() as u64 + data).expect("room for holes");
    data
}

/// As many tokens and merges as the largest published vocabularies have.
fn large_vocabulary(path: &Path) {
    const TOKENS: usize = 262_144;
    const MERGES: usize = 500_000;
    let list = |path: &Path, len: usize, text: &dyn Fn(usize) -> String| {
        let mut out = BufWriter::new(File::create(path).expect("created"));
        out.write_all(&8_u32.to_le_bytes()).expect("written");
        out.write_all(&(len as u64).to_le_bytes()).expect("written");
        for i in 0..len {
            out.write_all(&string(&text(i))).expect("written");
        }
        out.flush().expect("written");
        fs::read(path).expect("read back")
    };
    let token = |i: usize| match i {
        0 => "a".to_owned(),
        1 => "b".to_owned(),
        2 => "ab".to_owned(),
        _ => format!("token{i}"),
    };
    let mut file = tiny();
    file.without("tokenizer.ggml.token_type");
    file.raw("tokenizer.ggml.tokens", 9, &list(path, TOKENS, &token));
    file.raw("tokenizer.ggml.merges", 9, &list(path, MERGES, &|_| "a b".to_owned()));
    file.without_tensor("token_embd.weight");
    file.tensor("token_embd.weight", &[TOKENS as u64, 8], 1, &vec![0; TOKENS * 16]);
    fs::write(path, file.bytes()).expect("written");
}

/// Texts that are kept, up to a claim beyond all limits.
fn endless_texts(path: &Path) {
    let mut out = BufWriter::new(File::create(path).expect("created"));
    let mut file = Writer::default();
    file.raw("tokenizer.ggml.tokens", 9, &[&8_u32.to_le_bytes()[..], &(1_u64 << 19).to_le_bytes()].concat());
    out.write_all(&file.header()).expect("written");
    let element = string(&"x".repeat(1 << 10));
    for _ in 0..100 << 10 {
        out.write_all(&element).expect("written");
    }
    out.flush().expect("written");
}

#[test]
fn no_file_takes_more_than_64_mib() {
    if let Some(path) = std::env::var_os(MEASURED) {
        return measure(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");

    let data = large_tensors(&path);
    assert!(data > 2 * BOUND_KIB * 1024, "the file is larger than the bound");
    let (grown, success) = measured(&path);
    assert!(success && grown < BOUND_KIB, "large tensors: {grown} KiB");

    large_vocabulary(&path);
    let (grown, success) = measured(&path);
    assert!(success && grown < BOUND_KIB, "large vocabulary: {grown} KiB");
    assert!(grown > 4 << 10, "a vocabulary is kept while it is written, and was not measured: {grown} KiB");

    endless_texts(&path);
    let (grown, success) = measured(&path);
    assert!(!success && grown < BOUND_KIB, "endless texts: {grown} KiB");
}
