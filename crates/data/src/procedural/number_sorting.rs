//! Numbers to be sorted. Each keeps the text it was given in, and no two are equal, so the answer is unique.

use super::{Family, require, task, to_json};
use crate::{Error, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "number_sorting";
const KIND: &str = "exact";

/// Draws of one number before the range counts as too small for so many different numbers.
const ATTEMPTS: usize = 10_000;

/// Ranges of a problem; the defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Fewest numbers.
    pub min_numbers: usize,
    /// Most numbers.
    pub max_numbers: usize,
    /// Fewest decimal places of a number.
    pub min_decimals: u32,
    /// Most decimal places of a number.
    pub max_decimals: u32,
    /// Smallest number.
    pub min_value: f64,
    /// Largest number.
    pub max_value: f64,
}

impl Default for Params {
    fn default() -> Self {
        let (min_value, max_value) = (-100.0, 100.0);
        Self { min_numbers: 3, max_numbers: 10, min_decimals: 0, max_decimals: 2, min_value, max_value }
    }
}

/// The family. The answer is judged as text (`exact`): the numbers as given, joined by a comma and a space.
#[derive(Clone, Debug)]
pub struct NumberSorting {
    params: Params,
}

impl NumberSorting {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for empty or oversized ranges.
    pub fn new(params: Params) -> Result<Self, Error> {
        let p = &params;
        let good = (1..=p.max_numbers).contains(&p.min_numbers) && p.max_numbers <= 1_000;
        let found = || format!("min_numbers = {}, max_numbers = {}", p.min_numbers, p.max_numbers);
        require(NAME, good, "1 <= min_numbers <= max_numbers <= 1000", found)?;
        let good = p.min_decimals <= p.max_decimals && p.max_decimals <= 6;
        let found = || format!("min_decimals = {}, max_decimals = {}", p.min_decimals, p.max_decimals);
        require(NAME, good, "min_decimals <= max_decimals <= 6", found)?;
        // Within 10^9 a number with 6 decimals is exact in an f64. Some integer must lie in the range.
        let good = -1e9 <= p.min_value && p.min_value.ceil() <= p.max_value.floor() && p.max_value <= 1e9;
        let found = || format!("min_value = {}, max_value = {}", p.min_value, p.max_value);
        require(NAME, good, "-10^9 <= min_value < max_value <= 10^9 with an integer between", found)?;
        Ok(Self { params })
    }

    /// A number as its count of 10^-`max_decimals` and as text.
    fn number(&self, rng: &mut ChaCha8Rng) -> (i64, String) {
        let p = &self.params;
        let decimals = rng.random_range(p.min_decimals..=p.max_decimals);
        let scale = 10_i64.pow(decimals);
        let bound = |value: f64| value * scale as f64;
        let units = rng.random_range(bound(p.min_value).ceil() as i64..=bound(p.max_value).floor() as i64);
        (units * 10_i64.pow(p.max_decimals - decimals), decimal(units, decimals))
    }
}

impl Family for NumberSorting {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verifier_kind(&self) -> &'static str {
        KIND
    }

    fn params(&self) -> Value {
        to_json(&self.params)
    }

    fn generate(&self, rng: &mut ChaCha8Rng) -> Result<Task, Error> {
        let count = rng.random_range(self.params.min_numbers..=self.params.max_numbers);
        let mut numbers: Vec<(i64, String)> = Vec::with_capacity(count);
        for _ in 0..count {
            let fresh =
                (0..ATTEMPTS).map(|_| self.number(rng)).find(|(v, _)| numbers.iter().all(|(w, _)| v != w));
            numbers.push(fresh.ok_or(Error::NoProblem { family: NAME, attempts: ATTEMPTS })?);
        }
        let join = |numbers: &[(i64, String)]| {
            numbers.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")
        };
        let given = join(&numbers);
        numbers.sort_unstable_by_key(|&(value, _)| value);
        let direction = if rng.random_bool(0.5) {
            "ascending"
        } else {
            numbers.reverse();
            "descending"
        };
        let prompt = format!(
            "Sort these numbers in {direction} order: {given}. Answer with the numbers as given, separated by a comma and a space."
        );
        Ok(task(prompt, join(&numbers), KIND, [("direction", Value::from(direction))]))
    }
}

/// `units` times 10^-`decimals` with all its decimal places.
fn decimal(units: i64, decimals: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (size, scale) = (units.unsigned_abs(), 10_u64.pow(decimals));
    match decimals {
        0 => units.to_string(),
        _ => format!("{sign}{}.{:0places$}", size / scale, size % scale, places = decimals as usize),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{NumberSorting, Params, decimal};
    use crate::procedural::Family;
    use crate::{Error, Seed};

    #[test]
    fn the_answer_is_the_given_texts_in_strict_order() {
        let family = NumberSorting::new(Params::default()).unwrap();
        for index in 0..1_000 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let prompt = task.prompt.text();
            let given = prompt.split_once(": ").unwrap().1.split_once(". Answer").unwrap().0;
            let (mut given, mut answer): (Vec<_>, Vec<_>) =
                (given.split(", ").collect(), task.answer.split(", ").collect());
            let values: Vec<f64> = answer.iter().map(|n| n.parse().unwrap()).collect();
            let ascending = task.columns["direction"] == "ascending";
            assert!(values.is_sorted_by(|a, b| if ascending { a < b } else { a > b }), "{prompt}");
            assert!((3..=10).contains(&values.len()) && values.iter().all(|v| v.abs() <= 100.0), "{prompt}");
            given.sort_unstable();
            answer.sort_unstable();
            assert_eq!(given, answer);
        }
    }

    #[test]
    fn decimals_are_written_in_full() {
        let cases =
            [(0, 2, "0.00"), (-5, 2, "-0.05"), (-150, 1, "-15.0"), (7, 0, "7"), (123_456, 3, "123.456")];
        for (units, decimals, text) in cases {
            assert_eq!(decimal(units, decimals), text);
        }
    }

    #[test]
    fn a_range_with_too_few_numbers_is_an_error_and_not_a_loop() {
        let params = Params { max_decimals: 0, min_value: 0.0, max_value: 1.0, ..Params::default() };
        let family = NumberSorting::new(params).unwrap();
        let drawn = family.generate(&mut Seed::new(0).rng());
        assert!(matches!(drawn, Err(Error::NoProblem { .. })), "{drawn:?}");
    }

    #[test]
    fn ranges_that_hold_nothing_are_refused() {
        for params in [
            Params { min_numbers: 0, ..Params::default() },
            Params { min_decimals: 3, ..Params::default() },
            Params { max_decimals: 7, ..Params::default() },
            Params { min_value: f64::NAN, ..Params::default() },
            Params { min_value: 0.2, max_value: 0.8, ..Params::default() },
        ] {
            assert!(matches!(NumberSorting::new(params.clone()), Err(Error::Params { .. })), "{params:?}");
        }
    }
}
