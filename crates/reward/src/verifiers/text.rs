//! Short answers as text, compared as SQuAD compares them.

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// What an answer is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// 1 where the answers are equal, else 0.
    #[default]
    ExactMatch,
    /// The harmonic mean of precision and recall over words.
    F1,
}

/// Compares the answer with the task's, and with each of its column `answers`, after SQuAD's normalisation: lower case,
/// no ASCII punctuation, no articles (`a`, `an`, `the`), single spaces. The best of the answers counts.
///
/// Correct is an exact match, or an F1 from [`threshold`](Self::threshold); the score is that of [`Metric`]. Source:
/// Rajpurkar et al. 2016, arXiv 1606.05250, and SQuAD's evaluation script.
///
/// What is judged is the content of the one `<answer>`, else all that stands behind the thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextMatch {
    /// What the score is.
    pub metric: Metric,
    /// The least F1 that is correct, above 0 and up to 1; only with [`Metric::F1`].
    pub threshold: f64,
}

impl Default for TextMatch {
    fn default() -> Self {
        Self { metric: Metric::default(), threshold: 1.0 }
    }
}

impl Verifier for TextMatch {
    fn name(&self) -> &'static str {
        "text"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let golds = match golds(task) {
            Ok(golds) => golds,
            Err(why) => return Verdict::unscored(why),
        };
        let given = match tags::final_text(response.text, response.opening()) {
            Ok(given) if given.trim().is_empty() => {
                return verdict(Outcome::Wrong, 0.0, None, "the answer is empty");
            }
            Ok(given) => given.trim(),
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        let plain = normalised(given);
        let words: Vec<&str> = plain.split_whitespace().collect();
        let (mut best, mut exact) = (0.0, false);
        for gold in &golds {
            let plain = normalised(gold);
            let gold: Vec<&str> = plain.split_whitespace().collect();
            best = score(&words, &gold).max(best);
            exact = exact || gold == words;
        }
        let (score, is_correct) = match self.metric {
            Metric::ExactMatch => (f64::from(exact), exact),
            Metric::F1 => (best, exact || best >= self.threshold),
        };
        let score = if is_correct { score.max(f64::from(exact)) } else { score };
        let outcome = if is_correct { Outcome::Correct } else { Outcome::Wrong };
        verdict(outcome, score, Some(given), format!("F1 {best:.3} with {}", shown(&golds)))
    }
}

/// The answers that are right, none of them empty once normalised.
fn golds(task: &Task) -> Result<Vec<String>, String> {
    let mut found = vec![task.answer.clone()];
    match task.columns.get("answers") {
        None | Some(Value::Null) => {}
        // SQuAD's own column is {"text": [..], "answer_start": [..]}.
        Some(column) => {
            let list = column.get("text").unwrap_or(column);
            let list = list.as_array().ok_or("expected the task's `answers` to be a list of texts")?;
            for gold in list {
                match gold {
                    Value::String(text) => found.push(text.clone()),
                    Value::Number(number) => found.push(number.to_string()),
                    other => {
                        return Err(format!("expected the task's `answers` to be texts, found {other}"));
                    }
                }
            }
        }
    }
    found.retain(|gold| !gold.trim().is_empty());
    if found.is_empty() {
        return Err("the task has no answer".to_owned());
    }
    match found.iter().find(|gold| normalised(gold).trim().is_empty()) {
        Some(gold) => Err(format!("nothing of the task's answer {gold:?} is left to compare")),
        None => Ok(found),
    }
}

fn shown(golds: &[String]) -> String {
    let first: String = golds.first().map(|gold| gold.chars().take(80).collect()).unwrap_or_default();
    if golds.len() > 1 { format!("{first:?} or {} more", golds.len() - 1) } else { format!("{first:?}") }
}

/// What is left of a text: words between white space.
fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // As in SQuAD's pattern `\b(a|an|the)\b`, an article may stand beside a sign that is no part of a word.
    let mut without = String::with_capacity(kept.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = kept.as_str();
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
        without.push_str(&rest[..start]);
        let word = &rest[start..end];
        without.push_str(if matches!(word, "a" | "an" | "the") { " " } else { word });
        rest = &rest[end..];
    }
    without.push_str(rest);
    without
}

/// F1 over words, with their number.
fn score(given: &[&str], gold: &[&str]) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in gold {
        *left.entry(word).or_default() += 1;
    }
    let common = given.iter().filter(|word| match left.get_mut(**word) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    });
    let common = common.count() as f64;
    if common == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (common / given.len() as f64, common / gold.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::{Metric, TextMatch};
    use crate::{Response, Verifier};
    use ruminate_data::{Outcome, Task, Verdict};
    use serde_json::json;

    fn judged(metric: Metric, task: &Task, text: &str) -> Verdict {
        TextMatch { metric, threshold: 0.6 }.verify(task, &Response::finished(text))
    }

    #[test]
    fn articles_case_punctuation_and_spaces_do_not_count() {
        let task = Task::new("", "The Denver Broncos");
        for text in [
            "denver broncos",
            "<answer>the  Denver Broncos!</answer>",
            "<think>x</think>\n\"Denver\" Broncos.",
        ] {
            assert_eq!(judged(Metric::ExactMatch, &task, text).outcome, Outcome::Correct, "{text}");
        }
        for text in [
            "Broncos",
            "Denver Broncos or Carolina Panthers",
            "",
            "<answer></answer>",
            "<think>Denver Broncos",
        ] {
            assert_eq!(judged(Metric::ExactMatch, &task, text).outcome, Outcome::Wrong, "{text}");
        }
    }

    #[test]
    fn f1_is_squads() {
        // Three of four words, and all three: 2 * 0.75 * 1 / 1.75.
        let task = Task::new("", "in the year 1776").with_column("answers", json!({"text": ["July 4 1776"]}));
        let verdict = judged(Metric::F1, &task, "on July 4, 1776");
        assert_eq!((verdict.outcome, verdict.score), (Outcome::Correct, 1.5 / 1.75));
        let verdict = judged(Metric::F1, &task, "1776 1776 1776");
        assert_eq!((verdict.outcome, verdict.score), (Outcome::Wrong, 1.0 / 3.0));
    }

    #[test]
    fn nothing_to_compare_is_unscored() {
        for task in
            [Task::new("", ""), Task::new("", "the"), Task::new("", "x").with_column("answers", json!([[]]))]
        {
            assert_eq!(judged(Metric::F1, &task, "the").outcome, Outcome::Unscored, "{task:?}");
        }
    }
}
