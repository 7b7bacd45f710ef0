//! Progress on standard error where that is a pipe: a line soon, and within steps that take long what was done so far.
#![cfg(unix)]

mod common;

use common::{assert_code, command, fixture, ruminate, tiny, told};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Within which a bar moves, whatever the step.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_step_that_takes_long_shows_what_it_has_sampled_so_far() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let slow = "reward.components=[{ kind = \"command\", command = [\"sh\", \"-c\", '''while read -r line; do sleep 0.3; echo \
                \"{\\\"score\\\": 1}\"; done'''] }]";
    let output = ruminate(&tiny(
        "train-rl",
        run.to_str().expect("UTF-8"),
        &[slow, "max_steps=1", "eval.n=2", "eval.empty_thought=false"],
    ));
    assert_code(&output, 0);
    let shown = told(&output);
    let within = shown.lines().find(|line| line.starts_with("grpo") && line.contains(" 0/1 "));
    assert!(within.is_some_and(|line| line.contains("tokens")), "{shown}");
    let evaluating = shown.lines().find(|line| line.starts_with("evaluate"));
    assert!(evaluating.is_some(), "{shown}");
}

#[test]
fn commands_over_lines_show_that_they_read_and_what_ends_soon_shows_nothing() {
    let model = fixture("qwen2");
    let model = model.to_str().expect("UTF-8");
    for (args, line, label) in [
        (vec!["verify"], "{\"kind\": \"format\", \"completion\": \"\"}\n", "verify"),
        (vec!["score", "--model", model], "{\"prompt_ids\": [3], \"completion_ids\": [4]}\n", "reading"),
        (
            vec!["generate", "--model", model, "--max-new-tokens", "2"],
            "{\"prompt_ids\": [3, 4]}\n",
            "reading",
        ),
    ] {
        let mut child = command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let started = Instant::now();
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(line.as_bytes()).expect("it reads");
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let reader = thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or_default());
        });
        let first = lines.recv_timeout(20 * SOON).expect("a line while the input is still open");
        assert!(first.starts_with(label) && first.contains("1 lines"), "{first}");
        assert!(started.elapsed() < 10 * SOON, "soon: {:?}", started.elapsed());
        drop(input);
        assert!(child.wait().expect("it ends").success());
        reader.join().expect("read");
        let output = common::with_input(&args, line);
        assert_code(&output, 0);
        assert!(!told(&output).contains(label), "{}", told(&output));
    }
}
