//! Runs the binary as a user does, on models small enough for a debug build.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod served;
mod tiny_recipe;
pub(crate) mod world;

pub(crate) use tiny_recipe::TINY;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A recipe's table of a model of a few thousand parameters.
pub(crate) fn small_llama(table: &str, hidden_size: usize) -> String {
    format!(
        r#"
    [{table}]
    model_type = "llama"
    hidden_size = {hidden_size}
    num_hidden_layers = 1
    num_attention_heads = 2
    intermediate_size = 16
    max_position_embeddings = 96
    initializer_range = 0.08
"#
    )
}

/// The binary with these arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruminate"));
    // What tests trust is none of their user's business.
    command.args(args).env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("state"));
    command
}

/// Runs it to its end.
pub(crate) fn ruminate(args: &[&str]) -> Output {
    command(args).output().expect("the binary starts")
}

/// Runs it with something on its standard input.
pub(crate) fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A binary that refuses before it reads may be gone by now.
    match child.stdin.take().expect("a pipe").write_all(input.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("the binary reads: {error}"),
        _ => {}
    }
    child.wait_with_output().expect("the binary ends")
}

/// A recipe command over the tiny recipe, as far as it reads that, with more overrides.
pub(crate) fn tiny<'a>(command: &'a str, out: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![command, "--out", out];
    for set in TINY {
        args.extend(["--set-if-read", set]);
    }
    for set in sets {
        args.extend(["--set", set]);
    }
    args
}

/// What it told on standard error.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts the exit code, showing what was told when it is another.
pub(crate) fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
}

/// The objects of a JSONL text.
pub(crate) fn rows(text: &[u8]) -> Vec<serde_json::Value> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a JSON line")).collect()
}

/// The objects of a JSONL file.
pub(crate) fn rows_of(path: &Path) -> Vec<serde_json::Value> {
    rows(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// A metrics file without its wall-clock values.
pub(crate) fn timeless_metrics(run: &Path) -> Vec<serde_json::Value> {
    let mut rows = rows_of(&run.join("metrics.jsonl"));
    for row in &mut rows {
        row.as_object_mut().expect("an object").retain(|key, _| !key.ends_with("_time_s"));
    }
    rows
}

/// A committed checkpoint with what transformers computes from it.
pub(crate) fn fixture(name: &str) -> PathBuf {
    ruminate_testkit::fixture_path("model").join(name)
}

/// A tiny random model of Qwen2's architecture that speaks printable ASCII, with Qwen2.5's chat template or without one.
pub(crate) fn qwen2(folder: &Path, positions: usize, template: Option<&str>) -> String {
    let run = folder.join("run");
    let architecture = format!(
        "model={{ model_type = 'qwen2', hidden_size = 16, num_hidden_layers = 1, num_attention_heads = 2, \
         num_key_value_heads = 1, intermediate_size = 16, max_position_embeddings = {positions} }}"
    );
    let sets = [architecture.as_str(), "pretrain.max_steps=1"];
    // Only this model: the tiny recipe's keys are those of another architecture.
    let mut args = vec!["pretrain", "--out", run.to_str().expect("UTF-8")];
    for set in sets.iter().chain(&["pretrain.batch_size=2"]) {
        args.extend(["--set", set]);
    }
    assert_code(&ruminate(&args), 0);
    let model = run.join("final");
    if let Some(template) = template {
        let template = ruminate_testkit::fixture_path("text/templates").join(template);
        std::fs::copy(template, model.join("chat_template.jinja")).expect("copied");
    }
    model.to_str().expect("UTF-8").to_owned()
}
