//! The protocol of external rewards: one JSON object each way, and the verdict in an answer. It knows neither processes
//! nor networks.

use crate::verifier::{Response, verdict};
use ruminate_data::{FinishReason, Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};

/// The longest answer that is read, in bytes.
pub(crate) const MAX_ANSWER: usize = 1 << 20;

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    /// With `prompt`, `answer`, and every other column of the source.
    task: &'a Task,
    /// The prompt as the policy saw it.
    prompt: &'a str,
    completion: &'a str,
    finish_reason: FinishReason,
}

/// `{"id", "task": {"prompt", "answer", ..columns}, "prompt", "completion", "finish_reason"}` on one line.
pub(crate) fn request(id: u64, task: &Task, response: &Response<'_>) -> Result<String, String> {
    let Response { prompt, text, finish_reason, .. } = *response;
    let request = Request { id, task, prompt, completion: text, finish_reason };
    serde_json::to_string(&request).map_err(|error| format!("the task cannot be sent as JSON: {error}"))
}

#[derive(Deserialize)]
struct Answer {
    id: Option<u64>,
    score: Option<f64>,
    verdict: Option<Outcome>,
    extracted: Option<String>,
    why: Option<String>,
}

/// The verdict in an answer `{"score", "verdict", "why", "extracted", "id"}`, of which `score` or `verdict` is
/// needed. Without `verdict` a score from 1 is correct; without `score` correct is 1 and wrong is 0.
///
/// # Errors
/// What is wrong with the answer, in words.
pub(crate) fn answer(text: &str, id: u64) -> Result<Verdict, String> {
    let start = || text.trim().chars().take(80).collect::<String>();
    let answer: Answer = serde_json::from_str(text).map_err(|error| {
        format!("expected a JSON object with `score` or `verdict`, found {:?}: {error}", start())
    })?;
    if answer.id.is_some_and(|found| found != id) {
        return Err(format!("expected the answer to request {id}, found {:?}", start()));
    }
    let (outcome, score) = match (answer.verdict, answer.score) {
        (Some(Outcome::Unscored), _) => (Outcome::Unscored, 0.0),
        (Some(outcome), Some(score)) => (outcome, score),
        (Some(outcome), None) => (outcome, f64::from(outcome == Outcome::Correct)),
        (None, Some(score)) => (if score >= 1.0 { Outcome::Correct } else { Outcome::Wrong }, score),
        (None, None) => return Err(format!("expected `score` or `verdict`, found {:?}", start())),
    };
    let why = answer.why.unwrap_or_else(|| format!("scored {score}"));
    Ok(verdict(outcome, score, answer.extracted.as_deref(), why))
}

#[cfg(test)]
mod tests {
    use super::answer;
    use ruminate_data::Outcome;

    #[test]
    fn a_score_or_a_verdict_is_enough() {
        for (text, outcome, score) in [
            (r#"{"score": 1}"#, Outcome::Correct, 1.0),
            (r#"{"score": 0.5, "unheard": []}"#, Outcome::Wrong, 0.5),
            (r#"{"verdict": "correct", "id": 7}"#, Outcome::Correct, 1.0),
            (r#"{"verdict": "wrong", "score": -1}"#, Outcome::Wrong, -1.0),
            (r#"{"verdict": "unscored", "score": 1, "why": "no idea"}"#, Outcome::Unscored, 0.0),
        ] {
            let verdict = answer(text, 7).expect(text);
            assert_eq!((verdict.outcome, verdict.score), (outcome, score), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_answer() {
        for text in [
            "",
            "PASS",
            "1",
            "{}",
            "[1]",
            r#"{"score": "1"}"#,
            r#"{"verdict": "right"}"#,
            r#"{"id": 8, "score": 1}"#,
        ] {
            assert!(answer(text, 7).is_err(), "{text}");
        }
    }
}
