//! The layouts of well-known evaluation sets, recognised by their columns, made rows with `prompt` and `answer`. It
//! refuses to know verifiers' code: it names the verifier in the column `kind`.

use crate::procedural::DIFFICULTY;
use serde_json::{Map, Value};

/// What separates the worked solution from the answer in GSM8K.
const GSM8K_MARK: &str = "####";

/// A row of GSM8K (`question`, `answer` with `####`), MATH-500 (`problem`, `answer`, `level`, `subject`) or AIME
/// (`problem`, `answer`, also capitalised) in our columns; any other row as it is.
///
/// `kind` becomes `math`, `subject` `task` and `level` `difficulty`, unless the row has these columns. GSM8K's worked
/// solution stays as `solution`.
pub(super) fn recognised(mut row: Map<String, Value>) -> Map<String, Value> {
    if row.contains_key("prompt") {
        return row;
    }
    for (given, name) in [("Problem", "problem"), ("Answer", "answer"), ("Solution", "solution")] {
        rename(&mut row, given, name);
    }
    let has = |name: &str| row.get(name).is_some_and(|value| value.is_string() || value.is_number());
    let gsm8k = row.get("answer").and_then(Value::as_str).and_then(|answer| answer.rsplit_once(GSM8K_MARK));
    if let (true, Some((worked, answer))) = (has("question"), gsm8k) {
        let (worked, answer) = (worked.trim().to_owned(), answer.trim().to_owned());
        rename(&mut row, "question", "prompt");
        row.insert("answer".to_owned(), Value::from(answer));
        row.entry("solution").or_insert_with(|| Value::from(worked));
    } else if has("problem") && has("answer") {
        rename(&mut row, "problem", "prompt");
    } else {
        return row;
    }
    row.entry("kind").or_insert_with(|| Value::from("math"));
    rename(&mut row, "subject", "task");
    rename(&mut row, "level", DIFFICULTY);
    row
}

/// Gives a column another name, unless that is taken.
fn rename(row: &mut Map<String, Value>, given: &str, name: &str) {
    if !row.contains_key(name)
        && let Some(value) = row.remove(given)
    {
        row.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::jsonl::parse_task;

    #[test]
    fn known_layouts_become_tasks() {
        for (row, prompt, answer, kind, task, difficulty) in [
            (
                r#"{"question": "6 eggs a day?", "answer": "3 + 3 = <<3+3=6>>6\n#### 1,006"}"#,
                "6 eggs a day?",
                "1,006",
                Some("math"),
                None,
                None,
            ),
            (
                r#"{"problem": "Convert $(0,3)$.", "solution": "long", "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
                    "subject": "Precalculus", "level": 2, "unique_id": "test/807.json"}"#,
                "Convert $(0,3)$.",
                "\\left( 3, \\frac{\\pi}{2} \\right)",
                Some("math"),
                Some("Precalculus".into()),
                Some(2.into()),
            ),
            (
                r#"{"id": 60, "problem": "Aya walks", "answer": "204"}"#,
                "Aya walks",
                "204",
                Some("math"),
                None,
                None,
            ),
            (
                r#"{"ID": "2024-II-4", "Problem": "Let", "Solution": "s", "Answer": 33}"#,
                "Let",
                "33",
                Some("math"),
                None,
                None,
            ),
            (r#"{"prompt": "p", "problem": "q", "answer": "a"}"#, "p", "a", None, None, None),
        ] {
            let made = parse_task(row).unwrap();
            assert_eq!((made.prompt.text().as_str(), made.answer.as_str()), (prompt, answer), "{row}");
            let column = |name: &str| made.columns.get(name).cloned();
            assert_eq!(column("kind").as_ref().and_then(|kind| kind.as_str()), kind, "{row}");
            assert_eq!((column("task"), column("difficulty")), (task, difficulty), "{row}");
        }
    }

    #[test]
    fn what_only_resembles_a_layout_says_what_it_lacks() {
        let refused = parse_task(r#"{"problem": "q"}"#).unwrap_err();
        assert!(refused.expected.contains("`prompt`"), "{refused:?}");
        let plain = parse_task(r#"{"question": "q", "answer": "4"}"#).unwrap();
        assert_eq!(plain.columns.get("kind"), None, "a question alone is no GSM8K");
    }
}
