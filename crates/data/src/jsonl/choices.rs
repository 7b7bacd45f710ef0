//! Multiple choice: the choices of a row, whatever its columns call them, become a part of the prompt, and the right one a
//! letter.

use super::{Mismatch, Row};
use crate::message::sort;
use crate::seed::stable_hash;
use crate::{Message, Task};
use serde_json::{Map, Value};

/// The verifier of letters, and the column of a task's choices.
pub(super) const KIND: &str = "choice";
const CHOICES: &str = "choices";

/// Columns in which well-known sets have the choices: MMLU, ARC, HellaSwag, CommonsenseQA and others.
const LISTS: [&str; 6] = ["choices", "options", "endings", "answer_choices", "candidates", "mc_choices"];

/// A column for each choice: C-Eval, MedMCQA, WinoGrande, PIQA.
const SEPARATE: [&[&str]; 5] = [
    &["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"],
    &["a", "b", "c", "d", "e"],
    &["opa", "opb", "opc", "opd", "ope"],
    &["option1", "option2", "option3", "option4", "option5"],
    &["sol1", "sol2"],
];

/// The right one beside the wrong ones: GPQA, SciQ.
const RIGHT_AND_WRONG: [(&str, &[&str]); 3] = [
    ("Correct Answer", &["Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"]),
    ("correct_answer", &["distractor1", "distractor2", "distractor3"]),
    ("correct_answer", &["incorrect_answers"]),
];

/// Columns that say which one is right. Those of the second half count from 0.
const KEYS: [&str; 14] = [
    "answerKey",
    "answer_key",
    "answer_letter",
    "correct_option",
    "answer_index",
    "gold_index",
    "cop",
    "answer_idx",
    "answer",
    "Answer",
    "correct_answer",
    "correct",
    "label",
    "gold_label",
];
const FROM_ZERO: [&str; 4] = ["answer_index", "gold_index", "cop", "answer_idx"];

/// Choices with the name of their column.
struct Listed {
    name: &'static str,
    columns: Vec<String>,
    texts: Vec<String>,
    labels: Vec<String>,
}

/// Puts a row's choices into its prompt, which is under `prompt`, and the letter of the right one into `answer`. A number
/// that may count from 0 or from 1 stays one, for [`settle`].
///
/// # Errors
/// Choices of which none is named as the right one.
pub(super) fn place(row: &mut Map<String, Value>) -> Result<(), Mismatch> {
    if row.get("kind").is_some_and(|kind| kind.as_str() != Some(KIND)) {
        return Ok(());
    }
    let (listed, right) = if let Some(shuffled) = right_and_wrong(row) {
        shuffled
    } else {
        let Some(listed) = listed(row) else { return Ok(()) };
        let right = right(row, &listed)?;
        (listed, right)
    };
    for name in &listed.columns {
        row.shift_remove(name);
    }
    if let Some(prompt) = row.get_mut("prompt") {
        show(prompt, &listed.texts);
    }
    row.insert(CHOICES.to_owned(), Value::from(listed.texts));
    row.insert("answer".to_owned(), Value::from(right));
    row.insert("kind".to_owned(), Value::from(KIND));
    if !row.contains_key("task")
        && let Some(subject) = row.shift_remove("subject")
    {
        row.insert("task".to_owned(), subject);
    }
    Ok(())
}

/// Letters in place of numbers, where the file's numbers say from which one they count.
///
/// # Errors
/// The line of a row of which this cannot be told.
pub(super) fn settle(rows: &mut [Row<Task>]) -> Result<(), (usize, Mismatch)> {
    let numbered = |row: &Row<Task>| {
        let task = &row.value;
        let is_choice = task.columns.get("kind").and_then(Value::as_str) == Some(KIND);
        let count = task.columns.get(CHOICES).and_then(Value::as_array).filter(|_| is_choice)?.len();
        Some((row.line, task.answer.parse::<usize>().ok()?, count))
    };
    let all: Vec<(usize, usize, usize)> = rows.iter().filter_map(numbered).collect();
    let Some(&first) = all.first() else { return Ok(()) };
    let zero = all.iter().find(|(_, number, _)| *number == 0);
    let last = all.iter().find(|(_, number, count)| number == count);
    let ambiguous = |(line, number, count): (usize, usize, usize), why: &str| {
        let expected = "an answer that names one of the choices: a letter, its text, or a number";
        let found = format!(
            "{number} of {count} choices, {why}; if numbers count from 0, set `data.columns.answer_index` to their column, \
             else give letters"
        );
        Err((line, Mismatch::new(expected, found)))
    };
    let base = match (zero, last) {
        (Some(_), Some(&last)) => return ambiguous(last, "where another row has 0"),
        (Some(_), None) => 0,
        (None, Some(_)) => 1,
        (None, None) => return ambiguous(first, "which may count from 0 or from 1"),
    };
    if let Some(&beyond) = all.iter().find(|(_, number, count)| number - base >= *count) {
        return ambiguous(beyond, "which is none of them");
    }
    for row in rows {
        if let Some((_, number, _)) = numbered(row) {
            row.value.answer = letter(number - base);
        }
    }
    Ok(())
}

