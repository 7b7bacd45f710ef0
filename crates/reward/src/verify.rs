//! What `ruminate verify` does with one line: JSON in, verdict out. Where lines come from is the command's business.

use crate::Error;
use crate::code::{self, Code};
use crate::group::{self, Member};
use crate::registry::{GROUP_REWARDS, group_reward, with_options};
use crate::verifier::{Response, Tokens, guarded};
use ruminate_data::{FinishReason, Outcome, Prompt, Task, Verdict};
use ruminate_sandbox::Sandbox;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// Options of `code` that a line may set: none of them names a program or a file.
const CODE_OPTIONS: &[&str] = &[
    "timeout_ms",
    "total_timeout_ms",
    "memory_mb",
    "output_bytes",
    "files_mb",
    "processes",
    "scoring",
    "float_tolerance",
];

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

/// Judges one line: an object with `kind`, `gold` and `completion`, the options of its kind and the columns of the task
/// (`numbers` and `target`), and, where they matter, `prompt` (text), `finish_reason` (`"stop"`, the default, or
/// `"length"`), and `completion_ids` or, where their number is enough, `tokens`. Other keys are ignored.
///
/// `gold` is a string or a number, or a list of them for `math`; an object, as TinyZero's `{"numbers", "target"}`, stands for its keys. Kinds that
/// need none (`format`) do without; where it is missing, others are unscored.
///
/// The kinds `length` and `cosine` need to know whether the answer is right: `answer_kind` (default `exact`) says who
/// judges it. `group_tokens` are the lengths of the completion's siblings.
///
/// # Errors
/// When the line is not such an object, or names an unknown kind or `code`. No completion is an error.
pub fn verify_line(index: usize, line: &str) -> Result<VerifiedLine, Error> {
    judged(index, line, None)
}

/// As [`verify_line`], and the kind `code` runs programs in this sandbox, with the default options and those limits that
/// the line sets. A line names no program of its own to run.
///
/// # Errors
/// As [`verify_line`].
pub fn verify_line_in(sandbox: &Arc<Sandbox>, index: usize, line: &str) -> Result<VerifiedLine, Error> {
    judged(index, line, Some(sandbox))
}

fn judged(index: usize, line: &str, sandbox: Option<&Arc<Sandbox>>) -> Result<VerifiedLine, Error> {
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
    let ids: Option<Vec<u32>> =
        optional(&mut row, "completion_ids", "`completion_ids`, a list of token ids")?;
    let count: Option<usize> = optional(&mut row, "tokens", "`tokens`, a whole number")?;
    let tokens = match (&ids, count) {
        (Some(ids), _) => Tokens::Ids(ids),
        (None, Some(count)) => Tokens::Count(count),
        (None, None) => Tokens::Unknown,
    };
    let answer = gold(&mut row)?;
    let response = Response { prompt: &prompt, text: &completion, finish_reason, tokens };
    let verdict = if GROUP_REWARDS.contains(&kind.as_str()) {
        let task = Task { prompt: Prompt::Text(prompt.clone()), answer, columns: row };
        grouped(&kind, &task, &response)?
    } else {
        let verifier = match (kind.as_str(), sandbox) {
            ("code", Some(sandbox)) => Box::new(code_of(sandbox, &row)?),
            ("code", None) => return Err(Error::NotAllowed { kind }),
            _ => with_options(&kind, &options(&kind, &row))?,
        };
        let task = Task { prompt: Prompt::Text(prompt.clone()), answer, columns: row };
        guarded(verifier.as_ref(), &task, &response)
    };
    Ok(VerifiedLine {
        index,
        verdict: verdict.outcome,
        score: verdict.score,
        extracted: verdict.extracted,
        why: verdict.why,
    })
}

/// The options in a line: all of it, but for a column of a task that has an option's name.
fn options<'a>(kind: &str, row: &'a Map<String, Value>) -> Cow<'a, Map<String, Value>> {
    match row.get("choices") {
        // MMLU's column with the texts, not how many letters there are.
        Some(Value::Array(_)) if kind == "choice" => {
            let others = row.iter().filter(|(key, _)| *key != "choices");
            Cow::Owned(others.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        _ => Cow::Borrowed(row),
    }
}

fn code_of(sandbox: &Arc<Sandbox>, row: &Map<String, Value>) -> Result<Code, Error> {
    let set = CODE_OPTIONS.iter().filter_map(|key| Some(((*key).to_owned(), row.get(*key)?.clone())));
    let set: Map<String, Value> = set.filter(|(_, value)| !value.is_null()).collect();
    let options: code::Options = serde_json::from_value(Value::Object(set))
        .map_err(|error| Error::Option { kind: "code", key: "options", reason: error.to_string() })?;
    Code::new(sandbox.clone(), options)
}

/// The verdict of a group reward on a completion, beside siblings of which only the lengths are known.
fn grouped(kind: &str, task: &Task, response: &Response<'_>) -> Result<Verdict, Error> {
    let mut columns = task.columns.clone();
    let answer_kind: Option<String> = optional(&mut columns, "answer_kind", "`answer_kind`, a string")?;
    let siblings: Option<Vec<usize>> =
        optional(&mut columns, "group_tokens", "`group_tokens`, a list of whole numbers")?;
    let answer_kind = answer_kind.as_deref().unwrap_or("exact");
    let verifier = with_options(answer_kind, &options(answer_kind, &columns))?;
    let reward = group_reward(kind, &columns)?;
    let answer = guarded(verifier.as_ref(), task, response);
    let sibling = |&tokens: &usize| Member {
        response: Response { tokens: Tokens::Count(tokens), ..Response::finished("") },
        outcome: Outcome::Wrong,
    };
    let own = Member { response: *response, outcome: answer.outcome };
    let group: Vec<Member<'_>> = [own].into_iter().chain(siblings.iter().flatten().map(sibling)).collect();
    let score = group::guarded(reward.as_ref(), task, &group).into_iter().next();
    Ok(match score.unwrap_or_else(|| Err("no score".to_owned())) {
        Ok(score) => {
            let outcome = if score >= reward.best() { Outcome::Correct } else { Outcome::Wrong };
            let why = format!("{} {}", word(answer.outcome), answer.why);
            Verdict { outcome, score, why, ..answer }
        }
        Err(why) => Verdict::unscored(format!("{kind}: {why}")),
    })
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Correct => "the answer is correct:",
        Outcome::Wrong => "the answer is wrong:",
        Outcome::Unscored => "the answer is unscored:",
    }
}

/// A value that may be missing, but not be another.
fn optional<T: DeserializeOwned>(
    row: &mut Map<String, Value>,
    key: &str,
    expected: &'static str,
) -> Result<Option<T>, Error> {
    let Some(value) = row.remove(key) else { return Ok(None) };
    serde_json::from_value(value.clone()).map_err(|_| found(expected, Some(&value)))
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
        // A list of answers, as the verifiers read it: a JSON list of texts.
        Some(Value::Array(list)) if list.iter().all(|gold| gold.is_string() || gold.is_number()) => {
            let text = |gold: &Value| gold.as_str().map_or_else(|| gold.to_string(), str::to_owned);
            Ok(Value::from(list.iter().map(text).collect::<Vec<_>>()).to_string())
        }
        Some(other) => Err(found("`gold`, a string, a number, a list of them or an object", Some(&other))),
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
