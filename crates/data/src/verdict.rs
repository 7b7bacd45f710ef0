//! What a verifier says of a completion.

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
    /// Nobody can say: the gold does not parse, a budget ran out, a sandbox failed. It masks the sample and
    /// never becomes a zero reward.
    Unscored,
}

/// A judged completion: the outcome, the scalar that trains, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the task is solved.
    pub outcome: Outcome,
    /// The reward: the weighted sum of `rewards` for a rubric, the verifier's own score otherwise.
    /// 0 when unscored, and then nobody may use it.
    pub score: f64,
    /// The piece of the completion that was judged.
    pub extracted: Option<String>,
    /// The reason in words.
    pub why: String,
    /// Every component by name with its unweighted score (`rewards/<name>/mean`), weight-0 measures included.
    pub rewards: Vec<(String, f64)>,
}

impl Verdict {
    /// Whether the sample may train.
    pub fn is_scored(&self) -> bool {
        self.outcome != Outcome::Unscored
    }

    /// The component of that name.
    pub fn reward(&self, name: &str) -> Option<f64> {
        self.rewards.iter().find(|(n, _)| n == name).map(|&(_, score)| score)
    }
}

/// Who judges completions, group by group: a group is the completions of one task, which are compared with each other.
///
/// A closure that judges one completion is one, too.
pub trait Score {
    /// One verdict a completion, group by group, in the order given. Groups come in any number of calls, several at once so
    /// that they can be judged in parallel; a group's verdicts depend on that group alone.
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>>;

    /// The weights of the components in [`Verdict::rewards`], for whoever normalises them before they are summed; none
    /// where the score is all there is.
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