fn letter(index: usize) -> String {
    char::from(b'A' + u8::try_from(index).unwrap_or(25).min(25)).to_string()
}

/// The choices of a row, at least two and at most 26.
fn listed(row: &Map<String, Value>) -> Option<Listed> {
    let list = LISTS.iter().find_map(|name| {
        let (texts, labels) = texts(row.get(*name)?)?;
        Some(Listed { name, columns: vec![(*name).to_owned()], texts, labels })
    });
    let separate = || {
        SEPARATE.iter().find_map(|names| {
            let present = |name: &&&str| row.get(**name).and_then(scalar).is_some();
            let columns: Vec<String> =
                names.iter().take_while(present).map(|name| (*name).to_owned()).collect();
            let texts = columns.iter().filter_map(|name| scalar(&row[name])).collect::<Vec<_>>();
            let least = if names[0].len() == 1 { 4 } else { 2 };
            let labels = if names[0].len() == 1 { columns.clone() } else { Vec::new() };
            (texts.len() >= least).then_some(Listed { name: names[0], columns, texts, labels })
        })
    };
    list.or_else(separate).filter(|listed| (2..=26).contains(&listed.texts.len())).map(unlettered)
}

/// The texts of a list, of ARC's object of lists `text` and `label`, of an object of letters, or of such JSON in a text.
fn texts(value: &Value) -> Option<(Vec<String>, Vec<String>)> {
    let strings = |list: &[Value]| list.iter().map(scalar).collect::<Option<Vec<String>>>();
    match value {
        Value::Array(list) => {
            let labelled = |item: &Value| Some((scalar(item.get("text")?)?, scalar(item.get("label")?)?));
            match strings(list) {
                Some(texts) => Some((texts, Vec::new())),
                None => list
                    .iter()
                    .map(labelled)
                    .collect::<Option<Vec<_>>>()
                    .map(|pairs| pairs.into_iter().unzip()),
            }
        }
        Value::Object(object) => {
            if let Some(Value::Array(list)) = object.get("text") {
                let labels = object.get("label").and_then(Value::as_array).and_then(|list| strings(list));
                return Some((strings(list)?, labels.unwrap_or_default()));
            }
            let is_label = |name: &String| name.len() == 1 && name.as_bytes()[0].is_ascii_alphanumeric();
            if !object.keys().all(is_label) {
                return None;
            }
            let given = object.iter().filter(|(_, value)| !value.is_null());
            given
                .map(|(name, value)| Some((scalar(value)?, name.clone())))
                .collect::<Option<Vec<_>>>()
                .map(|pairs| pairs.into_iter().unzip())
        }
        Value::String(text) if text.starts_with(['[', '{']) => {
            let parsed: Value = serde_json::from_str(text).ok()?;
            if parsed.is_string() { None } else { texts(&parsed) }
        }
        _ => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        _ => None,
    }
}

/// Choices without the letters that stand before them, as AQuA writes `A)21`.
fn unlettered(mut listed: Listed) -> Listed {
    let bare = |(index, text): (usize, &String)| {
        let text = text.trim_start_matches('(').strip_prefix(letter(index).as_str())?;
        Some(text.strip_prefix([')', '.', ':'])?.trim().to_owned())
    };
    if let Some(texts) = listed.texts.iter().enumerate().map(bare).collect::<Option<Vec<_>>>() {
        listed.texts = texts;
    }
    listed
}

