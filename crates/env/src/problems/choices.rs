//! Multiple choice in columns of its own: a prompt without its choices asks nothing that can be answered.

use ruminate_data::Task;
use serde_json::Value;

/// Columns in which well-known sets have the choices: MMLU, ARC, HellaSwag, CommonsenseQA and others.
const COLUMNS: [&str; 4] = ["choices", "options", "endings", "answer_choices"];

/// Refuses a task whose prompt lacks the choices that a column lists.
///
/// # Errors
/// What to do instead.
pub(super) fn refuse_lost(task: &Task) -> Result<(), String> {
    let listed = COLUMNS.iter().find_map(|name| Some((*name, texts(task.columns.get(*name)?)?)));
    let lettered = || {
        let column = |name: &str| Some(task.columns.get(name)?.as_str()?.to_owned());
        let texts: Vec<String> = ["A", "B", "C", "D"].iter().filter_map(|name| column(name)).collect();
        (texts.len() == 4).then_some(("A`, `B`, `C` and `D", texts))
    };
    let Some((name, choices)) = listed.or_else(lettered) else { return Ok(()) };
    let prompt = task.prompt.text();
    if choices.iter().all(|choice| prompt.contains(choice.trim())) {
        return Ok(());
    }
    let example: Vec<String> = choices
        .iter()
        .take(4)
        .zip('A'..)
        .map(|(choice, letter)| format!("{letter}) {}", short(choice)))
        .collect();
    Err(format!(
        "the choices stand in the column `{name}` and not in the prompt, which is all that the model sees; \
         write them into `prompt` (`.. {}`), the letter of the right one into `answer`, and set \
         `reward.verifier` to \"choice\"",
        example.join(" ")
    ))
}

/// The texts of a list, or of ARC's object with a list `text`.
fn texts(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array().or_else(|| value.get("text")?.as_array())?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let texts: Vec<String> = list.iter().filter_map(text).collect();
    (texts.len() > 1 && texts.len() == list.len()).then_some(texts)
}

fn short(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= 20 { text } else { text.chars().take(19).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::refuse_lost;
    use ruminate_data::jsonl::parse_task;

    #[test]
    fn choices_that_never_reach_the_prompt_are_refused_by_their_column() {
        for (row, column) in [
            (r#"{"question": "2+2?", "choices": ["3", "4", "5", "6"], "answer": 1}"#, Some("`choices`")),
            (
                r#"{"question": "q", "choices": {"text": ["sun", "moon"], "label": ["A", "B"]}, "answer": "A"}"#,
                Some("`choices`"),
            ),
            (
                r#"{"question": "q", "A": "x", "B": "y", "C": "z", "D": "w", "answer": "A"}"#,
                Some("`A`, `B`, `C` and `D`"),
            ),
            (r#"{"prompt": "2+2? A) 3 B) 4", "choices": ["3", "4"], "answer": "B"}"#, None),
            (r#"{"prompt": "sort 3 1 2", "options": {"reverse": true}, "answer": "1 2 3"}"#, None),
            (r#"{"prompt": "p", "answer": "x", "A": "only one"}"#, None),
        ] {
            let refused = refuse_lost(&parse_task(row).expect("a task")).err();
            assert_eq!(refused.is_some(), column.is_some(), "{row}: {refused:?}");
            if let (Some(message), Some(column)) = (refused, column) {
                assert!(message.contains(column) && message.contains("\"choice\""), "{message}");
            }
        }
    }
}
