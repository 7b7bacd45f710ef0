//! Answers that are data: JSON that equals the task's, that a schema describes, or that calls tools.

mod calls;
mod literal;
mod reading;
mod schema;

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What makes an answer right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It equals the task's answer: keys in any order, numbers by value, lists in order.
    #[default]
    Equal,
    /// The task's column `schema` describes it, else the task's answer as a schema.
    Schema,
    /// It has the calls that the task's answer names, as BFCL compares them.
    ToolCalls,
}

/// Judges an answer that is JSON; score 1 or 0.
///
/// The JSON is the content of the one `<answer>` or what stands behind the thought, where that is JSON as a whole; else
/// the content of its last fenced block; else the last object or list in it. An object that has a key twice is wrong:
/// it has two answers.
///
/// Tool calls are compared as the Berkeley Function Calling Leaderboard compares syntax trees (Patil et al. 2025,
/// ICML): the task's answer lists the calls, each `{name: {argument: [values that are right, "" for none at all]}}`, or
/// as `{"name", "arguments"}` where each argument has one right value. The response writes them as JSON, in
/// `<tool_call>` tags, or in Python's syntax (`[f(x=1), g()]`). Their order is free, their number is not. The column
/// `tools` (or `function`), where there is one, says which arguments are required and of which type.
///
/// A task without a usable answer is unscored.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonAnswer {
    /// What makes it right.
    pub check: Check,
}

impl Verifier for JsonAnswer {
    fn name(&self) -> &'static str {
        "json"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let judge = match Judge::of(self.check, task) {
            Ok(judge) => judge,
            Err(why) => return Verdict::unscored(why),
        };
        let scope = match tags::final_text(response.text, response.opening()) {
            Ok(scope) => scope.trim(),
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        match judge.found(scope) {
            Ok(Finding { extracted, verdict: Ok(()) }) => {
                verdict(Outcome::Correct, 1.0, Some(extracted), "as the task wants it")
            }
            Ok(Finding { extracted, verdict: Err(why) }) => {
                verdict(Outcome::Wrong, 0.0, Some(extracted), why)
            }
            Err(Fault::Answer(why)) => verdict(Outcome::Wrong, 0.0, None, why),
            Err(Fault::Task(why)) => Verdict::unscored(why),
        }
    }
}

/// Who is at fault where there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Answer(String),
    Task(String),
}

/// What was judged, and how it came out.
struct Finding<'a> {
    extracted: &'a str,
    verdict: Result<(), String>,
}

/// What a task wants.
enum Judge {
    Equal(Value),
    Schema(Value),
    Calls(calls::Wanted),
}

impl Judge {
    fn of(check: Check, task: &Task) -> Result<Self, String> {
        let column = |key: &str| task.columns.get(key).filter(|value| !value.is_null()).cloned().map(parsed);
        let answer = || {
            if task.answer.trim().is_empty() {
                return Err("the task's answer is empty".to_owned());
            }
            reading::strict(&task.answer).map_err(|error| format!("the task's answer is no JSON: {error}"))
        };
        Ok(match check {
            Check::Equal => Self::Equal(answer()?),
            Check::Schema => {
                let schema = column("schema").or_else(|| column("json_schema")).map_or_else(answer, Ok)?;
                schema::check(&schema)?;
                Self::Schema(schema)
            }
            Check::ToolCalls => {
                let tools = column("tools").or_else(|| column("function"));
                Self::Calls(calls::Wanted::of(&answer()?, tools.as_ref())?)
            }
        })
    }

    fn found<'a>(&self, scope: &'a str) -> Result<Finding<'a>, Fault> {
        if let Self::Calls(wanted) = self {
            let (extracted, given) = calls::given(scope).map_err(Fault::Answer)?;
            return Ok(Finding { extracted, verdict: wanted.compare(&given) });
        }
        let (extracted, given) = reading::find(scope).map_err(Fault::Answer)?;
        let verdict = match self {
            Self::Equal(gold) if equal(&given, gold) => Ok(()),
            Self::Schema(schema) => match schema::validate(schema, &given) {
                Ok(()) => Ok(()),
                Err(schema::Invalid::Instance(why)) => Err(why),
                Err(schema::Invalid::Schema(why)) => return Err(Fault::Task(why)),
            },
            _ => Err("not equal to the task's answer".to_owned()),
        };
        Ok(Finding { extracted, verdict })
    }
}

/// Columns of parquet files often hold JSON as text.
fn parsed(value: Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

/// Equality of data: `1` is `1.0`, and objects have no order.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.as_f64() == right.as_f64() && !(left.is_i64() && right.is_i64()))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, JsonAnswer};
    use crate::{Response, Verifier};
    use ruminate_data::{Outcome, Task};
    use serde_json::json;

    fn outcome(check: Check, task: &Task, text: &str) -> Outcome {
        JsonAnswer { check }.verify(task, &Response::finished(text)).outcome
    }

    #[test]
    fn equal_data_is_equal_however_it_is_written() {
        let task = Task::new("", r#"{"a": 1, "b": [true, null, "x"]}"#);
        for text in [
            r#"{"b":[true,null,"x"],"a":1.0}"#,
            "<think>hm</think>\n```json\n{\"a\": 1, \"b\": [true, null, \"x\"]}\n```",
            "<answer>{\"a\": 1, \"b\": [true, null, \"\\u0078\"]}</answer>",
            "Here it is: {\"a\": 1, \"b\": [true, null, \"x\"]}. Done.",
        ] {
            assert_eq!(outcome(Check::Equal, &task, text), Outcome::Correct, "{text}");
        }
        for text in [
            r#"{"a": 1, "b": [null, true, "x"]}"#,
            r#"{"a": "1", "b": [true, null, "x"]}"#,
            r#"{"a": 1, "b": [true, null, "x"], "c": 2}"#,
            r#"{"a": 2, "a": 1, "b": [true, null, "x"]}"#,
            r#"<think>{"a": 1, "b": [true, null, "x"]}"#,
            "",
            "{",
            "no JSON",
        ] {
            assert_eq!(outcome(Check::Equal, &task, text), Outcome::Wrong, "{text}");
        }
        for answer in ["", "{", "x"] {
            assert_eq!(outcome(Check::Equal, &Task::new("", answer), "1"), Outcome::Unscored, "{answer}");
        }
    }

    #[test]
    fn a_schema_is_the_tasks_column_or_its_answer() {
        let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        for task in
            [Task::new("", "").with_column("schema", schema.clone()), Task::new("", schema.to_string())]
        {
            assert_eq!(outcome(Check::Schema, &task, r#"{"n": 3}"#), Outcome::Correct);
            assert_eq!(outcome(Check::Schema, &task, r#"{"n": 3.5}"#), Outcome::Wrong);
            assert_eq!(outcome(Check::Schema, &task, "{}"), Outcome::Wrong);
        }
        let unknown = Task::new("", r#"{"unevaluatedProperties": false}"#);
        assert_eq!(outcome(Check::Schema, &unknown, "{}"), Outcome::Unscored);
    }

    #[test]
    fn large_answers_are_judged_in_bounded_time() {
        let task = Task::new("", "[1]");
        let start = std::time::Instant::now();
        for text in [
            "[".repeat(1 << 20),
            "{\"a\":".repeat(200_000),
            "[1,".repeat(300_000),
            "f(".repeat(500_000),
            "{}".repeat(500_000),
        ] {
            for check in [Check::Equal, Check::Schema, Check::ToolCalls] {
                assert_ne!(outcome(check, &task, &text), Outcome::Correct);
            }
        }
        // Twelve texts of a megabyte, without optimisation.
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
