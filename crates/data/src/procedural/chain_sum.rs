//! Chains of additions and subtractions, in two forms: reasoning-gym's (numbers by digits, a sentence for a
//! prompt) and a bounded one whose running totals all fit a fixed width, which a tiny policy can learn.

mod params;
mod steps;

pub use params::{Bounded, Digits, Params};
pub use steps::Problem;

use super::{DIFFICULTY, Family, Mistake, Work, Worked, task, to_json};
use crate::{Error, Task};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fmt::Write as _;

const NAME: &str = "chain_sum";
const KIND: &str = "exact";

/// The family. The answer is judged as text (`exact`).
#[derive(Clone, Debug)]
pub struct ChainSum {
    params: Params,
}

impl ChainSum {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for empty or oversized ranges.
    pub fn new(params: Params) -> Result<Self, Error> {
        params.check()?;
        Ok(Self { params })
    }

    /// The form of the embedded default: 5 terms, first 1..=15, others ±1..=9, totals 0..=19 in two digits.
    pub fn tiny() -> Self {
        Self { params: Params::Bounded(Bounded::default()) }
    }
}

impl Family for ChainSum {
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
        Ok(match &self.params {
            Params::Digits(params) => digits(params, rng),
            Params::Bounded(params) => bounded(params, rng),
        })
    }

    fn shows_all_steps(&self, task: &Task, completion: &str) -> Option<bool> {
        let Params::Bounded(bounds) = &self.params else { return None };
        let problem = Problem::parse(&task.prompt.text())?;
        Some(problem.shows_all_steps(completion) || bounds.work(&problem, None).is_shown_in(completion))
    }

    fn worked(&self) -> Option<&dyn Worked> {
        Some(self)
    }
}

impl Worked for ChainSum {
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
        let (bounds, problem) = self.bounded(task)?;
        let mistake = match mistake {
            Mistake::Never => None,
            // Where no offset keeps all totals in range there is no mistake.
            Mistake::At(at) => bounds.offset(&problem.totals(), at, rng).map(|by| (at, by)),
        };
        Some(bounds.work(&problem, mistake))
    }

    fn guess(&self, task: &Task, sigma: f64, rng: &mut ChaCha8Rng) -> Option<String> {
        let (bounds, problem) = self.bounded(task)?;
        let truth = problem.totals().last().copied()?;
        Some(bounds.text(bounds.guess(truth, sigma, rng)))
    }
}

impl ChainSum {
    /// A task of the bounded form, read.
    pub(crate) fn bounded(&self, task: &Task) -> Option<(&Bounded, Problem)> {
        let Params::Bounded(bounds) = &self.params else { return None };
        let problem = Problem::parse(&task.prompt.text()).filter(|problem| problem.terms.len() > 1)?;
        Some((bounds, problem))
    }
}

impl Bounded {
    /// A total in its fixed width.
    pub(crate) fn text(&self, total: i64) -> String {
        format!("{total:0width$}", width = self.pad)
    }

    /// Every step by itself, `14-8=06` then `06+1=07`; from the step of a mistake on, totals are off by its amount.
    fn work(&self, problem: &Problem, mistake: Option<(usize, i64)>) -> Work {
        let off = |at: usize| mistake.filter(|(from, _)| at >= *from).map_or(0, |(_, by)| by);
        let totals: Vec<i64> =
            problem.totals().iter().enumerate().map(|(at, total)| total + off(at)).collect();
        let left = std::iter::once(problem.terms[0].to_string()).chain(totals.iter().map(|t| self.text(*t)));
        let steps = left.zip(problem.terms.iter().skip(1)).zip(&totals);
        Work {
            steps: steps
                .map(|((left, term), total)| format!("{left}{term:+}={}", self.text(*total)))
                .collect(),
            answer: totals.last().map(|total| self.text(*total)).unwrap_or_default(),
        }
    }

    /// The truth with noise of that standard deviation, within the range of totals.
    pub(crate) fn guess(&self, truth: i64, sigma: f64, rng: &mut ChaCha8Rng) -> i64 {
        truth.saturating_add(noise(sigma, rng)).clamp(0, self.total_max)
    }

    /// An amount by which the totals from `at` on can be off without leaving their range.
    fn offset(&self, totals: &[i64], at: usize, rng: &mut ChaCha8Rng) -> Option<i64> {
        let fits =
            |by: &i64| totals.iter().skip(at).all(|total| (0..=self.total_max).contains(&(total + by)));
        let offsets: Vec<i64> = [-10, -2, -1, 1, 2, 10].into_iter().filter(fits).collect();
        offsets.choose(rng).copied()
    }
}

