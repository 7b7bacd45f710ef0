//! An endless stream of one family's problems of one split, by index: a data cursor is one integer.

use super::Family;
use crate::split::{Shares, Split};
use crate::{Error, Seed, Task};
use std::{collections::HashSet, sync::Arc};

/// Draws before a split counts as empty; the chance to miss a share of 1 in 1,000 is e^-100.
const SPLIT_ATTEMPTS: usize = 100_000;

/// Draws in a row without a new problem before a family counts as exhausted.
const DRY_DRAWS: usize = 10_000;

/// Problems of one split, by index. The same seed, family and split give the same problem at an index,
/// whatever was asked before.
#[derive(Clone, Debug)]
pub struct Stream {
    family: Arc<dyn Family>,
    split: Split,
    shares: Shares,
    seed: Seed,
}

impl Stream {
    /// The stream of a family in a split. Streams of different splits may share a seed.
    ///
    /// # Errors
    /// [`Error::Params`] when the shares are no shares.
    pub fn new(family: Arc<dyn Family>, split: Split, shares: Shares, seed: Seed) -> Result<Self, Error> {
        shares.validate()?;
        Ok(Self { family, split, shares, seed: seed.child("procedural").child(split.seed_name()) })
    }

    /// The problem at an index.
    ///
    /// # Errors
    /// [`Error::EmptySplit`] when drawing finds no problem of the split, and the errors of
    /// [`Family::generate`].
    pub fn task(&self, index: u64) -> Result<Task, Error> {
        let mut rng = self.seed.index(index).rng();
        for _ in 0..SPLIT_ATTEMPTS {
            let task = self.family.generate(&mut rng)?;
            if self.shares.split_of(&task.prompt.text()) == self.split {
                return Ok(task);
            }
        }
        Err(Error::EmptySplit { family: self.family.name(), split: self.split, attempts: SPLIT_ATTEMPTS })
    }

    /// The first `n` problems of the stream with distinct prompts: an evaluation set.
    ///
    /// # Errors
    /// [`Error::TooFewProblems`] when 10,000 draws in a row bring nothing new, and the errors of
    /// [`Stream::task`].
    pub fn distinct(&self, n: usize) -> Result<Vec<Task>, Error> {
        let (mut tasks, mut seen, mut dry) = (Vec::new(), HashSet::new(), 0);
        for index in 0.. {
            if tasks.len() == n {
                break;
            }
            let task = self.task(index)?;
            if seen.insert(task.prompt.text()) {
                tasks.push(task);
                dry = 0;
            } else {
                dry += 1;
            }
            if dry == DRY_DRAWS {
                let (family, found) = (self.family.name(), tasks.len());
                return Err(Error::TooFewProblems { family, split: self.split, found, wanted: n });
            }
        }
        Ok(tasks)
    }

    /// The family that the problems are drawn from.
    pub fn family(&self) -> &Arc<dyn Family> {
        &self.family
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::Stream;
    use crate::procedural::{ChainSum, NAMES, by_name};
    use crate::split::{Shares, Split, is_validation};
    use crate::{Error, Seed};
    use serde_json::{Value, json};
    use std::{collections::HashSet, sync::Arc};

    fn tiny(split: Split, seed: u64) -> Stream {
        Stream::new(Arc::new(ChainSum::tiny()), split, Shares::default(), Seed::new(seed)).unwrap()
    }

    #[test]
    fn no_validation_problem_is_in_a_training_stream() {
        for &name in NAMES {
            for seed in 0..3 {
                let family = by_name(name, &Value::Null).unwrap();
                let stream = Stream::new(family, Split::Train, Shares::default(), Seed::new(seed)).unwrap();
                for index in 0..2_000 {
                    let prompt = stream.task(index).unwrap().prompt.text();
                    assert!(!is_validation(&prompt, 0.2), "{name}: {prompt}");
                }
            }
        }
    }

    #[test]
    fn the_three_splits_are_disjoint_whatever_the_seeds() {
        let train: HashSet<_> =
            (0..20_000).map(|i| tiny(Split::Train, i % 3).task(i).unwrap().prompt.text()).collect();
        let texts = |tasks: Vec<crate::Task>| tasks.iter().map(|t| t.prompt.text()).collect::<HashSet<_>>();
        let validation = texts(tiny(Split::Validation, 7).distinct(1_000).unwrap());
        let test = texts(tiny(Split::Test, 7).distinct(1_000).unwrap());
        assert!(train.len() > 15_000, "the stream repeats itself: {}", train.len());
        assert_eq!((validation.len(), test.len()), (1_000, 1_000));
        assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
    }

    #[test]
    fn an_index_gives_the_same_problem_in_any_order() {
        let forward: Vec<_> = (0..50).map(|i| tiny(Split::Train, 1).task(i).unwrap()).collect();
        let stream = tiny(Split::Train, 1);
        let mut backward: Vec<_> = (0..50).rev().map(|i| stream.task(i).unwrap()).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_ne!(forward[0], tiny(Split::Train, 2).task(0).unwrap());
    }

    #[test]
    fn a_family_too_small_for_the_set_says_how_many_it_has() {
        let family = by_name("gcd", &json!({"max_value": 4})).unwrap();
        let stream = Stream::new(family, Split::Train, Shares::default(), Seed::new(0)).unwrap();
        match stream.distinct(100) {
            Err(Error::TooFewProblems { found, wanted: 100, .. }) => {
                assert!((8..=16).contains(&found), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_split_without_problems_is_an_error_and_not_a_loop() {
        let shares = Shares { validation: 0.0, test: 0.0 };
        let family = by_name("gcd", &Value::Null).unwrap();
        let stream = Stream::new(family, Split::Validation, shares, Seed::new(0)).unwrap();
        assert!(matches!(stream.task(0), Err(Error::EmptySplit { .. })));
    }
}
