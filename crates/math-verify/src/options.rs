//! What is looked for and what counts as equal, and the operations under these options.

use crate::Error;
use crate::answer::{self, Answer, Source};
use crate::budget::Budget;
use crate::compare::{self, Rules};
use crate::expr::Expr;
use crate::scalar::Sameness;
use crate::verdict::{Outcome, Reason, Verdict};

/// What to look for in a text, and what counts as equal. The default is that of Math-Verify.
///
/// Fields may be added; write the others as `..Options::default()`.
///
/// ```
/// use ruminate_math_verify::{Options, Target, Variables};
///
/// let letters = Options { targets: vec![Target::String], ..Options::default() };
/// assert!(letters.verify("B", "So the answer is (B).")?.is_correct());
///
/// let renamed = Options { variables: Variables::Renamed, ..Options::default() };
/// assert!(renamed.equal("f(x) = x^2 + 1", "f(t) = t^2 + 1")?);
/// # Ok::<(), ruminate_math_verify::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The notations in which answers are looked for: [`Target::Latex`] and [`Target::Expr`] by default.
    pub targets: Vec<Target>,
    /// Whether the names of variables matter: [`Variables::Strict`] by default.
    pub variables: Variables,
    /// Whether an inequality may stand for a set: [`SetRelation::Refused`] by default.
    pub set_relation: SetRelation,
}

/// A notation in which answers are looked for (Math-Verify's extraction configurations).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Formulas in LaTeX, boxed or between delimiters (`LatexExtractionConfig`).
    Latex,
    /// Numbers and arithmetic in plain text (`ExprExtractionConfig`).
    Expr,
    /// The letters A to D (`StringExtractionConfig`).
    String,
}

/// What the names of variables mean (Math-Verify's `strict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variables {
    /// `f(x)` is not `f(y)`.
    Strict,
    /// As many variables in the same order are the same.
    Renamed,
}

/// Whether a predicted inequality may stand for a gold set (Math-Verify's `allow_set_relation_comp`). The reverse
/// is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetRelation {
    /// Only a predicted set for a gold inequality.
    Refused,
    /// Both ways.
    Allowed,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: vec![Target::Latex, Target::Expr],
            variables: Variables::Strict,
            set_relation: SetRelation::Refused,
        }
    }
}

impl Options {
    /// Finds the answer of a text and parses it. An answer that has no meaning is not an error here: it still
    /// equals the same text ([`Answer::error`]).
    ///
    /// # Errors
    /// [`Error::NoAnswer`] and [`Error::UnclosedBox`].
    pub fn parse(&self, text: &str, source: Source) -> Result<Answer, Error> {
        answer::read(self, text, source, &Budget::new())
    }

    /// Verifies a completion against a gold answer, both as text.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] and [`Error::UnclosedBox`] of the gold text: then nothing is expected.
    pub fn verify(&self, gold: &str, completion: &str) -> Result<Verdict, Error> {
        let gold = self.parse(gold, Source::Gold)?;
        Ok(self.judge(&gold, completion, Source::Completion))
    }

    /// Whether an answer equals a gold answer; both texts are nothing but the answer.
    ///
    /// # Errors
    /// Why either text has no answer or no meaning; [`Error::Undecided`] where equality is not decided.
    pub fn equal(&self, gold: &str, answer: &str) -> Result<bool, Error> {
        let gold = self.parse(gold, Source::Gold)?;
        let verdict = self.judge(&gold, answer, Source::Answer);
        match (verdict.outcome, verdict.reason) {
            (_, Reason::Answer(error) | Reason::Gold { error, .. }) => Err(error),
            (_, Reason::Undecided(why)) => Err(Error::Undecided(why)),
            (outcome, _) => Ok(outcome == Outcome::Correct),
        }
    }

