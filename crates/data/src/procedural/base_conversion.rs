//! Numbers to be written in another base.

use super::{Family, require, task, to_json};
use crate::{Error, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "base_conversion";
const KIND: &str = "exact";

/// Ranges of a problem; the defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Smallest base.
    pub min_base: u32,
    /// Largest base.
    pub max_base: u32,
    /// Smallest number.
    pub min_value: u64,
    /// Largest number.
    pub max_value: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { min_base: 2, max_base: 16, min_value: 0, max_value: 1_000 }
    }
}

/// The family. The answer is judged as text (`exact`), with lower-case digits.
#[derive(Clone, Debug)]
pub struct BaseConversion {
    params: Params,
}

impl BaseConversion {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for empty ranges; from one base there is nowhere to convert to.
    pub fn new(params: Params) -> Result<Self, Error> {
        let p = &params;
        let good = 2 <= p.min_base && p.min_base < p.max_base && p.max_base <= 36;
        let found = || format!("min_base = {}, max_base = {}", p.min_base, p.max_base);
        require(NAME, good, "2 <= min_base < max_base <= 36", found)?;
        let found = || format!("min_value = {}, max_value = {}", p.min_value, p.max_value);
        require(NAME, p.min_value < p.max_value, "min_value < max_value", found)?;
        Ok(Self { params })
    }
}

impl Family for BaseConversion {
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
        let value = rng.random_range(p.min_value..=p.max_value);
        let source = rng.random_range(p.min_base..=p.max_base);
        // Uniform over the other bases: those from `source` on move up by one.
        let target = rng.random_range(p.min_base..p.max_base);
        let target = if target >= source { target + 1 } else { target };
        let prompt = format!(
            "Convert {} from base {source} to base {target}. Digits above 9 are the lower-case letters a to z.",
            in_base(value, source)
        );
        let columns = [("source_base", Value::from(source)), ("target_base", Value::from(target))];
        Ok(task(prompt, in_base(value, target), KIND, columns))
    }
}

/// The digits of a number in a base of 2 to 36, without leading zeros.
fn in_base(mut value: u64, base: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.extend(char::from_digit((value % u64::from(base)) as u32, base));
        value /= u64::from(base);
        if value == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{BaseConversion, Params, in_base};
    use crate::Seed;
    use crate::procedural::Family;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use std::collections::HashSet;

    #[test]
    fn question_and_answer_are_the_same_number_in_different_bases() {
        let family = BaseConversion::new(Params::default()).unwrap();
        let mut pairs = HashSet::new();
        for index in 0..10_000 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let text = task.prompt.text();
            let base = |name: &str| task.columns[name].as_u64().unwrap() as u32;
            let (source, target) = (base("source_base"), base("target_base"));
            let asked = u64::from_str_radix(text.split(' ').nth(1).unwrap(), source).unwrap();
            assert_eq!(u64::from_str_radix(&task.answer, target).unwrap(), asked, "{text}");
            assert_ne!(source, target);
            pairs.insert((source, target));
        }
        assert_eq!(pairs.len(), 15 * 14);
    }

    #[test]
    fn one_base_is_not_enough() {
        assert!(BaseConversion::new(Params { min_base: 16, ..Params::default() }).is_err());
        assert!(BaseConversion::new(Params { max_base: 37, ..Params::default() }).is_err());
        assert!(BaseConversion::new(Params { max_value: 0, ..Params::default() }).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn written_numbers_read_back(value in any::<u64>(), base in 2..=36_u32) {
            prop_assert_eq!(u64::from_str_radix(&in_base(value, base), base), Ok(value));
        }
    }
}
