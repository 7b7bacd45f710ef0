//! Tests and answers as public data sets and models write them, one a line in `fixtures/reward/code_cases.jsonl`, in the
//! form that `ruminate verify --allow-code` reads, each with the verdict that it is to get.
#![cfg(target_os = "linux")]

#[path = "../../sandbox/tests/sandboxed/mod.rs"]
mod sandboxed;

use ruminate_data::Outcome;
use ruminate_reward::verify_line_in;
use ruminate_sandbox::Sandbox;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const HELPER: &str = env!("CARGO_BIN_EXE_code-helper");

const CASES: &str = include_str!("../../../fixtures/reward/code_cases.jsonl");

/// What is decided otherwise: what the program imports is not installed where these tests run, and to leave out what
/// fails to import would let every program out.
const OTHERWISE: [&str; 1] = ["C029"];

#[test]
fn every_case_gets_its_verdict() {
    if sandboxed::sandbox().is_none() {
        return;
    }
    let sandbox = Arc::new(Sandbox::new(HELPER, 2));
    let rows: Vec<Value> = CASES.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let (left, found) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(row) = next else { return };
            let expected: Outcome = serde_json::from_value(row["expected"].clone()).expect("an outcome");
            let mut line = row.clone();
            // The time of a loaded machine is no part of what is shown.
            line["timeout_ms"] = 20_000.into();
            let verdict = verify_line_in(&sandbox, 0, &line.to_string()).expect("a line to verify");
            if verdict.verdict != expected {
                let line = format!("{} {}: {:?}: {}", row["id"], row["name"], verdict.verdict, verdict.why);
                found.lock().unwrap_or_else(PoisonError::into_inner).push((row["id"].clone(), line));
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wrong: Vec<&String> = found
        .iter()
        .filter(|(id, _)| !OTHERWISE.iter().any(|other| id == other))
        .map(|(_, line)| line)
        .collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), rows.len());
}
