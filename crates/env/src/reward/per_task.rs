//! The verifier of a mixture of tasks: each task's own, named in its column `kind`.

use crate::Error;
use ruminate_data::procedural::{NAMES, PER_TASK, by_name};
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_reward::{Response, Verifier};
use serde_json::Value;

/// Asks the verifier of a task's kind.
pub(crate) struct PerTask {
    by_kind: Vec<(&'static str, Box<dyn Verifier>)>,
}

impl PerTask {
    /// With the verifiers of all procedural families.
    ///
    /// # Errors
    /// None for families whose verifiers exist.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut by_kind: Vec<(&'static str, Box<dyn Verifier>)> = Vec::new();
        for name in NAMES {
            let kind = by_name(name, &Value::Null)?.verifier_kind();
            if !by_kind.iter().any(|(known, _)| *known == kind) {
                by_kind.push((kind, ruminate_reward::by_name(kind)?));
            }
        }
        Ok(Self { by_kind })
    }
}

impl Verifier for PerTask {
    fn name(&self) -> &'static str {
        PER_TASK
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let kind = task.columns.get("kind").and_then(Value::as_str).unwrap_or_default();
        match self.by_kind.iter().find(|(known, _)| *known == kind) {
            Some((_, verifier)) => verifier.verify(task, response),
            None => Verdict {
                outcome: Outcome::Unscored,
                score: 0.0,
                extracted: None,
                why: format!("no procedural family is judged by `{kind}`"),
                rewards: Vec::new(),
            },
        }
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        let kind = task.columns.get("kind").and_then(Value::as_str).unwrap_or_default();
        match self.by_kind.iter().find(|(known, _)| *known == kind) {
            Some((_, verifier)) => verifier.check_gold(task),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PerTask;
    use ruminate_data::procedural::{Family, Member, Mixture, by_name};
    use ruminate_data::{Outcome, Seed};
    use ruminate_reward::{Response, Verifier};
    use serde_json::json;

    #[test]
    fn each_task_is_judged_by_its_own_verifier() {
        let member = |name: &str| Member {
            name: name.to_owned(),
            family: by_name(name, &json!({})).expect("a family"),
            weight: 1.0,
        };
        let mixture = Mixture::new(vec![member("countdown"), member("gcd")]).expect("two members");
        let judge = PerTask::new().expect("verifiers exist");
        for index in 0..40 {
            let task = mixture.generate(&mut Seed::new(0).index(index).rng()).expect("a task");
            let text = format!("<think>x</think><answer>{}</answer>", task.answer);
            assert_eq!(judge.verify(&task, &Response::finished(&text)).outcome, Outcome::Correct, "{task:?}");
            let wrong = "<think>x</think><answer>1000001</answer>";
            assert_eq!(judge.verify(&task, &Response::finished(wrong)).outcome, Outcome::Wrong);
        }
        let mut foreign = mixture.generate(&mut Seed::new(0).rng()).expect("a task");
        foreign.columns.insert("kind".to_owned(), json!("astrology"));
        assert_eq!(judge.verify(&foreign, &Response::finished("4")).outcome, Outcome::Unscored);
    }
}
