//! The judgement of a completion: correct, wrong or unscored, with its reward and the reason.

use crate::{Completion, Task};
use serde::{Deserialize, Serialize};

/// The three answers of a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The completion answers the task.
    Correct,
    /// It does not.
    Wrong,
    /// Not decided: the gold answer does not parse, a budget ran out, a sandbox failed. It masks the sample and
    /// never becomes a zero reward.
    Unscored,
}

/// A judged completion: the outcome, the scalar that trains, and why.
///
/// ```
/// use ruminate_data::{Outcome, Verdict};
///
/// let verdict = Verdict::correct(1.0).with_extracted("12").with_why("equals the answer").with_reward("exact", 1.0);
/// assert_eq!((verdict.outcome, verdict.reward("exact")), (Outcome::Correct, Some(1.0)));
/// assert!(!Verdict::unscored("the sandbox failed").is_scored());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the task is solved.
    pub outcome: Outcome,
    /// The reward: the weighted sum of `rewards` for a rubric, the verifier's own score otherwise.
    /// 0 when unscored, and never used then.
    pub score: f64,
    /// The piece of the completion that was judged.
    pub extracted: Option<String>,
    /// The reason in words.
    pub why: String,
    /// Every component by name with its unweighted score (`rewards/<name>/mean`), weight-0 measures included.
    pub rewards: Vec<(String, f64)>,
}

impl Verdict {
    /// A verdict with that outcome and reward, and neither an extracted answer nor a reason nor components.
    pub fn new(outcome: Outcome, score: f64) -> Self {
        Self { outcome, score, extracted: None, why: String::new(), rewards: Vec::new() }
    }

    /// A correct verdict with that reward.
    pub fn correct(score: f64) -> Self {
        Self::new(Outcome::Correct, score)
    }

    /// A wrong verdict with that reward, which is 0 for most verifiers.
    pub fn wrong(score: f64) -> Self {
        Self::new(Outcome::Wrong, score)
    }

    /// An unscored verdict, and why nothing was decided.
    pub fn unscored(why: impl Into<String>) -> Self {
        Self::new(Outcome::Unscored, 0.0).with_why(why)
    }

    /// Sets the piece of the completion that was judged.
    #[must_use]
    pub fn with_extracted(self, extracted: impl Into<String>) -> Self {
        Self { extracted: Some(extracted.into()), ..self }
    }

    /// Sets the reason in words.
    #[must_use]
    pub fn with_why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// Adds a component with its unweighted score.
    #[must_use]
    pub fn with_reward(mut self, name: impl Into<String>, score: f64) -> Self {
        self.rewards.push((name.into(), score));
        self
    }

    /// Whether the sample may train.
    pub fn is_scored(&self) -> bool {
        self.outcome != Outcome::Unscored
    }

    /// The component of that name.
    pub fn reward(&self, name: &str) -> Option<f64> {
        self.rewards.iter().find(|(n, _)| n == name).map(|&(_, score)| score)
    }
}

/// Judges completions group by group: a group is the completions of one task, which are compared with each other.
///
/// A closure that judges one completion implements it, too.
pub trait Score {
    /// One verdict per completion, group by group, in the order given. Groups come in any number of calls, several at
    /// once so that they can be judged in parallel; a group's verdicts depend on that group alone.
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>>;

    /// The weights of the components in [`Verdict::rewards`], for a caller that normalises them before they are
    /// summed; empty where the score is all there is.
    fn weights(&self) -> Vec<(String, f64)> {
        Vec::new()
    }
}

impl<F: Fn(&Task, &Completion) -> Verdict> Score for F {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        groups
            .iter()
            .map(|(task, group)| group.iter().map(|completion| self(task, completion)).collect())
            .collect()
    }
}
