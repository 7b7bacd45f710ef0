//! What the verdicts of a step say as a whole, and whether their rewards can be compared. It does not know how verdicts come
//! about.

use crate::Error;
use ruminate_data::{Group, Outcome, Verdict};
use std::collections::HashMap;

/// Largest size of a reward. Beyond it the squares of a group's deviations say nothing any more.
pub const MAX_REWARD: f64 = 1e9;

/// The verdicts of a step, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Completions.
    pub completions: usize,
    /// Those with a verdict, correct or wrong.
    pub scored: usize,
    /// Those that are correct.
    pub correct: usize,
    /// The reason that most of the wrong verdicts give, and how many; of equals the one that comes first.
    pub wrong_because: Option<(String, usize)>,
    /// The same of the completions without a verdict.
    pub unscored_because: Option<(String, usize)>,
}

impl Verdicts {
    /// Counts those of groups.
    pub fn of(groups: &[Group]) -> Self {
        let all = || groups.iter().flat_map(|group| &group.verdicts);
        let count = |outcome: Outcome| all().filter(|verdict| verdict.outcome == outcome).count();
        let completions = all().count();
        Self {
            completions,
            scored: completions - count(Outcome::Unscored),
            correct: count(Outcome::Correct),
            wrong_because: most_frequent(all().filter(|verdict| verdict.outcome == Outcome::Wrong)),
            unscored_because: most_frequent(all().filter(|verdict| !verdict.is_scored())),
        }
    }

    /// Completions without a verdict.
    pub fn unscored(&self) -> usize {
        self.completions - self.scored
    }

    /// The error of a run that ends for lack of verdicts.
    pub(crate) fn unscored_error(self, step: usize) -> Error {
        let unscored = self.unscored();
        let why = reason(self.unscored_because);
        Error::Unscored { step, unscored, completions: self.completions, why }
    }

    /// The error of a run that ends because nothing that it samples can teach it.
    pub(crate) fn all_wrong_error(self, step: usize, in_a_row: usize) -> Error {
        Error::AllWrong { step, in_a_row, completions: self.completions, why: reason(self.wrong_because) }
    }
}

/// A most frequent reason, in words.
fn reason(most: Option<(String, usize)>) -> String {
    let why = most.map(|(why, _)| why).filter(|why| !why.is_empty());
    why.unwrap_or_else(|| "none was given".to_owned())
}

/// The reason that most of the verdicts give.
fn most_frequent<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Option<(String, usize)> {
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    for (place, verdict) in verdicts.enumerate() {
        counts.entry(&verdict.why).or_insert((0, place)).0 += 1;
    }
    let most = counts.into_iter().max_by_key(|&(_, (count, place))| (count, std::cmp::Reverse(place)));
    most.map(|(why, (count, _))| (why.to_owned(), count))
}

/// Refuses a reward that is not finite or absurdly large: it would end as a loss that is not finite, which looks like a rate
/// too high.
pub(crate) fn check_rewards(groups: &[Group], step: usize) -> Result<(), Error> {
    let fits = |reward: f64| reward.abs() <= MAX_REWARD; // false for NaN
    let scored = || groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.is_scored());
    match scored().find(|verdict| !fits(verdict.score)) {
        None => Ok(()),
        Some(verdict) => {
            let component = verdict.rewards.iter().find(|(_, reward)| !fits(*reward));
            let component = component.map(|(name, _)| name.clone());
            Err(Error::Reward { step, reward: verdict.score, component })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdicts, check_rewards};
    use crate::Error;
    use ruminate_data::{Group, Outcome, Verdict};

    fn verdict(outcome: Outcome, why: &str, score: f64) -> Verdict {
        let rewards = vec![("form".to_owned(), 0.1), ("judge".to_owned(), score)];
        Verdict { outcome, score, extracted: None, why: why.to_owned(), rewards }
    }

    fn group(verdicts: Vec<Verdict>) -> Group {
        Group { task: 0, completions: Vec::new(), verdicts }
    }

    #[test]
    fn the_most_frequent_reason_is_that_of_its_kind_of_verdict() {
        let wrong = |why| verdict(Outcome::Wrong, why, 0.0);
        let groups = [
            group(vec![wrong("no <answer>"), verdict(Outcome::Correct, "equal", 1.0), wrong("12 is not 13")]),
            group(vec![wrong("no <answer>"), verdict(Outcome::Unscored, "the judge is gone", 0.0)]),
        ];
        let verdicts = Verdicts::of(&groups);
        assert_eq!((verdicts.completions, verdicts.scored, verdicts.correct), (5, 4, 1));
        assert_eq!(verdicts.unscored(), 1);
        assert_eq!(verdicts.wrong_because, Some(("no <answer>".to_owned(), 2)));
        assert_eq!(verdicts.unscored_because, Some(("the judge is gone".to_owned(), 1)));
        let tie = Verdicts::of(&[group(vec![wrong("b"), wrong("a"), wrong("a"), wrong("b")])]);
        assert_eq!(tie.wrong_because, Some(("b".to_owned(), 2)), "the one that comes first");
        assert_eq!(Verdicts::of(&[]), Verdicts::default());
    }

    #[test]
    fn a_reward_that_is_no_number_to_compare_is_named_with_its_component() {
        let of =
            |score| [group(vec![verdict(Outcome::Wrong, "", 0.0), verdict(Outcome::Correct, "", score)])];
        for fine in [0.0, -1e9, 1e9] {
            assert!(check_rewards(&of(fine), 1).is_ok(), "{fine}");
        }
        for absurd in [1e308, -2e9, f64::INFINITY, f64::NAN] {
            let error = check_rewards(&of(absurd), 7).expect_err("absurd");
            assert!(
                matches!(&error, Error::Reward { step: 7, component: Some(name), .. } if name == "judge")
            );
            let message = error.to_string();
            assert!(
                message.contains("of the component `judge`") && message.contains("[reward]"),
                "{message}"
            );
        }
        // What was not scored has no reward.
        assert!(check_rewards(&[group(vec![verdict(Outcome::Unscored, "", f64::NAN)])], 1).is_ok());
    }
}
