//! Which verifier can judge a file's answers, by asking each whether it takes the answer for its own.

use super::look::words;
use ruminate_data::{Outcome, Task};
use ruminate_reward::{KINDS, MultipleChoice, Response, Verifier, by_name};
use serde_json::Value;

/// A verifier for a file, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) kind: String,
    /// Letters to choose from, of `choice`.
    pub(super) choices: u8,
    pub(super) why: String,
}

/// Share of the answers that a verifier must read.
const MOST: f64 = 0.95;

/// Median words of a question from which an answer is worked out in sentences.
const LONG_QUESTION: usize = 25;

/// The verifier for these tasks; `exact` where no other one reads the answers.
pub(super) fn choose(tasks: &[Task]) -> Chosen {
    let chosen = |kind: &str, why: &str| Chosen { kind: kind.to_owned(), choices: 4, why: why.to_owned() };
    if let Some(kind) = named(tasks) {
        return Chosen {
            choices: 4,
            why: "the rows say so, by a column `kind` or their layout".to_owned(),
            kind,
        };
    }
    let has = |names: &[&str]| {
        let with = tasks.iter().filter(|task| names.iter().any(|name| task.columns.contains_key(*name)));
        !tasks.is_empty() && with.count() == tasks.len()
    };
    if has(&["numbers", "nums"]) && has(&["target"]) {
        return chosen("countdown", "the rows have `numbers` and a `target`");
    }
    if let Some(choices) = letters(tasks) {
        let last = char::from(b'A' + choices - 1);
        return Chosen {
            choices,
            ..chosen("choice", &format!("every answer is a letter from A to {last} of choices in the prompt"))
        };
    }
    if reads("last_number", tasks) {
        return chosen("last_number", "every answer is a number");
    }
    let formulas = tasks.iter().filter(|task| {
        ["####", "\\boxed", "\\frac", "\\sqrt", "$", "^", "/"].iter().any(|mark| task.answer.contains(mark))
    });
    if 2 * formulas.count() > tasks.len() && reads("math", tasks) {
        return chosen("math", "answers are formulas, or stand behind #### or in \\boxed{}");
    }
    chosen("exact", "answers are texts, compared as they stand")
}

/// The verifier that all tasks name, as those of a known layout do.
fn named(tasks: &[Task]) -> Option<String> {
    let kind = |task: &Task| task.columns.get("kind").and_then(Value::as_str).map(str::to_owned);
    let first = kind(tasks.first()?)?;
    (KINDS.contains(&first.as_str()) && tasks.iter().all(|task| kind(task).as_deref() == Some(&first)))
        .then_some(first)
}

/// Whether a verifier says that the answers are right answers.
fn reads(kind: &str, tasks: &[Task]) -> bool {
    let Ok(verifier) = by_name(kind) else { return false };
    most(tasks, |task| verifier.verify(task, &Response::finished(&task.answer)).outcome == Outcome::Correct)
}

fn most(tasks: &[Task], holds: impl Fn(&Task) -> bool) -> bool {
    let count = tasks.iter().filter(|task| holds(task)).count();
    count > 0 && count as f64 >= MOST * tasks.len() as f64
}

/// How many letters there are to choose from, where answers are letters and prompts show what they stand for.
fn letters(tasks: &[Task]) -> Option<u8> {
    let any = MultipleChoice { choices: 26 };
    let is_letter = |task: &Task| {
        let gold = any.verify(task, &Response::finished(&task.answer));
        gold.outcome == Outcome::Correct
            && task.answer.trim_matches(|c: char| !c.is_alphanumeric()).len() == 1
    };
    let shows = |task: &Task| {
        let text = task.prompt.text();
        let marked =
            |letter: char| [')', '.', ':'].iter().any(|mark| text.contains(&format!("{letter}{mark}")));
        marked('A') && marked('B')
    };
    if !most(tasks, |task| is_letter(task) && shows(task)) {
        return None;
    }
    let highest = |task: &Task| {
        let gold = task.answer.chars().find(char::is_ascii_alphabetic)?.to_ascii_uppercase();
        let text = task.prompt.text();
        let shown = ('A'..='Z')
            .take_while(|letter| [')', '.', ':'].iter().any(|m| text.contains(&format!("{letter}{m}"))));
        shown.last().max(Some(gold))
    };
    let last = tasks.iter().filter_map(highest).max()?;
    Some((last as u8 - b'A' + 1).clamp(2, 26))
}

/// Whether answers are worked out in sentences: the file has worked solutions, or its questions are long.
pub(super) fn are_worked_out(kind: &str, tasks: &[Task]) -> bool {
    let worked = tasks
        .iter()
        .filter(|task| task.columns.get("solution").and_then(Value::as_str).is_some_and(|s| s.len() > 80));
    kind == "math" || kind == "gsm8k" || 2 * worked.count() > tasks.len().max(1) || are_long(tasks)
}

