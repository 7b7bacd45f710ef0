//! `regex`: any pattern that compiles, on any completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::with_options;
use serde_json::{Map, json};

fuzz_target!(|data: &[u8]| {
    let (pattern, completion) = judge::split(data);
    let options = Map::from_iter([("pattern".to_owned(), json!(pattern))]);
    if let Ok(verifier) = with_options("regex", &options) {
        judge::judge(verifier.as_ref(), "", &completion, Map::new());
    }
});
