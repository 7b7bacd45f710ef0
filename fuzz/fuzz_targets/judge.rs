//! What every target of a verifier does: split the input, judge it, and check that the verdict agrees with itself.

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{Response, Verifier};
use serde_json::{Map, Value};

/// The first line, and the rest.
pub fn split(data: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(data);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}

/// Judges an answer, and panics where a verdict contradicts itself: right answers score 1.
#[allow(dead_code, reason = "the target of other texts has scores of other kinds")]
pub fn judge(verifier: &dyn Verifier, gold: &str, completion: &str, columns: Map<String, Value>) {
    let verdict = judged(verifier, gold, completion, columns);
    assert_eq!(verdict.outcome == Outcome::Correct, verdict.score == 1.0);
}

/// Judges, and panics where a verdict contradicts itself, whatever its best score is.
pub fn judged(verifier: &dyn Verifier, gold: &str, completion: &str, columns: Map<String, Value>) -> Verdict {
    let task = Task { prompt: Prompt::Text(String::new()), answer: gold.to_owned(), columns };
    let verdict = verifier.verify(&task, &Response::finished(completion));
    assert!(verdict.score.is_finite());
    assert!(verdict.is_scored() || verdict.score == 0.0);
    let again = verifier.verify(&task, &Response::finished(completion));
    assert_eq!(verdict, again, "the same text must get the same verdict");
    verdict
}