/// The letter of the right choice, or its number as the row has it.
fn right(row: &Map<String, Value>, listed: &Listed) -> Result<String, Mismatch> {
    let given = |name: &&&str| row.get(**name).is_some_and(|value| !value.is_null());
    // A list of letters stands first, a text of an answer last: MedQA has both.
    let Some(name) = KEYS.iter().find(given) else {
        let expected = format!("a column that says which of `{}` is right, such as `answer`", listed.name);
        return Err(Mismatch::new(expected, crate::message::keys(row)));
    };
    let value = &row[*name];
    let wrong = |found: String| {
        let expected =
            format!("`{name}` to be the letter, the number or the text of one of `{}`", listed.name);
        Mismatch::new(expected, found)
    };
    let count = listed.texts.len();
    let is_number = value.is_number();
    if row.get("answers").is_some_and(Value::is_array) {
        return Err(wrong("several".to_owned()));
    }
    let Some(text) = scalar(value) else { return Err(wrong(sort(value).to_owned())) };
    if let Some(index) = listed.labels.iter().position(|label| *label == text) {
        return Ok(letter(index));
    }
    let equal: Vec<usize> = (0..count).filter(|&index| listed.texts[index] == text && !is_number).collect();
    if let [index] = equal[..] {
        return Ok(letter(index));
    }
    let bare = text.trim_matches(['(', ')', '.', ':', '*', ' ']);
    let mut behind = bare.chars();
    let first = behind.next().unwrap_or_default();
    let index = (first.to_ascii_uppercase() as usize).wrapping_sub('A' as usize);
    let ends = bare.len() == 1 || behind.as_str().starts_with([')', '.', ':']);
    if first.is_ascii_alphabetic() && ends && index < count {
        return Ok(letter(index));
    }
    match text.parse::<usize>() {
        Ok(index) if FROM_ZERO.contains(name) && index < count => Ok(letter(index)),
        Ok(number) if !FROM_ZERO.contains(name) && number <= count => Ok(number.to_string()),
        Ok(number) => Err(wrong(format!("{number} of {count} choices"))),
        Err(_) => Err(wrong(format!("{:?}", text.chars().take(40).collect::<String>()))),
    }
}

/// Choices of a row that has the right one in a column of its own. Their order is that of their hashes with the
/// question's, so that the right letter is in no pattern and always the same.
fn right_and_wrong(row: &Map<String, Value>) -> Option<(Listed, String)> {
    let (name, columns, texts) = RIGHT_AND_WRONG.iter().find_map(|(right, wrong)| {
        let right_text = scalar(row.get(*right)?)?;
        let mut texts = vec![right_text];
        let mut columns = vec![(*right).to_owned()];
        for name in *wrong {
            match row.get(*name)? {
                Value::Array(list) => texts.extend(list.iter().map(scalar).collect::<Option<Vec<_>>>()?),
                value => texts.push(scalar(value)?),
            }
            columns.push((*name).to_owned());
        }
        (texts.len() > 1).then_some((*right, columns, texts))
    })?;
    let question = row.get("prompt").map(Value::to_string).unwrap_or_default();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&index| (stable_hash(format!("{question}\n{}", texts[index]).bytes()), index));
    let right = order.iter().position(|&index| index == 0).unwrap_or_default();
    let texts = order.into_iter().map(|index| texts[index].clone()).collect();
    Some((Listed { name, columns, texts, labels: Vec::new() }, letter(right)))
}

