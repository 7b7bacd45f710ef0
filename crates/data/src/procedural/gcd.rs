//! Greatest common divisors.

use super::{Family, require, task, to_json};
use crate::{Error, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "gcd";
const KIND: &str = "exact";

/// Ranges of a problem; the defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Fewest numbers.
    pub min_numbers: usize,
    /// Most numbers.
    pub max_numbers: usize,
    /// Smallest number.
    pub min_value: u64,
    /// Largest number.
    pub max_value: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { min_numbers: 2, max_numbers: 2, min_value: 1, max_value: 1_000 }
    }
}

/// The family. The answer is judged as text (`exact`).
#[derive(Clone, Debug)]
pub struct Gcd {
    params: Params,
}

impl Gcd {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for empty or oversized ranges.
    pub fn new(params: Params) -> Result<Self, Error> {
        let p = &params;
        let good = (2..=p.max_numbers).contains(&p.min_numbers) && p.max_numbers <= 1_000;
        let found = || format!("min_numbers = {}, max_numbers = {}", p.min_numbers, p.max_numbers);
        require(NAME, good, "2 <= min_numbers <= max_numbers <= 1000", found)?;
        let good = 1 <= p.min_value && p.min_value < p.max_value;
        let found = || format!("min_value = {}, max_value = {}", p.min_value, p.max_value);
        require(NAME, good, "1 <= min_value < max_value", found)?;
        Ok(Self { params })
    }
}

impl Family for Gcd {
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
        let p = &self.params;
        let mut draw = || {
            let count = rng.random_range(p.min_numbers..=p.max_numbers);
            let numbers: Vec<u64> = (0..count).map(|_| rng.random_range(p.min_value..=p.max_value)).collect();
            let divisor = numbers.iter().copied().fold(0, gcd);
            (numbers, divisor)
        };
        // Three draws for a divisor above 1, as in reasoning-gym: else 1 is too good a guess.
        let (mut numbers, mut divisor) = draw();
        for _ in 0..2 {
            if divisor > 1 {
                break;
            }
            (numbers, divisor) = draw();
        }
        let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let prompt = format!("What is the greatest common divisor of {list}? Answer with the number alone.");
        Ok(task(prompt, divisor.to_string(), KIND, [("numbers", Value::from(numbers))]))
    }
}

/// Euclid's algorithm; `gcd(0, n) = n`.
fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Gcd, Params};
    use crate::procedural::Family;
    use crate::{Error, Seed};

    #[test]
    fn the_answer_divides_all_numbers_and_nothing_larger_does() {
        let family = Gcd::new(Params { max_numbers: 4, ..Params::default() }).unwrap();
        for index in 0..500 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let numbers: Vec<u64> = serde_json::from_value(task.columns["numbers"].clone()).unwrap();
            assert!((2..=4).contains(&numbers.len()) && numbers.iter().all(|n| (1..=1_000).contains(n)));
            let largest = (1..=1_000).rev().find(|d| numbers.iter().all(|n| n % d == 0)).unwrap();
            assert_eq!(task.answer, largest.to_string(), "{}", task.prompt.text());
        }
    }

    #[test]
    fn ranges_that_hold_nothing_are_refused() {
        for params in [
            Params { min_numbers: 1, ..Params::default() },
            Params { min_numbers: 3, ..Params::default() },
            Params { min_value: 0, ..Params::default() },
            Params { max_value: 1, ..Params::default() },
        ] {
            assert!(matches!(Gcd::new(params.clone()), Err(Error::Params { .. })), "{params:?}");
        }
    }
}
