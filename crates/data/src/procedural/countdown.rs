//! The numbers game: reach a target from given numbers with the four operations. The verifier works from the
//! columns `numbers` and `target`; the answer is one solution among many.

mod signs;

use super::{DIFFICULTY, Family, Mistake, Wording, Work, Worked, require, task, to_json};
use crate::{Error, Task};
use rand::{RngExt, seq::IndexedRandom, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "countdown";
const KIND: &str = "countdown";

/// Draws before the target's range counts as out of reach; a default problem takes about ten.
const ATTEMPTS: usize = 20_000;

/// Ranges of a problem; the defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Fewest numbers.
    pub min_numbers: usize,
    /// Most numbers.
    pub max_numbers: usize,
    /// Smallest number.
    pub min_value: i64,
    /// Largest number.
    pub max_value: i64,
    /// Smallest target.
    pub min_target: i64,
    /// Largest target.
    pub max_target: i64,
    /// The operations of the solution.
    pub operators: Vec<Operator>,
    /// A sentence, or `7?5?3=09`: numbers in the order of the solution, whose signs are to be found (`+` and `-` only).
    pub wording: Wording,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// Addition.
    #[serde(rename = "+")]
    Add,
    /// Subtraction.
    #[serde(rename = "-")]
    Subtract,
    /// Multiplication.
    #[serde(rename = "*")]
    Multiply,
    /// Division without remainder.
    #[serde(rename = "/")]
    Divide,
}

impl Default for Params {
    fn default() -> Self {
        use Operator::{Add, Divide, Multiply, Subtract};
        Self {
            min_numbers: 4,
            max_numbers: 6,
            min_value: 1,
            max_value: 100,
            min_target: 100,
            max_target: 999,
            operators: vec![Add, Subtract, Multiply, Divide],
            wording: Wording::Sentence,
        }
    }
}

/// The family. Answers are judged by their value and the numbers they use (`countdown`).
#[derive(Clone, Debug)]
pub struct Countdown {
    params: Params,
}

impl Countdown {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for empty or oversized ranges, or no operator.
    pub fn new(params: Params) -> Result<Self, Error> {
        let p = &params;
        let good = (2..=p.max_numbers).contains(&p.min_numbers) && p.max_numbers <= 100;
        let found = || format!("min_numbers = {}, max_numbers = {}", p.min_numbers, p.max_numbers);
        require(NAME, good, "2 <= min_numbers <= max_numbers <= 100", found)?;
        let good = (1..=p.max_value).contains(&p.min_value) && p.max_value <= 1_000_000_000;
        let found = || format!("min_value = {}, max_value = {}", p.min_value, p.max_value);
        require(NAME, good, "1 <= min_value <= max_value <= 10^9", found)?;
        let good = (1..=p.max_target).contains(&p.min_target) && p.max_target <= 1_000_000_000;
        let found = || format!("min_target = {}, max_target = {}", p.min_target, p.max_target);
        require(NAME, good, "1 <= min_target <= max_target <= 10^9", found)?;
        require(NAME, !p.operators.is_empty(), "at least one of the operators + - * /", || {
            "none".to_owned()
        })?;
        let signs = [Operator::Add, Operator::Subtract];
        let good = p.wording == Wording::Sentence
            || (p.max_numbers <= signs::MOST_NUMBERS && p.operators.iter().all(|o| signs.contains(o)));
        let found = || format!("max_numbers = {}, operators = {:?}", p.max_numbers, p.operators);
        require(NAME, good, "at most 6 numbers and only + and - for the bare wording", found)?;
        Ok(Self { params })
    }

    /// Numbers, a solution that uses them all once, and its value; `None` where the target leaves its range.
    fn candidate(&self, rng: &mut ChaCha8Rng) -> Option<(Vec<i64>, String, i64)> {
        let p = &self.params;
        let count = rng.random_range(p.min_numbers..=p.max_numbers);
        let numbers: Vec<i64> = (0..count).map(|_| rng.random_range(p.min_value..=p.max_value)).collect();
        let (&first, others) = numbers.split_first()?;
        let (mut solution, mut value) = (first.to_string(), first);
        let mut is_sum = false; // whether the solution so far binds looser than a product
        for &number in others {
            let mut operator = *p.operators.choose(rng)?;
            if operator == Operator::Divide && value % number != 0 {
                operator = Operator::Subtract; // reasoning-gym's way out, too
            }
            let (sign, next) = match operator {
                Operator::Add => ('+', value.checked_add(number)),
                Operator::Subtract => ('-', value.checked_sub(number)),
                Operator::Multiply => ('*', value.checked_mul(number)),
                Operator::Divide => ('/', value.checked_div(number)),
            };
            value = next?;
            let binds_tighter = matches!(operator, Operator::Multiply | Operator::Divide);
            if is_sum && binds_tighter {
                solution = format!("({solution})");
            }
            solution = format!("{solution} {sign} {number}");
            is_sum = !binds_tighter;
        }
        (p.min_target..=p.max_target).contains(&value).then_some((numbers, solution, value))
    }
}

/// What is asked, of a target and the list of its numbers.
pub(crate) fn sentence(target: &str, numbers: &str) -> String {
    format!(
        "Make {target} from the numbers {numbers} with + - * / and parentheses. Use each number exactly once. \
         Answer with the expression alone, without an equals sign."
    )
}

