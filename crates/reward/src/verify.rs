//! What `ruminate verify` does with one line: JSON in, verdict out. Where lines come from is the command's business.

use crate::verifier::guarded;
use crate::{Error, Response, Tokens, with_options};
use ruminate_data::{FinishReason, Outcome, Prompt, Task};
use serde::Serialize;
use serde_json::{Map, Value};

/// One line of output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedLine {
    /// The input's line number, from 0.
    pub index: usize,
    /// `correct`, `wrong` or `unscored`.
    pub verdict: Outcome,
    /// The verifier's score; 0 when unscored.
    pub score: f64,
    /// The piece of the completion that was judged.
    pub extracted: Option<String>,
    /// The reason in words.
    pub why: String,
}

/// Judges one line: an object with `kind`, `gold` and `completion`, the options and columns of its kind
/// (`empty_thought`; `numbers` and `target`), and, where they matter, `prompt` (text) and `finish_reason`
/// (`"stop"`, the default, or `"length"`). Other keys are ignored.
///
/// `gold` is a string or a number; an object, as TinyZero's `{"numbers", "target"}`, stands for its keys. Kinds that
/// need none (`format`) do without; where it is missing, others are unscored.
///
/// # Errors
/// When the line is not such an object, or names an unknown kind. No completion is an error.
pub fn verify_line(index: usize, line: &str) -> Result<VerifiedLine, Error> {
    let mut row: Map<String, Value> = serde_json::from_str(line).map_err(|error| Error::Line {
        expected: "a JSON object with `kind`, `gold` and `completion`",
        found: error.to_string(),
    })?;
    let kind = required_text(&mut row, "kind", "`kind`, a string")?;
    let completion = required_text(&mut row, "completion", "`completion`, a string")?;
    let finish_reason = match row.remove("finish_reason").as_ref().map(|value| (value.as_str(), value)) {
        None | Some((Some("stop"), _)) => FinishReason::Stop,
        Some((Some("length"), _)) => FinishReason::Length,
        Some((_, other)) => return Err(found("`finish_reason`, \"stop\" or \"length\"", Some(other))),
    };
    let prompt = match row.remove("prompt") {
        Some(Value::String(text)) => text,
        _ => String::new(), // messages would need a template; no kind here needs them
    };
    let answer = gold(&mut row)?;
    let verifier = with_options(&kind, &row)?;
    let task = Task { prompt: Prompt::Text(prompt.clone()), answer, columns: row };
    let response = Response { prompt: &prompt, text: &completion, finish_reason, tokens: Tokens::Unknown };
    let verdict = guarded(verifier.as_ref(), &task, &response);
    Ok(VerifiedLine {
        index,
        verdict: verdict.outcome,
        score: verdict.score,
        extracted: verdict.extracted,
        why: verdict.why,
    })
}

fn gold(row: &mut Map<String, Value>) -> Result<String, Error> {
    match row.remove("gold") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Object(columns)) => {
            row.extend(columns);
            Ok(String::new())
        }
        Some(other) => Err(found("`gold`, a string, a number or an object", Some(&other))),
    }
}

fn required_text(row: &mut Map<String, Value>, key: &str, expected: &'static str) -> Result<String, Error> {
    match row.remove(key) {
        Some(Value::String(text)) => Ok(text),
        other => Err(found(expected, other.as_ref())),
    }
}

fn found(expected: &'static str, value: Option<&Value>) -> Error {
    let found = match value {
        None => "nothing".to_owned(),
        // The start is enough to recognise it.
        Some(value) => value.to_string().chars().take(80).collect(),
    };
    Error::Line { expected, found }
}
