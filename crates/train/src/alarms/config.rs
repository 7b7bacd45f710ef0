//! The table `[alarms]`: from where on each alarm is raised, or that it never is. None of them changes a step, and only
//! `all_wrong` and `unscored` end a run.

use crate::Error;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A limit for each alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Raised after so many steps in a row, from 1, in which every group had equal rewards.
    pub all_equal: Limit,
    /// Raised after so many steps in a row, from 1, in which every group had equal rewards and no completion
    /// was right; ends the run (exit 8).
    pub all_wrong: Limit,
    /// Raised when a larger share of groups than this (from 0 to below 1) had equal rewards over ten steps,
    /// while fewer than half of the completions are correct.
    pub mostly_equal: Limit,
    /// Raised when a larger share of completions than this (from 0 to below 1) reached the length limit over
    /// three steps.
    pub clipped: Limit,
    /// Raised when a larger share of completions than this (from 0 to below 1) had no verdict for three steps
    /// in a row; ends the run (exit 8).
    pub unscored: Limit,
    /// Raised when the entropy is below this (nats per token, above 0) over three steps, while the reward is
    /// below that of the first five steps.
    pub entropy: Limit,
    /// Raised after so many steps in a row, from 1, with a reward below the mean of the first five.
    pub reward: Limit,
    /// Raised when pass@1 of the main set falls below that before training by more than so many 95 %
    /// intervals of the difference; above 0.
    pub validation: Limit,
    /// Raised when a larger share of groups than this (from 0 to below 1) was dropped over ten steps, because a token was
    /// older than `grpo.max_staleness`.
    pub stale: Limit,
    /// Raised when a larger share than this (from 0 to below 1) of the time of three steps is spent waiting
    /// for verdicts.
    pub judge: Limit,
}

/// From where on an alarm is raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Never: `false` in a recipe.
    Off,
    /// From this value on.
    At(f64),
}

impl Limit {
    /// The value; None where the alarm is silenced.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Off => None,
            Self::At(value) => Some(value),
        }
    }

    /// Whether its value is as it must be; one without a value is.
    fn is(self, fits: impl Fn(f64) -> bool) -> bool {
        self.value().is_none_or(fits)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            all_equal: Limit::At(3.0),
            all_wrong: Limit::At(10.0),
            mostly_equal: Limit::At(0.9),
            clipped: Limit::At(0.5),
            unscored: Limit::At(0.5),
            entropy: Limit::At(0.01),
            reward: Limit::At(20.0),
            validation: Limit::At(1.0),
            stale: Limit::At(0.1),
            judge: Limit::At(0.5),
        }
    }
}

impl Config {
    /// A table in which every alarm is silenced.
    pub fn silent() -> Self {
        let off = Limit::Off;
        Self {
            all_equal: off,
            all_wrong: off,
            mostly_equal: off,
            clipped: off,
            unscored: off,
            entropy: off,
            reward: off,
            validation: off,
            stale: off,
            judge: off,
        }
    }

    /// Whether so many of a step's completions lack a verdict that the step counts as unscored.
    pub fn is_unscored(&self, unscored: usize, completions: usize) -> bool {
        self.unscored.value().is_some_and(|limit| unscored as f64 > limit * completions as f64)
    }

    /// Whether a run ends after so many steps in a row with equal groups and no right completion.
    pub fn ends_all_wrong(&self, steps: usize) -> bool {
        self.all_wrong.value().is_some_and(|limit| steps as f64 >= limit)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let steps = |limit: Limit| limit.is(|x| x >= 1.0 && x.fract() == 0.0 && x.is_finite());
        let share = |limit: Limit| limit.is(|x| (0.0..1.0).contains(&x));
        let positive = |limit: Limit| limit.is(|x| x > 0.0 && x.is_finite());
        let limits = [
            ("all_equal", self.all_equal, steps(self.all_equal), STEPS),
            ("all_wrong", self.all_wrong, steps(self.all_wrong), STEPS),
            ("mostly_equal", self.mostly_equal, share(self.mostly_equal), SHARE),
            ("clipped", self.clipped, share(self.clipped), SHARE),
            ("unscored", self.unscored, share(self.unscored), SHARE),
            ("entropy", self.entropy, positive(self.entropy), POSITIVE),
            ("reward", self.reward, steps(self.reward), STEPS),
            ("validation", self.validation, positive(self.validation), POSITIVE),
            ("stale", self.stale, share(self.stale), SHARE),
            ("judge", self.judge, share(self.judge), SHARE),
        ];
        for (key, limit, fits, expected) in limits {
            if let Some(value) = limit.value().filter(|_| !fits) {
                return Err(Error::Range { key, found: value.to_string(), expected });
            }
        }
        Ok(())
    }
}

const STEPS: &str = "a whole number of steps from 1, or false for never";
const SHARE: &str = "a share from 0 to below 1, or false for never";
const POSITIVE: &str = "a finite number above 0, or false for never";

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value() {
            None => serializer.serialize_bool(false),
            Some(value) if value.fract() == 0.0 && value.abs() < 1e9 => {
                serializer.serialize_i64(value as i64)
            }
            Some(value) => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimitVisitor)
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = Limit;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, or false to silence the alarm")
    }

    fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Limit, E> {
        if on { Err(E::invalid_value(Unexpected::Bool(on), &self)) } else { Ok(Limit::Off) }
    }

    fn visit_i64<E>(self, value: i64) -> Result<Limit, E> {
        Ok(Limit::At(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Limit, E> {
        Ok(Limit::At(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Limit, E> {
        Ok(Limit::At(value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Limit};
    use crate::Error;

    fn read(json: &str) -> Result<Config, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn false_silences_an_alarm_a_number_tunes_it_and_the_rest_keeps_its_default() {
        let config = read(r#"{"all_equal": false, "clipped": 0.8, "reward": 50}"#).expect("valid");
        assert_eq!((config.all_equal, config.clipped), (Limit::Off, Limit::At(0.8)));
        assert_eq!((config.reward, config.entropy), (Limit::At(50.0), Config::default().entropy));
        let written = serde_json::to_value(&config).expect("JSON");
        assert_eq!((&written["all_equal"], &written["reward"]), (&false.into(), &50.into()));
        assert_eq!(serde_json::from_value::<Config>(written).expect("valid"), config);
    }

    #[test]
    fn true_a_text_and_an_unknown_alarm_are_refused() {
        for (json, says) in [
            (r#"{"all_equal": true}"#, "false to silence"),
            (r#"{"entropy": "low"}"#, "a number"),
            (r#"{"entropie": 1}"#, "entropie"),
        ] {
            let message = read(json).expect_err(json).to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_limit_out_of_range_is_refused_by_its_key() {
        assert!(Config::default().validate().is_ok() && Config::silent().validate().is_ok());
        for (key, json) in [
            ("all_equal", r#"{"all_equal": 0}"#),
            ("all_equal", r#"{"all_equal": 2.5}"#),
            ("all_wrong", r#"{"all_wrong": 0}"#),
            ("mostly_equal", r#"{"mostly_equal": 1}"#),
            ("unscored", r#"{"unscored": -0.1}"#),
            ("entropy", r#"{"entropy": 0}"#),
            ("validation", r#"{"validation": -1}"#),
        ] {
            match read(json).expect("well-formed").validate() {
                Err(Error::Range { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_step_is_unscored_above_its_share_and_never_where_that_is_silenced() {
        let config = Config::default();
        assert!(!config.is_unscored(8, 16) && config.is_unscored(9, 16));
        assert!(!Config::silent().is_unscored(16, 16));
    }
}