/// Adds the choices to a prompt that does not show them with their letters.
fn show(prompt: &mut Value, choices: &[String]) {
    let list = |text: &str| {
        let shown = choices.iter().enumerate().all(|(index, choice)| {
            let letter = letter(index);
            text.contains(choice.as_str())
                && [')', '.', ':'].iter().any(|mark| text.contains(&format!("{letter}{mark}")))
        });
        if shown {
            return None;
        }
        let lines =
            choices.iter().enumerate().map(|(index, choice)| format!("\n{}) {choice}", letter(index)));
        Some(format!("{}\n{}", text.trim_end(), lines.collect::<String>()))
    };
    match prompt {
        Value::String(text) => {
            if let Some(longer) = list(text) {
                *text = longer;
            }
        }
        Value::Array(turns) => {
            let last = turns.iter_mut().rfind(|turn| turn["role"] == "user");
            if let Some(turn) = last
                && let Ok(message) = Message::from_json("prompt", turn.clone())
                && let Some(longer) = list(&message.text())
            {
                turn["content"] = Value::from(longer);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::jsonl::parse_task;

    #[test]
    fn choices_are_shown_and_the_right_one_is_a_letter() {
        for (row, letter) in [
            (
                r#"{"question": "q", "choices": {"text": ["sun", "moon"], "label": ["1", "2"]}, "answerKey": "2"}"#,
                "B",
            ),
            (
                r#"{"question": "q", "choices": [{"label": "A", "text": "s"}, {"label": "B", "text": "m"}], "answerKey": "B"}"#,
                "B",
            ),
            (
                r#"{"question": "q", "options": {"A": "x", "B": "y", "C": "z"}, "answer": "z", "answer_idx": "C"}"#,
                "C",
            ),
            (r#"{"question": "q", "options": ["A)21", "B)22"], "correct": "B", "rationale": "r"}"#, "B"),
            (r#"{"question": "q", "options": ["u", "v", "w"], "answer": "I", "answer_index": 2}"#, "C"),
            (r#"{"Question": "q", "A": "x", "B": "y", "C": "z", "D": "w", "Answer": "D"}"#, "D"),
            (r#"{"question": "q", "opa": "x", "opb": "y", "opc": "z", "opd": "w", "cop": 0}"#, "A"),
            (r#"{"question": "q", "choices": ["red", "blue"], "answer": "blue"}"#, "B"),
            (r#"{"question": "q", "choices": "[\"red\", \"blue\"]", "answer": "(B) blue"}"#, "B"),
        ] {
            let task = parse_task(row).unwrap();
            assert_eq!(
                (task.answer.as_str(), task.columns["kind"].as_str()),
                (letter, Some("choice")),
                "{row}"
            );
            assert!(task.prompt.text().contains("\nA) "), "{task:?}");
        }
        let given =
            parse_task(r#"{"prompt": "2+2? A) 3 B) 4", "choices": ["3", "4"], "answer": "B"}"#).unwrap();
        assert_eq!(given.prompt.text(), "2+2? A) 3 B) 4");
        let other =
            parse_task(r#"{"prompt": "sort 3 1 2", "options": {"reverse": true}, "answer": "1 2 3"}"#)
                .unwrap();
        assert_eq!((other.prompt.text().as_str(), other.columns.get("kind")), ("sort 3 1 2", None));
    }

    #[test]
    fn the_right_one_of_gpqa_has_no_fixed_letter() {
        let letter = |question: &str| {
            let row = format!(
                r#"{{"Question": "{question}", "Correct Answer": "r", "Incorrect Answer 1": "a", "Incorrect Answer 2": "b",
                "Incorrect Answer 3": "c"}}"#
            );
            let task = parse_task(&row).unwrap();
            assert!(task.prompt.text().contains(&format!("\n{}) r", task.answer)), "{task:?}");
            task.answer
        };
        let letters: std::collections::BTreeSet<String> = (0..40).map(|i| letter(&format!("q{i}"))).collect();
        assert_eq!(letters.len(), 4);
        assert_eq!(letter("q7"), letter("q7"));
    }

    #[test]
    fn what_names_no_choice_is_refused() {
        for (row, says) in [
            (r#"{"question": "q", "choices": ["x", "y"], "answer": "z"}"#, "found \"z\""),
            (r#"{"question": "q", "choices": ["x", "y"], "answer": 7}"#, "found 7 of 2 choices"),
            (r#"{"question": "q", "choices": ["x", "y"], "answer": " "}"#, "found"),
            (r#"{"question": "q", "choices": ["x", "y"], "answer": ":*"}"#, "found \":*\""),
            (r#"{"question": "q", "choices": ["x", "y"]}"#, "which of `choices` is right"),
            (r#"{"question": "q", "choices": ["x", "y"], "answer": ["A", "B"]}"#, "found several"),
        ] {
            let refused = parse_task(row).unwrap_err().to_string();
            assert!(refused.contains(says), "{row}: {refused}");
        }
    }
}
