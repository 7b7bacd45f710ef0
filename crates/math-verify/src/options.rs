//! What is looked for and what counts as equal, and the operations under these options.

use crate::Error;
use crate::answer::{self, Answer, Source};
use crate::budget::Budget;
use crate::compare::{self, Rules};
use crate::expr::Expr;
use crate::scalar::Sameness;
use crate::tolerance::Tolerance;
use crate::verdict::{Outcome, Reason, Verdict};
use crate::{gold, number};

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
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The notations in which answers are looked for: [`Target::Latex`] and [`Target::Expr`] by default.
    pub targets: Vec<Target>,
    /// Whether the names of variables matter: [`Variables::Strict`] by default.
    pub variables: Variables,
    /// Whether an inequality may stand for a set: [`SetRelation::Allowed`] by default.
    pub set_relation: SetRelation,
    /// Where the answer must stand: [`Require::Anything`] by default.
    pub require: Require,
    /// How far a value may be off: not at all by default.
    pub tolerance: Option<Tolerance>,
    /// How a comma between digits of a gold answer is read: [`Comma::List`] by default.
    pub comma: Comma,
}

/// Where a completion's answer must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Require {
    /// Anywhere.
    Anything,
    /// In a `\\boxed` or `\\fbox`; elsewhere it is no answer.
    Boxed,
}

/// What a comma between digits means in a gold answer where both readings stand, `1,5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comma {
    /// It separates two numbers.
    List,
    /// It is a decimal point.
    Decimal,
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
            set_relation: SetRelation::Allowed,
            require: Require::Anything,
            tolerance: None,
            comma: Comma::List,
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

    /// Several gold texts that are one answer together, in any order: each is read on its own.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), for the first of them that has no answer.
    pub fn parse_all(&self, texts: &[&str]) -> Result<Answer, Error> {
        let budget = Budget::new();
        let mut values = Vec::with_capacity(texts.len());
        let mut unread = None;
        let mut pieces = Vec::with_capacity(texts.len());
        for text in texts {
            let answer = answer::read(self, text, Source::Gold, &budget)?;
            pieces.push(answer.text);
            match answer.value {
                Ok(Expr::List(elements)) => values.extend(elements),
                Ok(value) => values.push(value),
                Err(error) => unread = unread.or(Some(error)),
            }
        }
        let value = match unread {
            Some(error) => Err(error),
            None if values.len() == 1 => Ok(values.remove(0)),
            None => Ok(Expr::List(values)),
        };
        Ok(Answer { text: pieces.join(", "), value, steps: budget.spent() })
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
        let verdict = match answer::read(self, text, source, &budget) {
            Ok(answer) => self.decide(gold, &answer, &budget),
            Err(error) => Verdict { outcome: Outcome::Wrong, extracted: None, reason: Reason::Answer(error) },
        };
        let is_worded = gold.value.as_ref().is_ok_and(gold::is_worded);
        if verdict.is_correct() || !is_worded || self.require == Require::Boxed {
            return verdict;
        }
        // An answer in words is claimed in words: the first claim that could be one decides.
        let claims = answer::claims(text);
        let words = |claim: &&Answer| (1..=8).contains(&claim.text.split_whitespace().count());
        let claimed = claims.iter().filter(words).map(|claim| self.decide(gold, claim, &budget));
        claimed.into_iter().find(Verdict::is_correct).unwrap_or(verdict)
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
        if gold.plain() == answer.plain() && (answer.value.is_ok() || gold.value.is_err()) {
            return verdict(Outcome::Correct, Reason::SameText);
        }
        let text = || gold.text.clone();
        match (&gold.value, &answer.value) {
            (Err(error), _) => {
                verdict(Outcome::Undecided, Reason::Gold { gold: text(), error: error.clone() })
            }
            // The gold answer took what there was to read with.
            (_, Err(error @ Error::TooLarge)) if Budget::is_short(gold.steps) => {
                verdict(Outcome::Undecided, Reason::Answer(error.clone()))
            }
            // What cannot be read is no answer: were it left out, being unreadable would pay.
            (_, Err(error)) => verdict(Outcome::Wrong, Reason::Answer(error.clone())),
            (Ok(expected), Ok(value)) => match self.read_sameness(gold, expected, answer, value, budget) {
                Sameness::Same => verdict(Outcome::Correct, Reason::Equal { gold: text() }),
                Sameness::Different => verdict(Outcome::Wrong, Reason::Different { gold: text() }),
                Sameness::Unknown(_) if leaves_work(expected, value) => {
                    verdict(Outcome::Wrong, Reason::Different { gold: text() })
                }
                Sameness::Unknown(why) => verdict(Outcome::Undecided, Reason::Undecided(why)),
            },
        }
    }

    /// Compares with the reading of a comma that fits the other side: `0,5` is a decimal to a number, and a pair to a
    /// list; `124,609` is one number to a number.
    fn read_sameness(
        &self,
        gold: &Answer,
        expected: &Expr,
        answer: &Answer,
        value: &Expr,
        budget: &Budget,
    ) -> Sameness {
        let gold_decimal =
            if self.comma == Comma::Decimal { number::decimal_comma(&gold.text) } else { None };
        let expected = gold_decimal.as_ref().unwrap_or(expected);
        let sameness = self.sameness(expected, value, budget);
        if sameness == Sameness::Same {
            return sameness;
        }
        let others = if expected.is_scalar() {
            [number::thousands(&answer.text), number::decimal_comma(&answer.text)]
        } else {
            [number::comma_list(&answer.text), None]
        };
        let mut last = sameness;
        for other in others.into_iter().flatten() {
            last = self.sameness(expected, &other, budget);
            if last == Sameness::Same {
                break;
            }
        }
        last
    }

    fn sameness(&self, gold: &Expr, answer: &Expr, budget: &Budget) -> Sameness {
        let rules =
            Rules { set_relation: self.set_relation == SetRelation::Allowed, tolerance: self.tolerance };
        let renamed = match self.variables {
            Variables::Strict => constant_of_integration(gold, answer),
            Variables::Renamed => renamed(gold, answer),
        };
        compare::compare(gold, renamed.as_ref().unwrap_or(answer), rules, budget)
    }
}