impl Family for Countdown {
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
        let found = (0..ATTEMPTS).find_map(|_| self.candidate(rng));
        let (mut numbers, solution, target) =
            found.ok_or(Error::NoProblem { family: NAME, attempts: ATTEMPTS })?;
        let columns = |numbers: Vec<i64>| {
            let difficulty = [(DIFFICULTY, Value::from(numbers.len()))];
            difficulty.into_iter().chain([("numbers", Value::from(numbers)), ("target", Value::from(target))])
        };
        if self.params.wording == Wording::Bare {
            let prompt = signs::prompt(&numbers, target);
            // Of several solutions the first that is tried is the answer; what was drawn is one of them.
            let first = signs::search(&numbers, target, Mistake::Never, rng);
            let answer = first.map_or(solution, |work| work.answer);
            return Ok(task(prompt, answer, KIND, columns(numbers)));
        }
        numbers.shuffle(rng); // their order must not give the solution away
        let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let prompt = sentence(&target.to_string(), &list);
        Ok(task(prompt, solution, KIND, columns(numbers)))
    }

    fn worked(&self) -> Option<&dyn Worked> {
        Some(self)
    }
}

impl Worked for Countdown {
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
        let (numbers, target) = self.puzzle(task)?;
        signs::search(&numbers, target, mistake, rng)
    }

    fn guess(&self, task: &Task, _sigma: f64, rng: &mut ChaCha8Rng) -> Option<String> {
        let (numbers, _) = self.puzzle(task)?;
        Some(signs::any(&numbers, rng))
    }
}

impl Countdown {
    /// Numbers and target of a bare task.
    fn puzzle(&self, task: &Task) -> Option<(Vec<i64>, i64)> {
        if self.params.wording == Wording::Sentence {
            return None;
        }
        let numbers = task.columns.get("numbers")?.as_array()?.iter().map(Value::as_i64);
        Some((numbers.collect::<Option<Vec<i64>>>()?, task.columns.get("target")?.as_i64()?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Countdown, Operator, Params};
    use crate::procedural::{Family, Wording};
    use crate::{Error, Seed};
    use std::str::Chars;

    /// expression = product (+|- product)*, product = atom (*|/ atom)*, atom = number | ( expression )
    fn expression(text: &mut std::iter::Peekable<Chars<'_>>, used: &mut Vec<i64>) -> i64 {
        let mut value = product(text, used);
        while let Some(sign) = text.next_if(|c| "+-".contains(*c)) {
            let right = product(text, used);
            value = if sign == '+' { value + right } else { value - right };
        }
        value
    }

    fn product(text: &mut std::iter::Peekable<Chars<'_>>, used: &mut Vec<i64>) -> i64 {
        let mut value = atom(text, used);
        while let Some(sign) = text.next_if(|c| "*/".contains(*c)) {
            let right = atom(text, used);
            assert!(sign == '*' || value % right == 0, "division with a remainder");
            value = if sign == '*' { value * right } else { value / right };
        }
        value
    }

    fn atom(text: &mut std::iter::Peekable<Chars<'_>>, used: &mut Vec<i64>) -> i64 {
        if text.next_if_eq(&'(').is_some() {
            let value = expression(text, used);
            assert_eq!(text.next(), Some(')'));
            return value;
        }
        let digits: String = std::iter::from_fn(|| text.next_if(char::is_ascii_digit)).collect();
        used.push(digits.parse().unwrap());
        used[used.len() - 1]
    }

    #[test]
    fn the_solution_reaches_the_target_with_the_given_numbers() {
        let family = Countdown::new(Params::default()).unwrap();
        for index in 0..2_000 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let solution: String = task.answer.split(' ').collect();
            let (mut text, mut used) = (solution.chars().peekable(), Vec::new());
            let value = expression(&mut text, &mut used);
            assert_eq!(text.next(), None, "{solution}");
            assert_eq!(task.columns["target"], value, "{solution}");
            let mut numbers: Vec<i64> = serde_json::from_value(task.columns["numbers"].clone()).unwrap();
            numbers.sort_unstable();
            used.sort_unstable();
            assert_eq!(numbers, used, "{solution}");
            assert!((100..=999).contains(&value) && (4..=6).contains(&used.len()), "{solution}");
        }
    }

    #[test]
    fn a_target_out_of_reach_is_an_error_and_not_a_loop() {
        let family = Countdown::new(Params { max_value: 1, ..Params::default() }).unwrap();
        assert!(matches!(family.generate(&mut Seed::new(0).rng()), Err(Error::NoProblem { .. })));
    }

    #[test]
    fn huge_products_do_not_overflow() {
        let params = Params {
            min_numbers: 20,
            max_numbers: 20,
            max_value: 1_000_000_000,
            operators: vec![Operator::Multiply],
            ..Params::default()
        };
        let family = Countdown::new(params).unwrap();
        assert!(matches!(family.generate(&mut Seed::new(0).rng()), Err(Error::NoProblem { .. })));
    }

    #[test]
    fn ranges_that_hold_nothing_are_refused() {
        for params in [
            Params { min_numbers: 1, ..Params::default() },
            Params { max_numbers: 3, ..Params::default() },
            Params { min_value: 0, ..Params::default() },
            Params { max_target: 99, ..Params::default() },
            Params { operators: Vec::new(), ..Params::default() },
            Params { wording: Wording::Bare, ..Params::default() },
        ] {
            assert!(matches!(Countdown::new(params.clone()), Err(Error::Params { .. })), "{params:?}");
        }
    }
}
