//! `math`: any gold answer and any completion.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::Math;
use serde_json::Map;

fuzz_target!(|data: &[u8]| {
    let (gold, completion) = judge::split(data);
    judge::judge(&Math::default(), &gold, &completion, Map::new());
});