/// A rounded normal deviate: twelve uniforms less 6 have variance 1 and, unlike logarithm and cosine, the same
/// bits on every platform.
fn noise(sigma: f64, rng: &mut ChaCha8Rng) -> i64 {
    let standard = (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
    (standard * sigma).round() as i64
}

fn digits(params: &Digits, rng: &mut ChaCha8Rng) -> Task {
    let terms = rng.random_range(params.min_terms..=params.max_terms);
    let digits = rng.random_range(params.min_digits..=params.max_digits);
    let max = 10_i64.pow(digits) - 1;
    let min = match (params.allow_negation, digits) {
        (true, _) => -max,
        (false, 1) => 0,
        (false, _) => 10_i64.pow(digits - 1),
    };
    let mut total = rng.random_range(min..=max);
    let mut expression = total.to_string();
    for _ in 1..terms {
        let term = rng.random_range(min..=max);
        let (sign, signed) = if rng.random_bool(0.5) { ('+', term) } else { ('-', -term) };
        let _ = write!(expression, " {sign} {term}"); // writing to a String cannot fail
        total += signed;
    }
    let difficulty = [(DIFFICULTY, Value::from(terms))];
    task(format!("State the result: {expression} ="), total.to_string(), KIND, difficulty)
}

fn bounded(params: &Bounded, rng: &mut ChaCha8Rng) -> Task {
    let mut total = rng.random_range(1..=params.first_max);
    let mut terms = vec![total];
    while terms.len() < params.terms {
        // Uniform over the terms that keep the total in range: there is always one, since total_max >= 1.
        // They are numbered -down..=-1, then 1..=up.
        let (down, up) = (params.term_max.min(total), params.term_max.min(params.total_max - total));
        let drawn = rng.random_range(-down..up);
        let term = if drawn < 0 { drawn } else { drawn + 1 };
        total += term;
        terms.push(term);
    }
    let difficulty = [(DIFFICULTY, Value::from(terms.len()))];
    task(Problem { terms }.to_string(), params.text(total), KIND, difficulty)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Bounded, ChainSum, Digits, Params, Problem};
    use crate::procedural::Family;
    use crate::{Error, Seed};
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn tiny_problems_keep_every_total_in_range_and_use_all_of_it() {
        let (mut firsts, mut terms, mut totals) = (HashSet::new(), HashSet::new(), HashSet::new());
        for index in 0..20_000 {
            let task = ChainSum::tiny().generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let problem = Problem::parse(&task.prompt.text()).unwrap();
            assert_eq!(problem.terms.len(), 5);
            assert_eq!(task.answer, format!("{:02}", problem.totals()[3]));
            firsts.insert(problem.terms[0]);
            terms.extend(problem.terms[1..].iter().copied());
            totals.extend(problem.totals());
        }
        assert_eq!(firsts, (1..=15).collect());
        assert_eq!(terms, (-9..=9).filter(|&t| t != 0).collect());
        assert_eq!(totals, (0..=19).collect());
    }

    #[test]
    fn the_answer_of_the_digits_form_is_the_value_of_its_expression() {
        let family =
            ChainSum::new(Params::Digits(Digits { allow_negation: true, ..Digits::default() })).unwrap();
        for index in 0..2_000 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let text = task.prompt.text();
            let expression = text.strip_prefix("State the result: ").unwrap().strip_suffix(" =").unwrap();
            let words: Vec<_> = expression.split(' ').collect();
            let mut value: i64 = words[0].parse().unwrap();
            for pair in words[1..].chunks(2) {
                let term: i64 = pair[1].parse().unwrap();
                value += if pair[0] == "+" { term } else { -term };
            }
            assert_eq!(task.answer, value.to_string(), "{text}");
        }
    }

    #[test]
    fn a_key_of_the_bounded_form_chooses_it() {
        let parse = |value| serde_json::from_value::<Params>(value);
        assert_eq!(parse(json!({})).unwrap(), Params::Digits(Digits::default()));
        assert_eq!(parse(json!({"total_max": 19})).unwrap(), Params::Bounded(Bounded::default()));
        let bounded = Params::Bounded(Bounded { terms: 7, ..Bounded::default() });
        assert_eq!(parse(serde_json::to_value(&bounded).unwrap()).unwrap(), bounded);
        let message = parse(json!({"terms": 7, "min_digits": 1})).unwrap_err().to_string();
        assert!(message.contains("min_digits") && message.contains("total_max"), "{message}");
    }

    #[test]
    fn ranges_that_hold_nothing_are_refused() {
        let tiny = Bounded::default();
        for params in [
            Params::Bounded(Bounded { terms: 1, ..tiny.clone() }),
            Params::Bounded(Bounded { first_max: 20, ..tiny.clone() }),
            Params::Bounded(Bounded { total_max: 0, ..tiny.clone() }),
            Params::Bounded(Bounded { term_max: 0, ..tiny.clone() }),
            Params::Bounded(Bounded { pad: 10, ..tiny }),
            Params::Digits(Digits { min_terms: 7, ..Digits::default() }),
            Params::Digits(Digits { max_digits: 16, ..Digits::default() }),
        ] {
            assert!(matches!(ChainSum::new(params.clone()), Err(Error::Params { .. })), "{params:?}");
        }
    }
}
