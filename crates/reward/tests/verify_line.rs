//! The contract of `ruminate verify`, a line at a time.

use ruminate_data::Outcome;
use ruminate_reward::{Error, by_name, verify_line};
use serde_json::json;

#[test]
fn the_output_line_has_the_documented_keys() {
    let line = json!({"kind": "exact", "gold": 3, "completion": "<answer>03</answer>", "unheard": [1, {}]});
    let verified = verify_line(7, &line.to_string()).expect("a well-formed line");
    assert_eq!(
        serde_json::to_value(&verified).expect("it serialises"),
        json!({"index": 7, "verdict": "correct", "score": 1.0, "extracted": "03", "why": "equal to the answer"})
    );
}

#[test]
fn countdown_is_graded_in_three_steps() {
    let score = |completion: &str| {
        let line = json!({"kind": "countdown", "numbers": [3, 8], "target": 24, "completion": completion});
        let verified = verify_line(0, &line.to_string()).expect("a well-formed line");
        (verified.verdict, verified.score)
    };
    assert_eq!(score("24"), (Outcome::Wrong, 0.0));
    assert_eq!(score("<answer>3+8</answer>"), (Outcome::Wrong, 0.1));
    assert_eq!(score("<answer>3*8</answer>"), (Outcome::Correct, 1.0));
}

#[test]
fn an_unknown_kind_suggests_the_nearest() {
    let line = json!({"kind": "exakt", "gold": "1", "completion": ""}).to_string();
    let error = verify_line(0, &line).expect_err("there is no such kind");
    assert!(matches!(&error, Error::UnknownKind { nearest: Some("exact"), .. }), "{error}");
    assert!(error.to_string().contains("did you mean `exact`?"), "{error}");
    assert!(matches!(by_name("zebra").err(), Some(Error::UnknownKind { nearest: None, .. })));
}

#[test]
fn a_line_that_is_none_says_what_was_expected() {
    for (line, expected) in [
        ("", "a JSON object"),
        ("[]", "a JSON object"),
        (r#"{"gold": "1", "completion": ""}"#, "`kind`"),
        (r#"{"kind": "exact", "gold": "1"}"#, "`completion`"),
        (r#"{"kind": "exact", "gold": "1", "completion": 1}"#, "`completion`"),
        (r#"{"kind": "exact", "gold": [[1]], "completion": ""}"#, "`gold`"),
        (r#"{"kind": "exact", "gold": "1", "completion": "", "finish_reason": "eos"}"#, "`finish_reason`"),
        (r#"{"kind": "format", "completion": "", "empty_thought": "maybe"}"#, "`empty_thought`"),
    ] {
        let error = verify_line(0, line).expect_err(line).to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
}