    /// Verifies a text against a gold answer that has been parsed once, for many completions of one problem. The
    /// verdict is that of [`verify`](Self::verify).
    pub fn judge(&self, gold: &Answer, text: &str, source: Source) -> Verdict {
        let budget = Budget::after(gold.steps);
        match answer::read(self, text, source, &budget) {
            Ok(answer) => self.decide(gold, &answer, &budget),
            Err(error) => Verdict { outcome: Outcome::Wrong, extracted: None, reason: Reason::Answer(error) },
        }
    }

    /// Compares an answer with a gold answer, both parsed. The order matters: the gold answer says which form
    /// counts.
    pub fn compare(&self, gold: &Answer, answer: &Answer) -> Verdict {
        self.decide(gold, answer, &Budget::after(gold.steps.saturating_add(answer.steps)))
    }

    pub(crate) fn wants(&self, target: Target) -> bool {
        self.targets.contains(&target)
    }

    fn decide(&self, gold: &Answer, answer: &Answer, budget: &Budget) -> Verdict {
        let verdict = |outcome, reason| Verdict { outcome, extracted: Some(answer.text.clone()), reason };
        if gold.normal() == answer.normal() {
            return verdict(Outcome::Correct, Reason::SameText);
        }
        let text = || gold.text.clone();
        match (&gold.value, &answer.value) {
            (Err(error), _) => {
                verdict(Outcome::Undecided, Reason::Gold { gold: text(), error: error.clone() })
            }
            (_, Err(error @ Error::Malformed(_))) => verdict(Outcome::Wrong, Reason::Answer(error.clone())),
            (_, Err(error)) => verdict(Outcome::Undecided, Reason::Answer(error.clone())),
            (Ok(expected), Ok(value)) => match self.sameness(expected, value, budget) {
                Sameness::Same => verdict(Outcome::Correct, Reason::Equal { gold: text() }),
                Sameness::Different => verdict(Outcome::Wrong, Reason::Different { gold: text() }),
                Sameness::Unknown(why) => verdict(Outcome::Undecided, Reason::Undecided(why)),
            },
        }
    }

    fn sameness(&self, gold: &Expr, answer: &Expr, budget: &Budget) -> Sameness {
        let rules = Rules { set_relation: self.set_relation == SetRelation::Allowed };
        let renamed = match self.variables {
            Variables::Strict => None,
            Variables::Renamed => renamed(gold, answer),
        };
        compare::compare(gold, renamed.as_ref().unwrap_or(answer), rules, budget)
    }
}

/// The answer with its variables named as the gold's, in order of occurrence.
fn renamed(gold: &Expr, answer: &Expr) -> Option<Expr> {
    let (names, given) = (gold.symbols(), answer.symbols());
    if names.len() != given.len() {
        return None;
    }
    Some(with_names(answer, &given, &names))
}

fn with_names(expr: &Expr, given: &[String], names: &[String]) -> Expr {
    match expr {
        Expr::Symbol(name) => {
            let at = given.iter().position(|known| known == name);
            at.map_or_else(|| expr.clone(), |at| Expr::Symbol(names[at].clone()))
        }
        _ => expr.map(&mut |child| with_names(child, given, names)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Options, Outcome, Source};

    #[test]
    fn the_steps_of_reading_are_part_of_the_budget_of_a_verdict() {
        let options = Options::default();
        let (text, other) = ("$2\\sin x$", "$\\sin x+\\sin x$");
        let gold = options.parse(text, Source::Gold).expect("an answer");
        let answer = options.parse(other, Source::Completion).expect("an answer");
        assert!(gold.steps > 0 && answer.steps > gold.steps);
        assert_eq!(options.compare(&gold, &answer).outcome, Outcome::Correct);
        // Had reading used up the budget, nothing would be left to compare with, nor to read the other answer
        // with.
        let spent = |answer: &Answer| Answer { steps: u64::MAX, ..answer.clone() };
        assert_eq!(options.compare(&spent(&gold), &answer).outcome, Outcome::Undecided);
        assert_eq!(options.compare(&gold, &spent(&answer)).outcome, Outcome::Undecided);
        assert_eq!(options.judge(&spent(&gold), other, Source::Completion).outcome, Outcome::Undecided);
    }
}
