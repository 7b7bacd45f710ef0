//! How hard chains of sums are: the parameters of both forms, and what is refused of them.

use super::super::require;
use super::NAME;
use crate::Error;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

/// Which form, and how hard. Written as one flat table: a key of [`Bounded`] chooses the bounded form,
/// otherwise it is [`Digits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Params {
    /// reasoning-gym's form, the default.
    Digits(Digits),
    /// The form with bounded totals.
    Bounded(Bounded),
}

/// `State the result: 12 + 7 - 30 =`, answered by a plain integer. Defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Digits {
    /// Fewest terms.
    pub min_terms: usize,
    /// Most terms.
    pub max_terms: usize,
    /// Fewest digits of a term; a problem's terms all have the same number.
    pub min_digits: u32,
    /// Most digits of a term.
    pub max_digits: u32,
    /// Whether terms may themselves be negative (`3 - -4`).
    pub allow_negation: bool,
}

impl Default for Digits {
    fn default() -> Self {
        Self { min_terms: 2, max_terms: 6, min_digits: 1, max_digits: 4, allow_negation: false }
    }
}

/// `14-8+1+2-6=`, answered by `03`: a bare prompt, every running total within 0..=`total_max`.
///
/// The defaults are the tiny form, and the fixed width of its totals is what makes it learnable in minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounded {
    /// Number of terms.
    pub terms: usize,
    /// The first term is in 1..=`first_max`.
    pub first_max: i64,
    /// The others are in ±1..=`term_max`.
    pub term_max: i64,
    /// No running total leaves 0..=`total_max`.
    pub total_max: i64,
    /// Totals are zero-padded to this many digits.
    pub pad: usize,
}

impl Default for Bounded {
    fn default() -> Self {
        Self { terms: 5, first_max: 15, term_max: 9, total_max: 19, pad: 2 }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::Digits(Digits::default())
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, since serde's untagged enums hide which key was wrong.
        let table = Map::deserialize(deserializer)?;
        let bounded = ["terms", "first_max", "term_max", "total_max", "pad"];
        let parsed = if table.keys().any(|key| bounded.contains(&key.as_str())) {
            serde_json::from_value(Value::Object(table)).map(Self::Bounded)
        } else {
            serde_json::from_value(Value::Object(table)).map(Self::Digits)
        };
        parsed.map_err(D::Error::custom)
    }
}

impl Params {
    /// Refuses empty and oversized ranges.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Params::Digits(p) => {
                let found = || format!("min_terms = {}, max_terms = {}", p.min_terms, p.max_terms);
                let good = (1..=p.max_terms).contains(&p.min_terms) && p.max_terms <= 1_000;
                require(NAME, good, "1 <= min_terms <= max_terms <= 1000", found)?;
                let found = || format!("min_digits = {}, max_digits = {}", p.min_digits, p.max_digits);
                // 1,000 terms of 15 digits stay below 2^63.
                let good = (1..=p.max_digits).contains(&p.min_digits) && p.max_digits <= 15;
                require(NAME, good, "1 <= min_digits <= max_digits <= 15", found)?;
            }
            Params::Bounded(p) => {
                let good = (2..=1_000).contains(&p.terms);
                require(NAME, good, "2 <= terms <= 1000", || p.terms.to_string())?;
                let good =
                    (1..1_000_000_000).contains(&p.total_max) && (1..=p.total_max).contains(&p.first_max);
                let found = || format!("first_max = {}, total_max = {}", p.first_max, p.total_max);
                require(NAME, good, "1 <= first_max <= total_max < 10^9", found)?;
                let good = (1..1_000_000_000).contains(&p.term_max);
                require(NAME, good, "1 <= term_max < 10^9", || p.term_max.to_string())?;
                require(NAME, p.pad <= 9, "pad <= 9 digits", || p.pad.to_string())?;
            }
        }
        Ok(())
    }
}
