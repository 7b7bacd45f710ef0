//! Hold-out by problem, never by row: a problem's text decides its split, whatever stream it turns up in.
//!
//! The rule, which must not change: take the UTF-8 bytes of the prompt's text with every run of white space
//! made one space and none at the ends; FNV-1a (64 bits) then SplitMix64's finaliser; its upper 53 bits over
//! 2^53 are a number u in [0, 1). `validation` is u < `validation`, `test` the share above it, `train` the rest.
//!
//! This module does not know how problems are made; see [`crate::procedural::Stream`].

use crate::{Error, seed::stable_hash};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which part of all problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What training sees.
    Train,
    /// What evaluation during development sees.
    Validation,
    /// Read by final figures alone: nothing is tuned on it.
    Test,
}

impl Split {
    /// The name in recipes and in `eval.jsonl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// What the problems of a split are drawn under: the names of version 0.1, so that a seed still draws what it drew.
    pub(crate) fn seed_name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "held_out",
            Self::Test => "fresh",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shares of problems that training never sees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Share of the problems that evaluations during development ask, 0 to 1.
    pub validation: f64,
    /// Share of the problems that are kept for final figures, 0 to 1.
    pub test: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.1 }
    }
}

impl Shares {
    /// Checks that both are shares and leave something to train on.
    ///
    /// # Errors
    /// [`Error::Params`] for a share that is negative or not finite, or when they sum to 1 or more.
    pub fn validate(&self) -> Result<(), Error> {
        let good = |share: f64| share.is_finite() && share >= 0.0;
        if good(self.validation) && good(self.test) && self.validation + self.test < 1.0 {
            return Ok(());
        }
        Err(Error::Params {
            of: "split",
            problem: format!(
                "expected shares of at least 0 that sum to less than 1, found validation = {}, test = {}",
                self.validation, self.test
            ),
        })
    }

    /// The split of the problem with this prompt ([`crate::Prompt::text`]).
    pub fn split_of(&self, prompt: &str) -> Split {
        let u = position(prompt);
        if u < self.validation {
            Split::Validation
        } else if u < self.validation + self.test {
            Split::Test
        } else {
            Split::Train
        }
    }
}

/// Whether a problem belongs to the share `fraction` that is held out: the same problems as
/// [`Shares::split_of`] puts into [`Split::Validation`].
pub fn is_validation(prompt: &str, fraction: f64) -> bool {
    position(prompt) < fraction
}

/// Where in [0, 1) a prompt's hash lies.
fn position(prompt: &str) -> f64 {
    // White space is levelled so that a copy with another line end does not cross from one split to another.
    let words = prompt.split_whitespace().enumerate();
    let bytes = words.flat_map(|(i, word)| (i > 0).then_some(b' ').into_iter().chain(word.bytes()));
    (stable_hash(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{Shares, Split, is_validation, position};
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    #[test]
    fn the_rule_never_changes() {
        // Computed by the rule in the module's page, independently of this code.
        assert_eq!(position(""), 0.957_673_425_242_056_1);
        assert_eq!(position("14-8+1+2-6="), 0.022_803_899_409_400_53);
    }

    #[test]
    fn one_problem_in_ten_is_for_validation_and_one_in_ten_for_the_test() {
        let count =
            |split| (0..20_000).filter(|i| Shares::default().split_of(&format!("{i}+1=")) == split).count();
        assert!((1_850..2_150).contains(&count(Split::Validation)), "{}", count(Split::Validation));
        assert!((1_850..2_150).contains(&count(Split::Test)), "{}", count(Split::Test));
    }

    #[test]
    fn shares_that_leave_nothing_to_train_on_are_refused() {
        for (validation, test) in [(0.5, 0.5), (-0.1, 0.1), (f64::NAN, 0.1), (0.1, f64::INFINITY)] {
            assert!(Shares { validation, test }.validate().is_err(), "{validation} {test}");
        }
        assert!(Shares { validation: 0.0, test: 0.0 }.validate().is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn both_questions_have_one_answer(prompt in any::<String>(), validation in 0.0..0.9) {
            let shares = Shares { validation, test: 0.1 };
            prop_assert_eq!(is_validation(&prompt, validation), shares.split_of(&prompt) == Split::Validation);
        }

        #[test]
        fn white_space_does_not_move_a_problem(words in proptest::collection::vec("[a-z0-9]{1,5}", 0..6)) {
            let spread = format!(" {}\r\n", words.join("\t\n "));
            prop_assert_eq!(position(&words.join(" ")), position(&spread));
        }
    }
}
