//! Readers of free text: the gold answer behind a letter for the kind in the first line, then the completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::{KINDS, with_options};
use serde_json::{Map, Value, json};

// `a` is the first of them. Each kind has an option or a column that changes what it reads.
const JUDGES: [&str; 10] = [
    "choice",
    "exact",
    "format",
    "gsm8k",
    "language",
    "last_number",
    "overlong",
    "repetition",
    "tag_count",
    "text",
];

fuzz_target!(|data: &[u8]| {
    let (first, completion) = judge::split(data);
    let mut letters = first.chars();
    let letter = letters.next().unwrap_or('a');
    let kind = JUDGES[letter as usize % JUDGES.len()];
    assert!(KINDS.contains(&kind));
    let gold = letters.as_str();
    let (options, columns) = match kind {
        "choice" => (json!({"choices": 5}), json!({"options": ["Rome", "Oslo", "A"]})),
        "language" => (json!({"language": if gold.is_empty() { "zh" } else { "de" }}), json!({})),
        "repetition" => (json!({"unit": "words", "ngram_size": 2}), json!({})),
        "text" => (json!({"metric": "f1", "threshold": 0.5}), json!({"answers": [completion, gold]})),
        _ => (json!({}), json!({})),
    };
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    for options in [Map::new(), object(options)] {
        let verifier = with_options(kind, &options).expect("a kind with its options");
        judge::judged(verifier.as_ref(), gold, &completion, object(columns.clone()));
    }
});
