//! Long answers, built to be slow to read: each verdict of each kind takes a bounded time on its processor.
#![cfg(target_os = "linux")]

use ruminate_data::{Outcome, Task};
use ruminate_reward::{Response, with_options};
use serde_json::{Value, json};
use std::fs;

/// Milliseconds on a processor for a mebibyte. On a machine that does nothing else it is 100 at most; neighbours take the
/// caches.
const PATIENCE: u64 = 400;

/// Bytes of a text: a mebibyte where `RUMINATE_LARGE_INPUTS` is set, else a quarter, in a quarter of the time.
fn size() -> usize {
    if std::env::var_os("RUMINATE_LARGE_INPUTS").is_some() { 1 << 20 } else { 1 << 18 }
}

/// Repeated to a megabyte: marks, tags and words at which readers stop, look back or open something.
const SHAPES: &[&str] = &[
    "a",
    "a ",
    "A. ",
    "(",
    "[",
    "{\"a\":",
    "\"",
    "* ",
    "***",
    "- x\n",
    "<<",
    "[x] ",
    "p.s. ",
    "\n\n",
    "é",
    "1,",
    "f(x=",
    "'",
    "U.S. ",
    "?!",
    "**",
    "1",
    "9 ",
    "1/2 ",
    "-",
    "+1",
    "1:",
    "$",
    "$1$ ",
    "\\[",
    "\\boxed{",
    "\\boxed{1} ",
    "\\frac{1}",
    "\\text{cm}",
    "\\left(",
    "^2",
    "^{",
    "_",
    "\\sqrt",
    "x=",
    "1<",
    "≤",
    "√2",
    "½",
    "answer is ",
    "answer: A or ",
    "The answer is 4. ",
    "is ",
    "A) ",
    "(B) ",
    "B, ",
    "#### 1\n",
    "####",
    "<answer>",
    "</answer>",
    "<think>",
    "</think>",
    "<answer>1</answer>",
    "<",
    "```\n",
    "```python\n",
    "~~~",
    "<tool_call>",
    "{}",
    "[{",
    ",",
    ":",
    "\\",
    "\\u0041",
    "\t",
    "\r\n",
    "答案",
    "１",
    "，",
    "# ",
    "> ",
    "| a ",
    "&nbsp;",
    "<b>",
    "—",
    ". ",
    "! ",
    "... ",
    "1. ",
    "not ",
    "or ",
    " because ",
    "km/h ",
    "million ",
    "%",
    "\u{301}",
    "😀",
    "\0",
    "e^{",
    "\\pm 1",
    "\\cup(1,2)",
    "\\cdot 2",
    "1e9",
];

fn texts() -> Vec<String> {
    let size = size();
    let mut texts: Vec<String> = SHAPES.iter().map(|part| part.repeat(size / part.len())).collect();
    // What opens and what closes are far apart.
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("\\frac{", "}"), ("<think>", "</think>")] {
        texts.push(open.repeat(size / 2 / open.len()) + &close.repeat(size / 2 / close.len()));
    }
    texts
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
    let patience = PATIENCE * size() as u64 / (1 << 20);
    let verifier = with_options(kind, options.as_object().expect("an object")).expect("a verifier");
    for text in texts {
        let judge = || {
            let start = on_processor();
            let verdict = verifier.verify(task, &Response::finished(text));
            let scored = verdict.outcome != Outcome::Unscored;
            assert!(scored || kind == "math", "{kind}: {}", verdict.why);
            on_processor() - start
        };
        let mut fastest = judge();
        for _ in 0..2 {
            if fastest >= patience {
                fastest = fastest.min(judge());
            }
        }
        let start: String = text.chars().take(8).collect();
        let id = &task.columns.get("instruction_id_list").map(|ids| ids[0].to_string()).unwrap_or_default();
        eprintln!("{kind} {options} {id} {start:?}: {fastest} ms");
        assert!(fastest < patience, "{kind} {options} {task:?}: {fastest} ms for {start:?}");
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
fn readers_of_answers_take_bounded_time() {
    let countdown = Task::new("", "").with_column("numbers", json!([3, 8])).with_column("target", json!(24));
    let choice = Task::new("", "B").with_column("options", json!(["Rome", "a ", "1"]));
    for (kind, options, task) in [
        ("choice", json!({}), &choice),
        ("countdown", json!({}), &countdown),
        ("exact", json!({}), &Task::new("", "1, 2, 3")),
        ("gsm8k", json!({}), &Task::new("", "#### 18")),
        ("last_number", json!({}), &Task::new("", "18")),
        ("regex", json!({"subject": "response", "extent": "part"}), &Task::new("", "(a|1|[(<])*b$")),
    ] {
        assert_bounded(kind, options, task);
    }
}

#[test]
fn readers_of_formulas_take_bounded_time() {
    for gold in ["12", "no solution", "x>3"] {
        assert_bounded("math", json!({}), &Task::new("", gold));
    }
}

#[test]
fn readers_of_form_take_bounded_time() {
    for (kind, options) in [
        ("format", json!({"style": "trl", "empty_thought": "refuse"})),
        ("tag_count", json!({})),
        ("language", json!({"language": "de"})),
        ("repetition", json!({"unit": "words", "ngram_size": 64})),
    ] {
        assert_bounded(kind, options, &Task::new("", ""));
    }
}

/// Each of them reads a text by other means: sentences, tokens, paragraphs, words, bullets, brackets.
#[test]
fn instructions_take_bounded_time_on_every_text() {
    for (id, kwargs) in [
        ("ratio:sentence_type", json!({})),
        ("count:pronouns", json!({"N": 2})),
        (
            "length_constraints:nth_paragraph_first_word",
            json!({"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a"}),
        ),
        ("words:keywords_specific_position", json!({"keyword": "a", "n": 1, "m": 2})),
        ("format:no_bullets_bullets", json!({})),
        ("format:parentheses", json!({})),
    ] {
        let task = Task::new("", "")
            .with_column("instruction_id_list", json!([id]))
            .with_column("kwargs", json!([kwargs]));
        assert_bounded("ifeval", json!({}), &task);
    }
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
