//! `countdown`: any target and any expression over three given numbers.

#![no_main]

mod judge;

use libfuzzer_sys::fuzz_target;
use ruminate_reward::Countdown;
use serde_json::{Map, json};

fuzz_target!(|data: &[u8]| {
    let (gold, completion) = judge::split(data);
    let columns = Map::from_iter([("numbers".to_owned(), json!([3, 8, 24]))]);
    judge::judge(&Countdown, &gold, &completion, columns);
});
