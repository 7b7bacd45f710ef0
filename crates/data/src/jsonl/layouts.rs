//! The layouts of well-known data sets, recognised by their columns, made rows with `prompt` and `answer`. It refuses to
//! know verifiers' code: it names the verifier in the column `kind` where a layout has but one.
//!
//! Null is no column. What has a name of ours already stays as it is, and what is not recognised stays a column.

use super::{Mismatch, choices};
use crate::message::{keys, sort};
use crate::procedural::DIFFICULTY;
use crate::procedural::countdown::sentence;
use serde_json::{Map, Value, json};

/// What separates the worked solution from the answer in GSM8K.
const GSM8K_MARK: &str = "####";

/// Columns with what is asked, those that are surest first.
const PROMPTS: [&str; 20] = [
    "prompt",
    "problem",
    "question",
    "Problem",
    "Question",
    "query",
    "question_content",
    "question_stem",
    "instruct_prompt",
    "instruction",
    "messages",
    "conversations",
    "conversation",
    "input",
    "inputs",
    "goal",
    "ctx",
    "sentence",
    "text",
    "description",
];

/// Columns with the answer, those that are surest first. `solution` comes late: a worked one may stand beside an answer.
const ANSWERS: [&str; 20] = [
    "answer",
    "Answer",
    "expected_answer",
    "final_answer",
    "reward_model",
    "verification_info",
    "ground_truth",
    "ground_truth_answer",
    "gold_answer",
    "golden_answers",
    "correct_answer",
    "reference_answer",
    "answers",
    "gold",
    "gt",
    "ideal",
    "solution",
    "Solution",
    "target",
    "targets",
];

/// Texts that a question is about, which stand before it.
const PASSAGES: [&str; 3] = ["passage", "context", "article"];

/// Columns by which a program is judged: such a row needs no answer.
const TESTS: [&str; 10] = [
    "tests",
    "test_cases",
    "test_list",
    "test",
    "input_output",
    "public_test_cases",
    "private_test_cases",
    "public_tests",
    "private_tests",
    "inputs",
];

/// Words that stand for a missing answer in collections of problems.
const PLACEHOLDERS: [&str; 8] = ["proof", "notfound", "not found", "n/a", "na", "none", "nan", "null"];

/// What a row is asked, and where its answer was found: under `answer` of the row, from this place of the line.
pub(super) struct Recognised {
    pub(super) row: Map<String, Value>,
    /// The column of what is asked.
    pub(super) asked: &'static str,
    pub(super) place: Vec<String>,
}

/// Whether a row is judged by something else than an answer: tests, numbers with a target, instructions.
pub(super) fn needs_no_answer(row: &Map<String, Value>) -> bool {
    let has = |name: &str| row.get(name).is_some_and(|value| !value.is_null());
    TESTS.iter().any(|name| has(name)) || is_countdown(row) || has("instruction_id_list")
}

fn is_countdown(row: &Map<String, Value>) -> bool {
    let list = ["numbers", "nums"].iter().any(|name| row.get(*name).is_some_and(Value::is_array));
    list && row.get("target").is_some_and(|target| target.is_number() || target.is_string())
}

/// A row in our columns. `stated` is where the user says that the answer stands.
///
/// # Errors
/// What it lacks, by the name of its own column.
pub(super) fn recognised(
    mut row: Map<String, Value>,
    stated: Option<Vec<String>>,
) -> Result<Recognised, Mismatch> {
    let is_ours = row.get("prompt").is_some_and(|prompt| !prompt.is_null());
    unpack_metadata(&mut row);
    let from = ask(&mut row)?;
    let mut place = Vec::new();
    if stated.is_some() || !is_countdown(&row) {
        place = answer(&mut row, from)?;
    }
    if is_countdown(&row) {
        row.entry("kind").or_insert_with(|| Value::from("countdown"));
        row.entry("answer").or_insert_with(|| Value::from(""));
    }
    if row.get("instruction_id_list").is_some_and(Value::is_array) {
        row.entry("kind").or_insert_with(|| Value::from("ifeval"));
    }
    choices::place(&mut row)?;
    let is_math = !is_ours && (from == "problem" || from == "Problem") && row.contains_key("answer");
    if is_math || place.first().is_some_and(|name| name == GSM8K_MARK) || says_math(&row) {
        row.entry("kind").or_insert_with(|| Value::from("math"));
    }
    if row.get("kind").and_then(Value::as_str) == Some("math") {
        if !is_ours {
            for (given, name) in [("subject", "task"), ("type", "task"), ("level", DIFFICULTY)] {
                rename(&mut row, given, name);
            }
        }
        refuse_placeholder(&row)?;
    }
    // What was stated is under `answer` now, and a list of it was gone into.
    let place = match stated {
        Some(stated) => stated.into_iter().chain(place.into_iter().skip(1)).collect(),
        None if place.is_empty() => vec!["answer".to_owned()],
        None => place,
    };
    Ok(Recognised { row, asked: from, place })
}

