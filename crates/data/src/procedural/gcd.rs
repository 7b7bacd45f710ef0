//! Greatest common divisors, worked out by Euclid's algorithm.

use super::{DIFFICULTY, Family, Mistake, Wording, Work, Worked, require, task, to_json};
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
    /// A sentence, or `gcd(48,36)=` with every number as wide as the largest, of two numbers only.
    pub wording: Wording,
}

impl Default for Params {
    fn default() -> Self {
        Self { min_numbers: 2, max_numbers: 2, min_value: 1, max_value: 1_000, wording: Wording::Sentence }
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
        let good = p.wording == Wording::Sentence || p.max_numbers == 2;
        let found = || format!("max_numbers = {}", p.max_numbers);
        require(NAME, good, "max_numbers = 2 for the bare wording", found)?;
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
        let columns = |difficulty: usize, numbers: Vec<u64>| {
            [(DIFFICULTY, Value::from(difficulty)), ("numbers", Value::from(numbers))]
        };
        if let (Wording::Bare, [a, b]) = (p.wording, numbers.as_slice()) {
            let prompt = format!("gcd({},{})=", self.text(*a), self.text(*b));
            let difficulty = self.euclid(*a, *b, None).steps.len();
            return Ok(task(prompt, self.text(divisor), KIND, columns(difficulty, numbers)));
        }
        let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let prompt = format!("What is the greatest common divisor of {list}? Answer with the number alone.");
        Ok(task(prompt, divisor.to_string(), KIND, columns(numbers.len(), numbers)))
    }

    fn shows_all_steps(&self, task: &Task, completion: &str) -> Option<bool> {
        let (a, b) = self.pair(task)?;
        Some(self.euclid(a, b, None).is_shown_in(completion))
    }

    fn worked(&self) -> Option<&dyn Worked> {
        Some(self)
    }
}

impl Worked for Gcd {
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
        let (a, b) = self.pair(task)?;
        Some(match mistake {
            Mistake::Never => self.euclid(a, b, None),
            Mistake::At(at) => self.euclid(a, b, Some((at, rng))),
        })
    }

    /// A divisor's size has little to do with the numbers', so a guess is any number up to the smaller one.
    fn guess(&self, task: &Task, _sigma: f64, rng: &mut ChaCha8Rng) -> Option<String> {
        let (a, b) = self.pair(task)?;
        Some(self.text(rng.random_range(1..=a.min(b).max(1))))
    }
}

impl Gcd {
    /// A number as wide as the largest one.
    fn text(&self, number: u64) -> String {
        format!("{number:0width$}", width = self.params.max_value.to_string().len())
    }

    /// The two numbers of a bare task.
    fn pair(&self, task: &Task) -> Option<(u64, u64)> {
        if self.params.wording == Wording::Sentence {
            return None;
        }
        let numbers = task.columns.get("numbers")?.as_array()?;
        let [a, b] = numbers.as_slice() else { return None };
        Some((a.as_u64().filter(|a| *a > 0)?, b.as_u64().filter(|b| *b > 0)?))
    }

    /// The larger number modulo the smaller, `48%36=12`, and so on to the remainder 0; the remainder of the step of a
    /// mistake is another one below the divisor, where there is one.
    fn euclid(&self, a: u64, b: u64, mut mistake: Option<(usize, &mut ChaCha8Rng)>) -> Work {
        let (mut a, mut b) = (a.max(b), a.min(b));
        let mut steps = Vec::new();
        while b > 0 {
            let mut remainder = a % b;
            if let Some((_, rng)) = mistake.as_mut().filter(|(at, _)| *at == steps.len())
                && b > 1
            {
                remainder = (remainder + rng.random_range(1..b)) % b;
            }
            steps.push(format!("{}%{}={}", self.text(a), self.text(b), self.text(remainder)));
            (a, b) = (b, remainder);
        }
        Work { steps, answer: self.text(a) }
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
    use crate::procedural::{Family, Wording};
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
            Params { max_numbers: 3, wording: Wording::Bare, ..Params::default() },
        ] {
            assert!(matches!(Gcd::new(params.clone()), Err(Error::Params { .. })), "{params:?}");
        }
    }
}
