//! What `code` reads before and after it runs anything: the columns of a row in the first line, then a completion, which is
//! compared as an output, too.
#![no_main]

#[allow(dead_code, reason = "it splits the input, and judges nothing here")]
mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_data::{Prompt, Task};
use ruminate_reward::Response;
use ruminate_reward::code::fuzzing::{agrees, read};
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let (row, completion) = judge::split(data);
    let columns: Map<String, Value> = serde_json::from_str(&row).unwrap_or_default();
    let task = Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns };
    let found = read(&task, &Response::finished(&completion));
    assert_eq!(found, read(&task, &Response::finished(&completion)));
    assert!(agrees(&completion, &completion), "an output agrees with itself");
    let _either = agrees(&row, &completion);
});