/// Puts what is asked under `prompt`; with the name of its column.
fn ask(row: &mut Map<String, Value>) -> Result<&'static str, Mismatch> {
    let usable = |name: &&&str| row.get(**name).is_some_and(|value| value.is_string() || value.is_array());
    let Some(name) = PROMPTS.iter().find(usable).copied() else {
        if is_countdown(row) {
            let prompt = countdown(row);
            row.insert("prompt".to_owned(), Value::from(prompt));
            return Ok("target");
        }
        let Some(name) = PROMPTS.iter().find(|name| row.get(**name).is_some_and(|value| !value.is_null()))
        else {
            return Err(Mismatch::new(
                "a column `prompt` (or `question`), or another one by `data.columns.prompt`",
                keys(row),
            ));
        };
        let found = sort(&row[*name]);
        return Err(Mismatch::new(format!("`{name}` to be a text or a list of messages, not empty"), found));
    };
    let mut value = row.shift_remove(name).unwrap_or_default();
    if let Value::Array(turns) = &mut value {
        *turns = turns.drain(..).map(turn).collect();
        if name != "prompt" {
            // What the assistant said last is no part of the question; it may bring the answer.
            while turns.len() > 1 && turns.last().is_some_and(|turn| turn["role"] == "assistant") {
                if let Some(Value::Object(mut last)) = turns.pop()
                    && let Some(gold) = last.shift_remove("ground_truth")
                {
                    row.entry("ground_truth").or_insert(gold);
                }
            }
        }
    }
    if let Value::String(text) = &mut value {
        if name == "instruction"
            && let Some(Value::String(input)) = row.shift_remove("input").filter(|input| *input != "")
        {
            *text = format!("{text}\n\n{input}");
        }
        if name.eq_ignore_ascii_case("question") {
            for passage in PASSAGES {
                if let Some(Value::String(passage)) = row.get(passage).filter(|passage| *passage != "") {
                    *text = format!("{passage}\n\n{text}");
                    break;
                }
            }
        }
        if text.is_empty() {
            return Err(Mismatch::new(
                format!("`{name}` to be a text or a list of messages, not empty"),
                "an empty text",
            ));
        }
    }
    row.insert("prompt".to_owned(), value);
    Ok(name)
}

/// A turn as chat templates know it, of one with `from` and `value`.
fn turn(turn: Value) -> Value {
    let (Some(from), Some(value)) = (turn["from"].as_str(), turn.get("value")) else {
        return turn_with_gold(turn);
    };
    let role = match from {
        "human" => "user",
        "gpt" | "chatgpt" | "bot" | "model" => "assistant",
        other => other,
    };
    json!({ "role": role, "content": value })
}

/// Open-Reasoner-Zero's answer stands in place of the assistant's words.
fn turn_with_gold(mut turn: Value) -> Value {
    if let Some(from) = turn["from"].as_str().map(str::to_owned)
        && let Some(turn) = turn.as_object_mut()
    {
        turn.insert("role".to_owned(), Value::from(from));
    }
    turn
}

fn countdown(row: &Map<String, Value>) -> String {
    let list = ["numbers", "nums"].iter().find_map(|name| row.get(*name)?.as_array());
    let numbers: Vec<String> =
        list.into_iter().flatten().map(|number| number.to_string().replace('"', "")).collect();
    let target = row.get("target").map(|target| target.to_string().replace('"', "")).unwrap_or_default();
    sentence(&target, &numbers.join(", "))
}

