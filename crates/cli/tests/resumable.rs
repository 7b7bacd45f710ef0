//! `generate` and `eval` that were killed go on where they stopped: what comes of it is what an uninterrupted command gives,
//! byte for byte.
#![cfg(unix)]

mod common;

use common::{assert_code, command, fixture, ruminate, told};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.split(|&byte| byte == b'\n').count() - 1)
}

/// Starts a command and kills it once `path` has so many lines. Whether it was killed before its end.
fn killed_at(args: &[&str], path: &Path, least: usize) -> bool {
    let mut child =
        command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        if lines(path) >= least {
            child.kill().expect("killed"); // SIGKILL
            child.wait().expect("gone");
            return true;
        }
        assert!(Instant::now() < until, "{} has {} lines", path.display(), lines(path));
        sleep(Duration::from_millis(2));
    }
}

struct Generating {
    folder: tempfile::TempDir,
}

impl Generating {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let rows: Vec<String> =
            (0..40).map(|i| json!({ "prompt_ids": [3 + i % 20, 4, 5 + i / 20] }).to_string()).collect();
        fs::write(folder.path().join("in.jsonl"), rows.join("\n") + "\n").expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args<'a>(output: &'a str, input: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let flags = ["--max-new-tokens", "24", "--num-samples", "6", "--max-num-seqs", "8"];
        let files = ["--input", input, "--output", output];
        [&["generate", "--model", model][..], &flags, &files, more].concat()
    }
}

#[test]
fn a_killed_generate_goes_on_and_leaves_what_an_uninterrupted_one_leaves() {
    let place = Generating::new();
    let model = fixture("qwen2");
    let (whole, broken, input) =
        (place.path("whole.jsonl"), place.path("broken.jsonl"), place.path("in.jsonl"));
    let run = |output: &Path, more: &[&str]| -> Output {
        ruminate(&Generating::args(text(output), text(&input), text(&model), more))
    };
    assert_code(&run(&whole, &[]), 0);
    assert_eq!(lines(&whole), 240);
    let partial = place.path("broken.jsonl.partial");
    let args = Generating::args(text(&broken), text(&input), text(&model), &[]);
    assert!(killed_at(&args, &partial, 20), "too fast to be killed");
    assert!(!broken.exists(), "whole or absent");
    let kept = lines(&partial);
    assert!(kept < 241, "{kept}");

    let other = run(&broken, &["--temperature", "0.5"]);
    assert_code(&other, 2);
    assert!(told(&other).contains("--temperature was 1.0 and is 0.5"), "{}", told(&other));
    assert_eq!(lines(&partial), kept, "and nothing of it is lost");
    let words = fs::read_to_string(&input).expect("readable");
    fs::write(&input, words.replacen('4', "6", 1)).expect("written");
    let other = run(&broken, &[]);
    assert_code(&other, 2);
    assert!(told(&other).contains("the input with its prompts has other content"), "{}", told(&other));
    fs::write(&input, words).expect("written");

    let resumed = run(&broken, &[]);
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("of 240 completions were generated before"), "{}", told(&resumed));
    assert_eq!(fs::read(&broken).expect("there"), fs::read(&whole).expect("there"));
    assert!(!partial.exists());
    // What is complete is generated again, as ever.
    assert_code(&run(&broken, &["--temperature", "0.5"]), 0);
    assert_ne!(fs::read(&broken).expect("there"), fs::read(&whole).expect("there"));
}

fn args_of<'a>(out: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["eval", "--out", out];
    for set in sets {
        args.extend(["--set", set]);
    }
    args
}

#[test]
fn a_killed_evaluation_goes_on_and_measures_what_an_uninterrupted_one_measures() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // A policy with experts, whose load is part of what is measured.
    let base = at("base");
    let mut args = vec!["pretrain", "--out", text(&base)];
    for set in common::TINY {
        args.extend(["--set-if-read", set]);
    }
    assert_code(&ruminate(&args), 0);
    let model = format!("model={}", text(&base.join("final")));
    let (whole, broken) = (at("whole"), at("broken"));
    let sets =
        [&model, "eval.n=30", "eval.num_samples=8", "rollout.max_new_tokens=48", "rollout.max_num_seqs=8"];
    let done = ruminate(&args_of(text(&whole), &sets));
    assert_code(&done, 0);
    let sampled = broken.join("sampled.jsonl");
    assert!(killed_at(&args_of(text(&broken), &sets), &sampled, 40), "too fast to be killed");
    assert!(!broken.join("complete.json").exists());
    let resumed = ruminate(&args_of(text(&broken), &sets));
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("completions were sampled before"), "{}", told(&resumed));
    for name in ["samples.jsonl", "eval.jsonl"] {
        assert_eq!(
            fs::read(broken.join(name)).expect(name),
            fs::read(whole.join(name)).expect(name),
            "{name}"
        );
    }
    assert_eq!(resumed.stdout, done.stdout);
    assert!(!sampled.exists(), "all of it is in samples.jsonl");
    // Another evaluation finds nothing of it.
    let other = ruminate(&args_of(text(&at("other")), &[&sets[..], &["eval.temperature=0.5"]].concat()));
    assert_code(&other, 0);
    assert_ne!(other.stdout, done.stdout);
}
