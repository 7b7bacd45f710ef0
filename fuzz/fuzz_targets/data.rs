//! `json`: a gold answer behind a letter for the check (`e`, `s`, `t`) in the first line, then the completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::{Check, JsonAnswer};
use serde_json::Map;

fuzz_target!(|data: &[u8]| {
    let (first, completion) = judge::split(data);
    let (check, gold) = match first.as_bytes().first() {
        Some(b's') => (Check::Schema, &first[1..]),
        Some(b't') => (Check::ToolCalls, &first[1..]),
        Some(b'e') => (Check::Equal, &first[1..]),
        _ => (Check::Equal, first.as_str()),
    };
    judge::judge(&JsonAnswer { check }, gold, &completion, Map::new());
});
