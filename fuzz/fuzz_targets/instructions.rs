//! `ifeval`: a row of instructions with their arguments in the first line, then the completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::{Following, InstructionFollowing};
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let (row, completion) = judge::split(data);
    let columns: Map<String, Value> = serde_json::from_str(&row).unwrap_or_default();
    for following in [Following::Strict, Following::Loose] {
        let verifier = InstructionFollowing { following, ..InstructionFollowing::default() };
        judge::judge(&verifier, "", &completion, columns.clone());
    }
});