/// Brings up what stands in `metadata` of reasoning-gym and in objects of golds.
fn unpack_metadata(row: &mut Map<String, Value>) {
    let Some(Value::Object(metadata)) = row.get("metadata").map(parsed) else { return };
    if metadata.get("source_dataset").and_then(Value::as_str) == Some("countdown") && is_countdown(&metadata)
    {
        for name in ["numbers", "nums", "target"] {
            if let Some(value) = metadata.get(name) {
                row.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Finds the answer and puts it under `answer`: a text or a number. With its place in the line.
fn answer(row: &mut Map<String, Value>, asked: &str) -> Result<Vec<String>, Mismatch> {
    let given = |name: &&&str| row.get(**name).is_some_and(|value| !value.is_null());
    let Some(name) = ANSWERS.iter().find(given).copied() else {
        return match row.get("answer") {
            Some(null) if !needs_no_answer(row) => {
                Err(Mismatch::new("`answer` to be a text, a number or a list of them", sort(null)))
            }
            _ => Ok(Vec::new()),
        };
    };
    if name == "target" && is_countdown(row) {
        return Ok(Vec::new());
    }
    let mut place = vec![name.to_owned()];
    let mut value = row[name].clone();
    while let Some(inner) = within(&mut value, &mut place) {
        value = inner;
    }
    // Tests, or numbers with their target, in place of an answer.
    if let Value::Object(columns) = &value {
        if !needs_no_answer(columns) && !is_countdown(columns) {
            return Err(Mismatch::new(
                format!("`{}` to be a text, a number or a list of them", place.join(".")),
                format!("an object of {}", keys(columns)),
            ));
        }
        for (name, value) in columns {
            row.insert(name.clone(), value.clone());
        }
        return Ok(Vec::new());
    }
    if let Value::Array(list) = &value {
        if list.iter().all(Value::is_object) && !list.is_empty() {
            row.entry("tests").or_insert_with(|| value.clone());
            return Ok(Vec::new());
        }
        value = accepted(row, list, &mut place)?;
    }
    if let Value::Bool(is_true) = value {
        value = Value::from(is_true.to_string());
    }
    if let Value::String(text) = &value {
        if text.trim().is_empty() {
            if needs_no_answer(row) {
                return Ok(Vec::new());
            }
            return Err(Mismatch::new(format!("`{}` to be an answer", place.join(".")), "an empty text"));
        }
        if let Some((worked, answer)) = gsm8k(row, name, asked, text) {
            row.entry("solution").or_insert(Value::from(worked));
            row.insert("answer".to_owned(), Value::from(answer));
            return Ok(vec![GSM8K_MARK.to_owned()]);
        }
        let is_solution = name == "solution" || name == "Solution";
        if is_solution && let Some(boxed) = last_boxed(text) {
            if text.trim().len() > boxed.len() + 10 {
                row.insert("answer".to_owned(), Value::from(boxed));
                return Ok(Vec::new());
            }
        } else if is_solution && asked.eq_ignore_ascii_case("problem") && text.len() > 200 {
            return Err(Mismatch::new(
                format!("a column `answer`, or `{name}` with the answer in \\boxed{{}}"),
                format!("`{name}` without a box"),
            ));
        }
    }
    if matches!(name, "answer" | "Answer" | "solution" | "Solution" | "ground_truth" | "expected_answer") {
        row.shift_remove(name);
    }
    row.insert("answer".to_owned(), value);
    Ok(place)
}

/// What an object or JSON in a text has inside, where that is the answer.
fn within(value: &mut Value, place: &mut Vec<String>) -> Option<Value> {
    let is_nested =
        place.len() > 1 || matches!(place[0].as_str(), "verification_info" | "ground_truth" | "reward_model");
    if let Value::String(text) = value
        && is_nested
        && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text)
        && (inner.is_object() || text.trim_start().starts_with("[\"") || text.trim_start().starts_with("[{"))
    {
        return Some(inner);
    }
    let Value::Object(object) = value else { return None };
    let name = ["ground_truth", "answer", "value", "text"]
        .into_iter()
        .find(|name| object.get(*name).is_some_and(|value| !value.is_null()))?;
    place.push(name.to_owned());
    let mut inner = object[name].clone();
    // TriviaQA's other names of one thing.
    if name == "value"
        && let (Value::String(first), Some(Value::Array(aliases))) = (&inner, object.get("aliases"))
    {
        let others = aliases.iter().filter(|alias| *alias != &inner).cloned();
        inner = Value::Array([Value::from(first.clone())].into_iter().chain(others).collect());
    }
    Some(inner)
}

/// The first of several accepted answers; all of them become the column `answers`.
fn accepted(
    row: &mut Map<String, Value>,
    list: &[Value],
    place: &mut Vec<String>,
) -> Result<Value, Mismatch> {
    let plain = |value: &Value| match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        _ => None,
    };
    let Some(texts) = list.iter().map(plain).collect::<Option<Vec<String>>>().filter(|list| !list.is_empty())
    else {
        let expected = format!("`{}` to be a text, a number or a list of them", place.join("."));
        return Err(Mismatch::new(
            expected,
            if list.is_empty() { "an empty list" } else { "a list of other things" },
        ));
    };
    if let [_, _, ..] = &texts[..] {
        row.insert("answers".to_owned(), Value::from(texts));
    } else {
        row.shift_remove("answers");
    }
    place.push("0".to_owned());
    Ok(list[0].clone())
}

/// A worked solution and its answer, as GSM8K writes them.
fn gsm8k(row: &Map<String, Value>, name: &str, asked: &str, text: &str) -> Option<(String, String)> {
    let is_text = row.get("prompt").is_some_and(Value::is_string);
    let (worked, answer) = text.rsplit_once(GSM8K_MARK)?;
    (name == "answer" && asked == "question" && is_text)
        .then(|| (worked.trim().to_owned(), answer.trim().to_owned()))
}

/// What the last closed `\boxed{..}` of a worked solution holds.
fn last_boxed(text: &str) -> Option<String> {
    let mut end = text.len();
    while let Some(at) = text[..end].rfind("\\boxed") {
        let inner = text[at + "\\boxed".len()..].trim_start();
        if let Some(inner) = inner.strip_prefix('{') {
            let mut depth = 1;
            for (index, byte) in inner.bytes().enumerate() {
                depth += match byte {
                    b'{' => 1,
                    b'}' => -1,
                    _ => 0,
                };
                if depth == 0 {
                    return Some(inner[..index].trim().to_owned()).filter(|boxed| !boxed.is_empty());
                }
            }
        }
        end = at;
    }
    None
}

/// Whether a row says of itself that it is about mathematics, as verl's and INTELLECT's do.
fn says_math(row: &Map<String, Value>) -> bool {
    let has_answer = row.get("answer").is_some_and(|answer| answer.is_string() || answer.is_number());
    let says = |name: &str, words: &[&str]| {
        let text = row.get(name).and_then(Value::as_str).unwrap_or_default().to_lowercase();
        words.iter().any(|word| text == *word || text.ends_with(word))
    };
    has_answer
        && row.get("answers").is_none_or(Value::is_array)
        && (says("ability", &["math"]) || says("task_type", &["_math"]))
}

/// # Errors
/// For a word that stands in for an answer.
fn refuse_placeholder(row: &Map<String, Value>) -> Result<(), Mismatch> {
    let answer = row.get("answer").and_then(Value::as_str).unwrap_or_default().trim();
    if PLACEHOLDERS.iter().any(|word| answer.eq_ignore_ascii_case(word)) {
        return Err(Mismatch::new(
            "`answer` to be one that can be checked",
            format!("{answer:?}, which stands for none; `data.bad_lines = \"skip\"` leaves such rows out"),
        ));
    }
    Ok(())
}

/// JSON that stands in a text, or the value as it is.
fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

/// Gives a column another name, unless that is taken.
fn rename(row: &mut Map<String, Value>, given: &str, name: &str) {
    if !row.contains_key(name)
        && let Some(value) = row.shift_remove(given)
    {
        row.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
