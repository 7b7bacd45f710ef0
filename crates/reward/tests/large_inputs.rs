//! Answers of a megabyte, built to be slow to read: each verdict of the kinds that read data, text and instructions takes
//! a bounded time on its processor.
#![cfg(target_os = "linux")]

use ruminate_data::{Outcome, Task};
use ruminate_reward::{Response, with_options};
use serde_json::{Value, json};
use std::fs;

/// Milliseconds on a processor. On a machine that does nothing else it is 100 at most; neighbours take the caches.
const PATIENCE: u64 = 400;

const SIZE: usize = 1 << 20;

fn texts() -> Vec<String> {
    [
        "a", "a ", "A. ", "(", "[", "{\"a\":", "\"", "* ", "***", "- x\n", "<<", "[x] ", "p.s. ", "\n\n",
        "é", "1,", "f(x=", "'", "U.S. ", "?!", "**",
    ]
    .iter()
    .map(|part| part.repeat(SIZE / part.len()))
    .collect()
}

/// Milliseconds that this thread has had on a processor.
fn on_processor() -> u64 {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat").expect("a file of the kernel's");
    let nanoseconds = schedule.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    nanoseconds.expect("a number") / 1_000_000
}

fn assert_bounded(kind: &str, options: Value, task: &Task) {
    assert_bounded_on(&texts(), kind, options, task);
}

fn assert_bounded_on(texts: &[String], kind: &str, options: Value, task: &Task) {
    let verifier = with_options(kind, options.as_object().expect("an object")).expect("a verifier");
    for text in texts {
        let judge = || {
            let start = on_processor();
            let verdict = verifier.verify(task, &Response::finished(text));
            assert_ne!(verdict.outcome, Outcome::Unscored, "{kind}: {}", verdict.why);
            on_processor() - start
        };
        let mut fastest = judge();
        for _ in 0..2 {
            if fastest >= PATIENCE {
                fastest = fastest.min(judge());
            }
        }
        let start: String = text.chars().take(8).collect();
        eprintln!("{kind} {options} {start:?}: {fastest} ms");
        assert!(fastest < PATIENCE, "{kind} {options} {task:?}: {fastest} ms for {start:?}");
    }
}

#[test]
fn text_and_json_take_bounded_time() {
    assert_bounded("text", json!({"metric": "f1"}), &Task::new("", "a river in the town"));
    assert_bounded("json", json!({}), &Task::new("", "{\"a\": [1]}"));
    assert_bounded("json", json!({"check": "tool_calls"}), &Task::new("", "[{\"f\": {\"x\": [1]}}]"));
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "uniqueItems": true});
    assert_bounded("json", json!({"check": "schema"}), &Task::new("", schema.to_string()));
}

#[test]
fn every_instruction_takes_bounded_time() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../fixtures/reward/ifeval.json")).expect("JSON");
    let (texts, mut seen) = (texts(), Vec::new());
    for case in ["ifeval", "ifbench"].iter().flat_map(|name| golden[name].as_array().expect("a list")) {
        if seen.contains(&case[0]) {
            continue;
        }
        seen.push(case[0].clone());
        let task = Task::new("", "")
            .with_column("instruction_id_list", json!([case[0]]))
            .with_column("kwargs", json!([case[1]]));
        // Three of the texts for each, in turn: all of them for all would take ten minutes.
        let first = seen.len() * 3 % (texts.len() - 2);
        assert_bounded_on(&texts[first..first + 3], "ifeval", json!({}), &task);
    }
    assert!(seen.len() > 60, "{}", seen.len());
}
