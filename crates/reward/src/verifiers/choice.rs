//! Multiple choice: a letter, several letters, or the text of an option.

use crate::parse::claim::{self, Choices};
use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde_json::Value;
use std::collections::BTreeSet;

/// Correct when the response commits to the answer's letter and to no other; score 1 or 0.
///
/// Looked at is the content of `<answer>`, or what follows the thought; in it the last box, then the last line with a
/// claim (`the answer is C`, `I would pick C`, `答案：C`), then the whole text as a letter (`(c)`), a letter with its text
/// (`C. Paris`) or the text of an option. A letter is claimed only before the end, punctuation, a reason or its option's
/// text; one that merely occurs is no answer, and `A or C` is none.
///
/// The task's answer is a letter, a letter with its text, several letters (`AC`, `A, C`; then all of them and no other
/// are right), the index of an option from 0, or, where the task has a column `choices` or `options` that is a list of
/// texts, the text of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipleChoice {
    /// How many letters there are to choose from, from A. A longer list of options has as many.
    pub choices: u8,
}

impl Default for MultipleChoice {
    fn default() -> Self {
        Self { choices: 4 }
    }
}

impl Verifier for MultipleChoice {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let choices = self.of(task);
        let gold = match gold(&task.answer, &choices) {
            Ok(gold) => gold,
            Err(why) => return Verdict::unscored(why),
        };
        let text = match tags::final_text(response.text, response.opening()) {
            Ok(text) => text,
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        let claimed = if gold.len() > 1 {
            claim::several(text, &choices)
        } else {
            claim::one(text, &choices).map(|letter| BTreeSet::from([letter]))
        };
        let letters = |set: &BTreeSet<char>| set.iter().collect::<String>();
        match claimed {
            Ok(claimed) if claimed == gold => {
                verdict(Outcome::Correct, 1.0, Some(&letters(&claimed)), "equal to the answer")
            }
            Ok(claimed) => {
                verdict(Outcome::Wrong, 0.0, Some(&letters(&claimed)), format!("expected {}", letters(&gold)))
            }
            Err(why) => verdict(Outcome::Wrong, 0.0, None, why),
        }
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        gold(&task.answer, &self.of(task)).map(|_| ())
    }
}

impl MultipleChoice {
    /// What there is to choose from in a task.
    fn of(self, task: &Task) -> Choices {
        let list = ["choices", "options"].iter().find_map(|key| task.columns.get(*key)?.as_array());
        let options: Vec<String> =
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let count = self.choices.clamp(1, 26).max(u8::try_from(options.len().min(26)).unwrap_or(26));
        Choices { count, options }
    }
}

/// The letters that the task's answer stands for.
fn gold(answer: &str, choices: &Choices) -> Result<BTreeSet<char>, String> {
    let answer = answer.trim();
    let by_text = choices.by_text(answer);
    let by_index = answer
        .parse::<u8>()
        .ok()
        .filter(|&index| index < choices.count)
        .map(|index| char::from(b'A' + index));
    match (by_index, by_text) {
        (Some(a), Some(b)) if a != b => {
            return Err(format!(
                "the task's answer {answer:?} is the index of one option and the text of another"
            ));
        }
        (Some(letter), _) | (None, Some(letter)) => return Ok(BTreeSet::from([letter])),
        (None, None) => {}
    }
    if let Some(letter) = claim::letter(answer, choices).or_else(|| claim::lettered(answer, choices)) {
        return Ok(BTreeSet::from([letter]));
    }
    claim::letters(answer, choices).ok_or_else(|| {
        let last = char::from(b'A' + choices.count - 1);
        let texts = if choices.options.is_empty() { "" } else { ", nor an option" };
        format!("the task's answer {answer:?} is no letter from A to {last}{texts}")
    })
}
