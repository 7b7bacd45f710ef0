//! DAPO's punishment of completions that are too long, in tokens. It knows nothing of text.

use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};

/// DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13; TRL's `get_soft_overlong_punishment`): 0 up to
/// `max_completion_len - soft_punish_cache` tokens, from there linearly down to -1 at `max_completion_len`, and -1
/// beyond. Correct where nothing is punished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlong {
    /// Tokens from which the punishment is whole (L_max).
    pub max_completion_len: usize,
    /// Width of the slope before it, in tokens (L_cache).
    pub soft_punish_cache: usize,
}

impl Default for Overlong {
    /// The paper's: 20,480 tokens, the last 4,096 of them on the slope.
    fn default() -> Self {
        Self { max_completion_len: 20_480, soft_punish_cache: 4_096 }
    }
}

impl Overlong {
    fn score(&self, length: usize) -> f64 {
        let free = self.max_completion_len.saturating_sub(self.soft_punish_cache);
        if length <= free {
            0.0
        } else if length >= self.max_completion_len {
            -1.0
        } else {
            -((length - free) as f64) / self.soft_punish_cache as f64
        }
    }
}

impl Verifier for Overlong {
    fn name(&self) -> &'static str {
        "overlong"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        let Some(length) = response.tokens.count() else {
            return Verdict::unscored("needs the number of tokens (`tokens`)");
        };
        let score = self.score(length);
        let outcome = if score == 0.0 { Outcome::Correct } else { Outcome::Wrong };
        let limit = self.max_completion_len;
        verdict(outcome, score, None, format!("{length} tokens, where {limit} are the limit"))
    }
}

#[cfg(test)]
mod tests {
    use super::Overlong;

    #[test]
    fn overlong_slopes_to_minus_one_and_stays_there() {
        // TRL's documented example: 90 tokens of 100 with a cache of 20 cost a half.
        let overlong = Overlong { max_completion_len: 100, soft_punish_cache: 20 };
        for (length, expected) in [(0, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (101, -1.0)] {
            assert_eq!(overlong.score(length), expected, "{length}");
        }
        assert_eq!(overlong.score(usize::MAX), -1.0, "verl's has no floor");
        let no_slope = Overlong { max_completion_len: 100, soft_punish_cache: 0 };
        assert_eq!([no_slope.score(100), no_slope.score(101)], [0.0, -1.0]);
    }
}
