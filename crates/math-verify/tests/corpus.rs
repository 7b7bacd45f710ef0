//! The corpora of pairs: Math-Verify's cases, and more beyond them. Rows with tags are left to `reward`, which reads them.

use ruminate_math_verify::{Options, Outcome, SetRelation, Target, Variables};
use serde_json::Value;

fn options(row: &Value) -> Options {
    let named = |name: &Value| match name.as_str() {
        Some("latex") => Target::Latex,
        Some("expr") => Target::Expr,
        Some("string") => Target::String,
        other => panic!("a target {other:?}"),
    };
    Options {
        targets: row["targets"]
            .as_array()
            .map_or(Options::default().targets, |targets| targets.iter().map(named).collect()),
        variables: if row["strict"] == false { Variables::Renamed } else { Variables::Strict },
        set_relation: if row["allow_set_relation"] == false {
            SetRelation::Refused
        } else {
            SetRelation::Allowed
        },
        ..Options::default()
    }
}

/// Rows that were judged, and those with another verdict than expected.
fn judged(corpus: &str) -> (usize, Vec<String>) {
    let (mut count, mut failures) = (0, Vec::new());
    for (index, line) in corpus.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("a line of the corpus is JSON");
        let text = |key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        let (gold, completion) = (text("gold"), text("completion"));
        if ["<think>", "</think>", "<answer>", "</answer>"].iter().any(|tag| completion.contains(tag))
            || gold.contains("\n####")
        {
            continue;
        }
        count += 1;
        // A gold text without an answer decides nothing.
        let verdict = options(&row).verify(&gold, &completion);
        let outcome = verdict.as_ref().map_or(Outcome::Undecided, |verdict| verdict.outcome);
        let as_expected = match row["expected"].as_str() {
            Some("correct") => outcome == Outcome::Correct,
            Some("wrong") => outcome != Outcome::Correct,
            Some("unscored") => outcome == Outcome::Undecided,
            other => panic!("line {}: expected is {other:?}", index + 1),
        };
        if !as_expected {
            failures.push(format!("line {}: {gold:?} against {completion:?}: {verdict:?}", index + 1));
        }
    }
    (count, failures)
}

#[test]
fn math_verify_s_cases_get_their_verdicts() {
    let (count, failures) = judged(include_str!("../../../fixtures/reward/math.jsonl"));
    assert!(count >= 90, "judged {count} rows only");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn our_cases_get_their_verdicts() {
    let (count, failures) = judged(include_str!("../../../fixtures/reward/math_more.jsonl"));
    assert!(count >= 400, "judged {count} rows only");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
