//! Rewards of length in tokens: Kimi's over a group, and the cosine schedule. They know nothing of text.

use crate::group::{GroupReward, Member, judged_tokens};
use ruminate_data::{Outcome, Task};
use std::f64::consts::PI;

/// Kimi 1.5's length reward (arXiv 2501.12599, section 2.3.3): with lambda = 0.5 - (len - min) / (max - min) over
/// the completions of a task, lambda for a correct one, min(0, lambda) for a wrong one, and 0 for all where all are
/// of one length.
///
/// Lengths are tokens, as in the paper; completions without a verdict are left out of min and max.
#[derive(Clone, Copy, Debug, Default)]
pub struct Length;

impl GroupReward for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn scores(&self, _task: &Task, group: &[Member<'_>]) -> Vec<Result<f64, String>> {
        let lengths: Vec<Result<usize, String>> = group.iter().map(judged_tokens).collect();
        let known = || lengths.iter().flatten().copied();
        let (min, max) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        let score = |(length, member): (Result<usize, String>, &Member<'_>)| {
            length.map(|length| kimi(length, min, max, member.outcome))
        };
        lengths.into_iter().zip(group).map(score).collect()
    }

    fn best(&self) -> f64 {
        0.5
    }
}

/// Kimi's reward of a length between the group's shortest and longest.
fn kimi(length: usize, min: usize, max: usize, outcome: Outcome) -> f64 {
    if min == max {
        return 0.0;
    }
    let lambda = 0.5 - (length - min) as f64 / (max - min) as f64;
    if outcome == Outcome::Correct { lambda } else { lambda.min(0.0) }
}

/// The cosine schedule (arXiv 2502.03373, appendix C.1; TRL's `get_cosine_scaled_reward`): right answers earn more
/// the shorter they are, wrong ones lose less the longer they tried.
///
/// `low + (high - low) / 2 * (1 + cos(pi * len / max_len))`, from `high` at no token to `low` at `max_len`; for wrong
/// answers from `min_value_wrong` to `max_value_wrong`. Beyond `max_len` it stays: unclamped, the cosine would rise
/// again and pay for length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Tokens at which the schedule ends.
    pub max_len: usize,
    /// A wrong answer without length.
    pub min_value_wrong: f64,
    /// A wrong answer of `max_len` tokens.
    pub max_value_wrong: f64,
    /// A right answer of `max_len` tokens.
    pub min_value_correct: f64,
    /// A right answer without length.
    pub max_value_correct: f64,
}

impl Cosine {
    /// TRL's values over that many tokens.
    pub fn new(max_len: usize) -> Self {
        Self {
            max_len,
            min_value_wrong: -1.0,
            max_value_wrong: -0.5,
            min_value_correct: 0.5,
            max_value_correct: 1.0,
        }
    }

    fn score(&self, length: usize, outcome: Outcome) -> f64 {
        let (start, end) = match outcome {
            Outcome::Correct => (self.max_value_correct, self.min_value_correct),
            _ => (self.min_value_wrong, self.max_value_wrong),
        };
        let progress = (length as f64 / self.max_len.max(1) as f64).min(1.0);
        end + (start - end) / 2.0 * (1.0 + (PI * progress).cos())
    }
}

impl GroupReward for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn scores(&self, _task: &Task, group: &[Member<'_>]) -> Vec<Result<f64, String>> {
        let score =
            |member: &Member<'_>| judged_tokens(member).map(|length| self.score(length, member.outcome));
        group.iter().map(score).collect()
    }

    fn best(&self) -> f64 {
        let Self { min_value_wrong, max_value_wrong, min_value_correct, max_value_correct, .. } = *self;
        min_value_wrong.max(max_value_wrong).max(min_value_correct).max(max_value_correct)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cosine, Length};
    use crate::group::{GroupReward, Member};
    use crate::verifier::{Response, Tokens};
    use ruminate_data::{Outcome, Prompt, Task};

    fn scores(reward: &dyn GroupReward, group: &[(usize, Outcome)]) -> Vec<Option<f64>> {
        let member = |&(tokens, outcome): &(usize, Outcome)| Member {
            response: Response { tokens: Tokens::Count(tokens), ..Response::finished("") },
            outcome,
        };
        let members: Vec<Member<'_>> = group.iter().map(member).collect();
        let task = Task {
            prompt: Prompt::Text(String::new()),
            answer: String::new(),
            columns: serde_json::Map::new(),
        };
        reward.scores(&task, &members).into_iter().map(Result::ok).collect()
    }

    use Outcome::{Correct, Unscored, Wrong};

    #[test]
    fn kimis_length_is_relative_to_the_group() {
        // min 100, max 300; lambda: 0.5, 0.25, -0.5, 0.5, -0.5
        let group = [(100, Correct), (150, Correct), (300, Correct), (100, Wrong), (300, Wrong)];
        let expected = [0.5, 0.25, -0.5, 0.0, -0.5].map(Some);
        assert_eq!(scores(&Length, &group), expected);
        assert_eq!(scores(&Length, &[(70, Correct), (70, Wrong)]), [Some(0.0), Some(0.0)]);
        assert_eq!(scores(&Length, &[(70, Correct)]), [Some(0.0)]);
        assert_eq!(scores(&Length, &[]), []);
    }

    #[test]
    fn an_unscored_sibling_changes_no_length() {
        let group = [(100, Correct), (9_999, Unscored), (200, Correct)];
        assert_eq!(scores(&Length, &group), [Some(0.5), None, Some(-0.5)]);
    }

    #[test]
    fn the_cosine_falls_for_right_answers_rises_for_wrong_ones_and_stays() {
        // TRL's documented example: 50 of 100 tokens are the middle of either range.
        let near = |found: Vec<Option<f64>>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                assert!(found.is_some_and(|found| (found - expected).abs() < 1e-12), "{found:?} {expected}");
            }
        };
        let cosine = Cosine::new(100);
        let lengths = |outcome| [0, 50, 100, 150, 200, usize::MAX].map(|length| (length, outcome));
        near(scores(&cosine, &lengths(Correct)), &[1.0, 0.75, 0.5, 0.5, 0.5, 0.5]);
        near(scores(&cosine, &lengths(Wrong)), &[-1.0, -0.75, -0.5, -0.5, -0.5, -0.5]);
        assert_eq!(scores(&cosine, &[(1, Unscored)]), [None]);
    }
}
