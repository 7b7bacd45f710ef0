//! A verifier for tasks that accept several answers.

use ruminate_data::{Outcome, Task, Verdict};
use ruminate_reward::{Response, Verifier};
use serde_json::Value;

/// Judges by each answer of the column `answers`, a list of texts, and is correct where one of them is; by the task's
/// answer where there is no such list.
pub(crate) struct AnyOf(pub(crate) Box<dyn Verifier>);

impl Verifier for AnyOf {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let answers = task.columns.get("answers").and_then(Value::as_array);
        let answers: Vec<&str> = answers.into_iter().flatten().filter_map(Value::as_str).collect();
        if answers.len() < 2 {
            return self.0.verify(task, response);
        }
        // The best of them: correct, else wrong with its score, else unscored.
        let rank = |verdict: &Verdict| match verdict.outcome {
            Outcome::Correct => 2,
            Outcome::Wrong => 1,
            Outcome::Unscored => 0,
        };
        let mut best: Option<Verdict> = None;
        for answer in answers {
            let one = Task { answer: answer.to_owned(), ..task.clone() };
            let verdict = self.0.verify(&one, response);
            let is_better = best.as_ref().is_none_or(|best| {
                rank(&verdict) > rank(best) || (rank(&verdict) == rank(best) && verdict.score > best.score)
            });
            if is_better {
                best = Some(verdict);
            }
            if best.as_ref().is_some_and(|best| best.outcome == Outcome::Correct) {
                break;
            }
        }
        best.unwrap_or_else(|| self.0.verify(task, response))
    }
}

#[cfg(test)]
mod tests {
    use super::AnyOf;
    use ruminate_data::{Outcome, Task};
    use ruminate_reward::{Response, Verifier, by_name};
    use serde_json::json;

    #[test]
    fn one_of_several_answers_is_enough_and_none_of_them_is_wrong() {
        let judge = AnyOf(by_name("last_number").expect("known"));
        let verdict = |answers: serde_json::Value, text: &str| {
            let task = Task::new("q", "42").with_column("answers", answers);
            judge.verify(&task, &Response::finished(text)).outcome
        };
        assert_eq!(verdict(json!(["42", "43"]), "so 43"), Outcome::Correct);
        assert_eq!(verdict(json!(["42", "43"]), "so 44"), Outcome::Wrong);
        assert_eq!(verdict(json!(["many", "43"]), "so 44"), Outcome::Wrong, "what can be read decides");
        assert_eq!(verdict(json!(["many", "more"]), "so 44"), Outcome::Unscored);
        assert_eq!(verdict(json!("other"), "so 42"), Outcome::Correct, "the task's own");
    }
}