/// Whether questions are long.
fn are_long(tasks: &[Task]) -> bool {
    super::look::median(tasks.iter().map(words)) >= LONG_QUESTION
}

/// The column of tests, where the rows are about programs.
pub(super) fn tests(tasks: &[Task]) -> Option<&'static str> {
    ["tests", "test_cases", "test_list", "test"].into_iter().find(|name| {
        tasks.first().is_some_and(|task| {
            task.columns.contains_key(*name) && (*name != "test" || task.columns.contains_key("entry_point"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{are_worked_out, choose, tests};
    use ruminate_data::Task;
    use ruminate_data::jsonl::parse_task;

    fn tasks(rows: &[&str]) -> Vec<Task> {
        rows.iter().map(|row| parse_task(row).expect("a task")).collect()
    }

    #[test]
    fn the_verifier_is_the_one_that_reads_the_answers() {
        let choices = "A) 3 B) 4 C) 5 D) 6";
        for (rows, kind) in [
            (
                vec![r#"{"prompt": "2+2=", "answer": "4"}"#, r#"{"prompt": "a", "answer": -1.5}"#],
                "last_number",
            ),
            (vec![r#"{"prompt": "p", "answer": "1,234"}"#, r#"{"prompt": "q", "answer": 3}"#], "last_number"),
            (vec![r#"{"question": "q", "answer": "2 and 2\n#### 4"}"#], "math"),
            (vec![r#"{"prompt": "q", "answer": "2 and 2\n#### 4"}"#], "math"),
            (
                vec![
                    r#"{"prompt": "q", "answer": "\\boxed{\\frac{1}{2}}"}"#,
                    r#"{"prompt": "q", "answer": "3/4"}"#,
                ],
                "math",
            ),
            (vec![r#"{"prompt": "capital of France?", "answer": "Paris"}"#], "exact"),
            (vec![r#"{"prompt": "the first letter of Berlin?", "answer": "B"}"#], "exact"),
            (vec![r#"{"prompt": "make 24", "answer": "", "numbers": [1, 2], "target": 24}"#], "countdown"),
            (vec![r#"{"prompt": "p", "answer": "x", "kind": "regex"}"#], "regex"),
        ] {
            assert_eq!(choose(&tasks(&rows)).kind, kind, "{rows:?}");
        }
        let row = |answer: &str, more: &str| {
            format!(r#"{{"prompt": "2+2? {choices}{more}", "answer": "{answer}"}}"#)
        };
        let four = [row("B", ""), row("(D)", "")];
        let chosen = choose(&tasks(&four.each_ref().map(String::as_str)));
        assert_eq!((chosen.kind.as_str(), chosen.choices), ("choice", 4));
        let six = [row("B", " E) 7 F) 8")];
        assert_eq!(choose(&tasks(&six.each_ref().map(String::as_str))).choices, 6);
        // One text among many numbers is a row that cannot be judged, not another verifier.
        let mut many: Vec<String> =
            (0..40).map(|i| format!(r#"{{"prompt": "{i}", "answer": {i}}}"#)).collect();
        many.push(r#"{"prompt": "p", "answer": "many"}"#.to_owned());
        assert_eq!(choose(&tasks(&many.iter().map(String::as_str).collect::<Vec<_>>())).kind, "last_number");
        assert_eq!(choose(&[]).kind, "exact");
    }

    #[test]
    fn long_questions_and_worked_solutions_are_worked_out() {
        let sums = tasks(&[r#"{"prompt": "What is 9 + 10? Reply with the number.", "answer": "19"}"#]);
        assert!(!are_worked_out("last_number", &sums));
        let story = format!(r#"{{"prompt": "{}", "answer": "19"}}"#, "Ann has eggs and ".repeat(10));
        assert!(are_worked_out("last_number", &tasks(&[&story])));
        let solved = format!(r#"{{"prompt": "q", "answer": "1", "solution": "{}"}}"#, "step ".repeat(30));
        assert!(are_worked_out("last_number", &tasks(&[&solved])));
    }

    #[test]
    fn rows_about_programs_are_known_by_their_tests() {
        let row = |columns: &str| tasks(&[&format!(r#"{{"prompt": "p", "answer": "a", {columns}}}"#)]);
        assert_eq!(tests(&row(r#""test_list": ["assert f(1) == 2"]"#)), Some("test_list"));
        assert_eq!(tests(&row(r#""test": "def check(c): ...", "entry_point": "f""#)), Some("test"));
        assert_eq!(tests(&row(r#""test": 3"#)), None);
    }
}
