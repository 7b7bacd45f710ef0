//! Rewards over a group: they depend on whether the answer is right, or on the other completions of the task. They come
//! second, after the verifiers have judged the whole group, so that an answer is judged once, and do not know how.

pub(crate) mod length;

use crate::verifier::Response;
use ruminate_data::{Outcome, Task};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A completion of a group after the verifiers.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What the policy wrote.
    pub response: Response<'a>,
    /// The outcome of the rubric's first verifier.
    pub outcome: Outcome,
}

/// A reward over the completions of one task. Total, and linear in their number and length.
pub trait GroupReward: Send + Sync {
    /// The name under which its score is reported (`rewards/<name>/mean`).
    fn name(&self) -> &str;

    /// Returns one score per member, in their order, or the reason for none. A member whose outcome is unscored must
    /// change nothing for the others.
    fn scores(&self, task: &Task, group: &[Member<'_>]) -> Vec<Result<f64, String>>;

    /// The highest score there is.
    fn best(&self) -> f64 {
        1.0
    }
}

/// Computes a group reward so that the caller survives it: a panic, a missing score and a score that is no number are
/// errors.
pub(crate) fn guarded(
    reward: &dyn GroupReward,
    task: &Task,
    group: &[Member<'_>],
) -> Vec<Result<f64, String>> {
    let scores = match catch_unwind(AssertUnwindSafe(|| reward.scores(task, group))) {
        Ok(scores) if scores.len() == group.len() => scores,
        Ok(scores) => {
            vec![Err(format!("gave {} scores for {} completions", scores.len(), group.len())); group.len()]
        }
        Err(_) => vec![Err("panicked".to_owned()); group.len()],
    };
    let finite =
        |score: f64| if score.is_finite() { Ok(score) } else { Err(format!("gave the score {score}")) };
    scores.into_iter().map(|score| score.and_then(finite)).collect()
}

/// Tokens of a member whose answer was judged.
pub(crate) fn judged_tokens(member: &Member<'_>) -> Result<usize, String> {
    if member.outcome == Outcome::Unscored {
        return Err("the answer is unscored".to_owned());
    }
    member.response.tokens.count().ok_or_else(|| "needs the number of tokens (`tokens`)".to_owned())
}
