//! The `math` verifier on its corpora: Math-Verify's cases, and ours beyond them.

use ruminate_data::Outcome;
use ruminate_reward::verify_line;
use serde_json::Value;

/// Runs a corpus of lines of `ruminate verify` with `expected`, and lists what came out otherwise.
fn failures(corpus: &str) -> Vec<String> {
    let mut failures = Vec::new();
    for (index, line) in corpus.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("a line of the corpus is JSON");
        let verified = verify_line(index, line).expect("a line of the corpus is well formed");
        let as_expected = match row["expected"].as_str() {
            Some("correct") => verified.verdict == Outcome::Correct,
            Some("wrong") => verified.verdict != Outcome::Correct,
            Some("unscored") => verified.verdict == Outcome::Unscored,
            other => panic!("line {index}: expected is {other:?}"),
        };
        if !as_expected {
            failures.push(format!(
                "line {}: {:?}, gold {}, completion {}, extracted {:?}: {}",
                index + 1,
                verified.verdict,
                row["gold"],
                row["completion"],
                verified.extracted,
                verified.why
            ));
        }
    }
    failures
}

#[test]
fn math_verify_s_cases_get_their_verdicts() {
    let corpus = include_str!("../../../fixtures/reward/math.jsonl");
    assert!(corpus.lines().count() >= 95, "the corpus has shrunk");
    let failures = failures(corpus);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn our_cases_get_their_verdicts() {
    let corpus = include_str!("../../../fixtures/reward/math_more.jsonl");
    assert!(corpus.lines().count() >= 469, "the corpus has shrunk");
    let failures = failures(corpus);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
