//! `format`: any completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::Format;
use serde_json::Map;

fuzz_target!(|data: &[u8]| {
    let (_, completion) = judge::split(data);
    judge::judge(&Format::default(), "", &completion, Map::new());
});
