//! A program as a reward: it stays alive, and whatever it does instead of answering costs a sample, not the trainer.

#![cfg(unix)]

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{CommandOptions, CommandReward, Error, Response, Verifier};
use serde_json::{Map, json};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

fn reward(script: &str, options: CommandOptions) -> CommandReward {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    CommandReward::new("mine", CommandOptions { command, ..options }).expect("valid options")
}

fn judge(reward: &CommandReward, completion: &str) -> Verdict {
    let mut columns = Map::new();
    columns.insert("level".into(), json!(3));
    let task = Task { prompt: Prompt::Text("7+5=".into()), answer: "12".into(), columns };
    reward.verify(&task, &Response::finished(completion))
}

#[test]
fn it_gets_the_task_and_the_completion_and_stays_alive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (seen, starts) = (folder.path().join("seen"), folder.path().join("starts"));
    let script = format!(
        "echo >> {}; while read -r line; do printf '%s\\n' \"$line\" >> {}; echo '{{\"score\": 0.25, \"why\": \"a quarter\"}}'; done",
        starts.display(),
        seen.display()
    );
    let reward = reward(&script, CommandOptions::default());
    for completion in ["a \"b\"\n", "c"] {
        let verdict = judge(&reward, completion);
        assert_eq!(
            (verdict.outcome, verdict.score, verdict.why.as_str()),
            (Outcome::Wrong, 0.25, "a quarter")
        );
    }
    assert_eq!(reward.name(), "mine");
    assert_eq!(fs::read_to_string(starts).expect("a file").lines().count(), 1);
    let lines = fs::read_to_string(seen).expect("a file");
    let requests: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(
        requests[0],
        json!({"id": 0, "task": {"prompt": "7+5=", "answer": "12", "level": 3}, "prompt": "",
               "completion": "a \"b\"\n", "finish_reason": "stop"})
    );
    assert_eq!(requests[1]["id"], 1);
}

#[test]
fn one_that_dies_is_started_again_and_asked_once_more() {
    // One answer each, then the end, before the next question or after it.
    for script in ["read -r line; echo '{\"score\": 1}'", "read -r line; echo '{\"score\": 1}'; read -r line"]
    {
        let reward = reward(script, CommandOptions::default());
        for _ in 0..3 {
            let verdict = judge(&reward, "");
            assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
        }
    }
}

#[test]
fn one_that_always_fails_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let starts = folder.path().join("starts");
    let script = format!("echo >> {}; exit 1", starts.display());
    let reward = reward(&script, CommandOptions { max_restarts: 1, ..CommandOptions::default() });
    let whys: Vec<String> = (0..4)
        .map(|_| judge(&reward, ""))
        .map(|verdict| {
            assert_eq!(verdict.outcome, Outcome::Unscored);
            verdict.why
        })
        .collect();
    assert!(whys[0].contains("ended without an answer"), "{whys:?}");
    assert!(whys[3].contains("max_restarts"), "{whys:?}");
    // Two completions, each asked twice.
    assert_eq!(fs::read_to_string(starts).expect("a file").lines().count(), 4);
}

#[test]
fn one_that_hangs_is_ended_with_what_it_started() {
    let options = CommandOptions { timeout_ms: 200, ..CommandOptions::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let beat = folder.path().join("beat");
    let script = format!("(while true; do echo >> {}; sleep 0.05; done) & sleep 100", beat.display());
    let reward = reward(&script, options);
    let started = Instant::now();
    let verdict = judge(&reward, "");
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(verdict.why.contains("200 ms"), "{}", verdict.why);
    assert!(started.elapsed() < Duration::from_secs(5));
    let beats = || fs::read(&beat).map_or(0, |beats| beats.len());
    let before = beats();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(beats(), before);
}

#[test]
fn what_is_no_answer_is_unscored_with_the_reason() {
    for (answer, why) in [
        ("echo PASS", "PASS"),
        ("echo '{\"verdict\": \"right\"}'", "right"),
        ("echo '{\"score\": null}'", "`score` or `verdict`"),
        ("echo '{\"id\": 77, \"score\": 1}'", "77"),
        ("echo '{\"score\": 1e999}'", "number"),
        ("head -c 2000000 /dev/zero", "bytes"),
        ("printf '\\377\\376\\n'", "JSON"),
    ] {
        let reward = reward(&format!("while read -r line; do {answer}; done"), CommandOptions::default());
        let verdict = judge(&reward, "");
        assert_eq!(verdict.outcome, Outcome::Unscored, "{answer}");
        assert!(verdict.why.contains(why), "{answer}: {}", verdict.why);
    }
}

#[test]
fn an_unasked_line_is_not_the_next_answer() {
    let script = "while read -r line; do echo '{\"score\": 0}'; echo '{\"score\": 1}'; done";
    let reward = reward(script, CommandOptions::default());
    assert_eq!(judge(&reward, "").outcome, Outcome::Wrong);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(judge(&reward, "").outcome, Outcome::Wrong);
}

#[test]
fn copies_work_side_by_side() {
    let script = "while read -r line; do sleep 0.3; echo '{\"score\": 1}'; done";
    let reward = reward(script, CommandOptions { workers: 4, ..CommandOptions::default() });
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(judge(&reward, "").outcome, Outcome::Correct));
        }
    });
    assert!(started.elapsed() < Duration::from_millis(1_100), "{:?}", started.elapsed());
}

#[test]
fn a_program_that_is_not_there_is_unscored_and_one_that_is_not_named_refused() {
    let command = vec!["program-that-is-not-there".to_owned()];
    let reward =
        CommandReward::new("mine", CommandOptions { command, ..CommandOptions::default() }).expect("valid");
    let verdict = judge(&reward, "");
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(verdict.why.contains("program-that-is-not-there"), "{}", verdict.why);
    let refused = CommandReward::new("mine", CommandOptions::default());
    assert!(matches!(refused, Err(Error::Option { key: "command", .. })));
}
