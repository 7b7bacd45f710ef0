//! Known ways to cheat a grader, one a line in `fixtures/reward/hacks.jsonl`, with the verdict that each must get.

use ruminate_reward::verify_line;
use serde_json::Value;

const HACKS: &str = include_str!("../../../fixtures/reward/hacks.jsonl");

#[test]
fn every_hack_gets_its_verdict() {
    let mut seen = 0;
    for (index, line) in HACKS.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("a line of the corpus is JSON");
        let verified = verify_line(index, line).expect("a line of the corpus is well formed");
        let verdict = serde_json::to_value(verified.verdict).expect("an outcome is a word");
        assert_eq!(verdict, row["expected"], "line {}: {}: {}", index + 1, row["hack"], verified.why);
        assert_eq!(
            verified.verdict == ruminate_data::Outcome::Correct,
            verified.score == 1.0,
            "{}",
            row["hack"]
        );
        seen += 1;
    }
    assert!(seen >= 75, "the corpus has shrunk to {seen} lines");
}
