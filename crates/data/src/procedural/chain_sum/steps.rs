//! The bare form of a chain and its written solution: `14-8=06+1=07+2=09-6=03`. Total: no text panics.

use std::fmt::{self, Write as _};

/// A chain in its bare form: a first term of at least 0, then signed terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The terms, in order.
    pub terms: Vec<i64>,
}

impl fmt::Display for Problem {
    /// `14-8+1+2-6=`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            if i == 0 { write!(f, "{term}")? } else { write!(f, "{term:+}")? }
        }
        f.write_str("=")
    }
}

impl Problem {
    /// Reads what [`Display`](fmt::Display) writes; `None` for anything else. Terms have at most 9 digits.
    pub fn parse(prompt: &str) -> Option<Self> {
        let (first, mut rest) = number(prompt.strip_suffix('=')?)?;
        let mut terms = vec![first];
        while !rest.is_empty() {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (term, after) = number(rest.strip_prefix(['+', '-'])?)?;
            terms.push(sign * term);
            rest = after;
        }
        Some(Self { terms })
    }

    /// The running totals after the second term, the third, ...: one fewer than terms.
    pub fn totals(&self) -> Vec<i64> {
        let sum = |total: &mut i64, term: &i64| {
            *total += term;
            Some(*total)
        };
        self.terms.iter().scan(0, sum).skip(1).collect()
    }

    /// The steps as written in a thought, with the given texts in the places of the running totals. As many
    /// steps are written as there are texts; nothing at all for none.
    pub fn write_steps(&self, totals: &[String]) -> String {
        let mut steps = String::new();
        for (i, (pair, total)) in self.terms.windows(2).zip(totals).enumerate() {
            let first = if i == 0 { pair[0].to_string() } else { String::new() };
            let _ = write!(steps, "{first}{:+}={total}", pair[1]); // writing to a String cannot fail
        }
        steps
    }

    /// Whether the completion begins with a thought that holds every step with its right total, in order, and
    /// nothing else. A total that is corrected at once (`08W07`) counts by its last value; padding is free.
    pub fn shows_all_steps(&self, completion: &str) -> bool {
        let thought =
            completion.trim_start().strip_prefix("<think>").and_then(|text| text.split_once("</think>"));
        thought.is_some_and(|(thought, _)| self.read_steps(thought).is_some_and(str::is_empty))
    }

    /// What is left of the thought after all the steps; `None` when one is missing or wrong.
    fn read_steps<'a>(&self, thought: &'a str) -> Option<&'a str> {
        let (first, mut rest) = number(thought)?;
        let (&expected, terms) = self.terms.split_first()?;
        if first != expected {
            return None;
        }
        for (term, expected) in terms.iter().zip(self.totals()) {
            let step = rest.strip_prefix(&format!("{term:+}="))?;
            let (mut total, mut after) = number(step)?;
            while let Some(correction) = after.strip_prefix('W') {
                (total, after) = number(correction)?;
            }
            if total != expected {
                return None;
            }
            rest = after;
        }
        Some(rest)
    }
}

/// The number of 1 to 9 digits that a text begins with, and the rest.
fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.len() > 9 {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::Problem;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn only_right_totals_in_order_show_all_steps() {
        let problem = Problem::parse("14-8+1+2-6=").unwrap();
        assert_eq!(problem.totals(), [6, 7, 9, 3]);
        for (completion, shown) in [
            ("<think>14-8=06+1=07+2=09-6=03</think><answer>03</answer>", true),
            ("<think>14-8=6+1=7+2=9-6=3</think>3", true),
            ("<think>14-8=07W06+1=07+2=09-6=03</think><answer>03</answer>", true),
            ("<think>14-8=06+1=07+2=09-6=03</think><answer>04</answer>", true),
            ("<think></think><answer>03</answer>", false),
            ("<answer>03</answer>", false),
            ("14-8=06+1=07+2=09-6=03", false),
            ("<think>14-8=06+1=07+2=09-6=03", false),
            ("<think>14-8=06+1=07+2=09</think><answer>03</answer>", false),
            ("<think>14-8=07+1=08+2=10-6=04</think><answer>04</answer>", false),
            ("<think>14-8=06W07+1=07+2=09-6=03</think><answer>03</answer>", false),
            ("<think>14+1=15-8=07+2=09-6=03</think><answer>03</answer>", false),
            ("<think>14-8=06+1=07+2=09-6=03+1=04</think><answer>03</answer>", false),
        ] {
            assert_eq!(problem.shows_all_steps(completion), shown, "{completion}");
        }
    }

    #[test]
    fn what_is_no_chain_is_not_parsed() {
        for text in
            ["", "=", "1", "-1=", "1+=", "1++2=", "1+2=3", "1+2==", "9999999999+1=", "1 + 2 =", "١+1="]
        {
            assert_eq!(Problem::parse(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_problem_survives_its_own_text(first in 0..1_000_i64, mut terms in proptest::collection::vec(-99..99_i64, 0..8)) {
            terms.insert(0, first);
            let problem = Problem { terms };
            prop_assert_eq!(Problem::parse(&problem.to_string()), Some(problem));
        }

        #[test]
        fn the_written_solution_shows_all_steps(first in 0..1_000_i64, terms in proptest::collection::vec(1..99_i64, 1..8)) {
            let problem = Problem { terms: std::iter::once(first).chain(terms).collect() };
            let totals: Vec<_> = problem.totals().iter().map(ToString::to_string).collect();
            let thought = format!("<think>{}</think>", problem.write_steps(&totals));
            prop_assert!(problem.shows_all_steps(&thought), "{}", thought);
        }

        #[test]
        fn no_completion_panics(text in any::<String>(), steps in "[-0-9+=W]{0,40}") {
            let problem = Problem { terms: vec![14, -8] };
            let shown = problem.shows_all_steps(&format!("<think>{steps}</think>"));
            prop_assert_eq!(shown, problem.read_steps(&steps) == Some(""));
            prop_assert!(!problem.shows_all_steps(&text));
            prop_assert!(Problem::parse(&text).is_none_or(|p| p.terms.len() <= text.len()));
        }
    }
}
