//! Whatever comes through the pipes of a judged program, it is its own ending, or a verdict with the nonce of the judge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_reward::code::fuzzing::passed;
use ruminate_sandbox::fuzzing::reply;
use serde_json::Value;

const NONCE: u64 = 7;
const JUDGES: &str = "00c0ffee";
const LINES: usize = 3;

// A byte that says which pipe, then what was read from it.
fuzz_target!(|data: &[u8]| {
    let Some((pipe, data)) = data.split_first() else { return };
    if pipe % 2 == 0 { jail(data) } else { judge(&String::from_utf8_lossy(data)) }
});

/// From the jail to the supervisor, and from there to the caller.
fn jail(data: &[u8]) {
    let ended = reply(data, NONCE);
    assert_eq!(ended, reply(data, NONCE));
    let rest = data.strip_prefix(b"started\n");
    let whole = serde_json::from_slice::<Value>(rest.unwrap_or(data));
    let is_reply = whole.is_ok_and(|reply| reply["nonce"] == NONCE || reply[0] == NONCE);
    // A job is out of what is scored by a reply alone, and there is no ending of a program that was not started.
    assert!(rest.is_none() || ended.is_ok() || is_reply, "unscored: {ended:?}");
    assert!(rest.is_some() || ended.is_err() || is_reply, "an ending of nothing: {ended:?}");
}

/// From the judge to the caller.
fn judge(stdout: &str) {
    let found = passed(stdout, JUDGES, LINES);
    assert_eq!(found.len(), LINES);
    let is_verdict = |line: &str| line.strip_prefix(JUDGES).is_some_and(|rest| rest.starts_with(' '));
    let verdicts = stdout.lines().filter(|line| is_verdict(line));
    let (mut pass, mut not_run) = (false, false);
    for line in verdicts {
        pass |= line.contains(" pass ");
        not_run |= line.contains(" broken ") || line.contains(" unstarted ");
    }
    assert!(pass || !found.contains(&Some(true)), "passed by no line of the judge's");
    assert!(not_run || !found.contains(&None), "unscored by no line of the judge's");
}
