//! Known ways to cheat a grader, one a line in `fixtures/reward/hacks.jsonl`, with the verdict that each must get.

use ruminate_data::Outcome;
use ruminate_reward::verify_line;
use serde_json::Value;

const HACKS: &str = include_str!("../../../fixtures/reward/hacks.jsonl");

#[test]
fn every_hack_gets_its_verdict() {
    let (mut attacks, mut honest) = (0, 0);
    for (index, line) in HACKS.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("a line of the corpus is JSON");
        let verified = verify_line(index, line).expect("a line of the corpus is well formed");
        let place = format!("line {}: {}: {}", index + 1, row["hack"], verified.why);
        // Whether a notation is read at all may change; that it is not believed must not.
        if row["expected"] == "not correct" {
            assert_ne!(verified.verdict, Outcome::Correct, "{place}");
        } else {
            let verdict = serde_json::to_value(verified.verdict).expect("an outcome is a word");
            assert_eq!(verdict, row["expected"], "{place}");
        }
        let counter = if verified.verdict == Outcome::Correct { &mut honest } else { &mut attacks };
        *counter += 1;
    }
    // The honest rows show that a verifier does not refuse everything.
    assert!(
        attacks >= 350 && honest >= 20,
        "the corpus has shrunk to {attacks} attacks and {honest} honest rows"
    );
}