/// Whether an answer leaves a sum, a product, an integral or a limit to be worked out where the gold
/// answer is a number: were that unscored, writing one would pay.
fn leaves_work(gold: &Expr, answer: &Expr) -> bool {
    let is_work = |node: &Expr| matches!(node, Expr::Opaque("sum" | "prod" | "int" | "lim", _));
    let is_number =
        gold.is_scalar() && gold.symbols().is_empty() && !gold.any(&|node| matches!(node, Expr::Opaque(..)));
    is_number && answer.any(&is_work)
}

/// The answer with its variables named as the gold's, in order of occurrence.
fn renamed(gold: &Expr, answer: &Expr) -> Option<Expr> {
    let (names, given) = (gold.symbols(), answer.symbols());
    if names.len() != given.len() {
        return None;
    }
    Some(answer.with_names(&given, &names))
}

/// The answer with its `c` as the gold's `C`, or the reverse, where each has one of them as a term of its own: the name
/// of a constant of integration says nothing.
fn constant_of_integration(gold: &Expr, answer: &Expr) -> Option<Expr> {
    let has = |expr: &Expr, name: &str| {
        expr.any(&|node| {
            matches!(node, Expr::Sum(parts) if parts.iter().any(|part| matches!(part, Expr::Symbol(symbol) if symbol == name)))
        })
    };
    let only = |expr: &Expr, one: &str, other: &str| {
        has(expr, one) && !expr.any(&|node| matches!(node, Expr::Symbol(symbol) if symbol == other))
    };
    let (from, to) = match () {
        () if only(gold, "C", "c") && only(answer, "c", "C") => ("c", "C"),
        () if only(gold, "c", "C") && only(answer, "C", "c") => ("C", "c"),
        () => return None,
    };
    Some(answer.with_names(&[from.to_owned()], &[to.to_owned()]))
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
