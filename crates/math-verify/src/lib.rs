//! Decides whether the final answer of a model's text equals the expected one, as mathematics: `0.5` is `\frac12`,
//! `x=11` answers `11`, and `\{2, 1\}` is `\{1, 2\}`. It is written for reinforcement learning from verifiable
//! rewards and for evaluation, where the text is untrusted: no text makes it panic, and the work for one verdict
//! is bounded. There is no computer algebra system below it, no Python and no `unsafe`.
//!
//! # A tour
//!
//! [`verify`] finds the answer in a completion and compares it with the gold answer. [`Verdict::reason`] displays
//! why.
//!
//! ```
//! use ruminate_math_verify::{Outcome, verify};
//!
//! let verdict = verify(r"$\frac{3}{4}$", r"Half of 1.5, so the answer is $\boxed{0.75}$.")?;
//! assert_eq!(verdict.outcome, Outcome::Correct);
//! assert_eq!(verdict.extracted.as_deref(), Some("0.75"));
//!
//! let verdict = verify("$7$", r"We get \boxed{8}.")?;
//! assert_eq!(verdict.outcome, Outcome::Wrong);
//! assert_eq!(verdict.reason.to_string(), "expected 7");
//! # Ok::<(), ruminate_math_verify::Error>(())
//! ```
//!
//! [`equal`] compares two answers that stand alone. The gold answer comes first, since it says which form counts.
//!
//! ```
//! use ruminate_math_verify::equal;
//!
//! assert!(equal("x^2 + 2x + 1", "(x+1)^2")?);
//! assert!(equal("-2 \\le x \\le 7", "[-2, 7]")?);
//! assert!(!equal("[-2, 7]", "(-2, 7)")?);
//! # Ok::<(), ruminate_math_verify::Error>(())
//! ```
//!
//! Not every question is decided. Then the outcome is [`Outcome::Undecided`], which is neither right nor wrong:
//!
//! ```
//! use ruminate_math_verify::{Error, Outcome, equal, verify};
//!
//! let verdict = verify(r"$\int_0^1 x\,dx$", r"\boxed{\frac12}")?;
//! assert_eq!(verdict.outcome, Outcome::Undecided);
//! assert!(matches!(equal(r"\sqrt{x^2}", "x"), Err(Error::Undecided(_))));
//! # Ok::<(), Error>(())
//! ```
//!
//! [`parse`] returns the [`Answer`] of a text. A gold answer is parsed once for many completions; [`Options`] say
//! what to look for and what counts as equal.
//!
//! ```
//! use ruminate_math_verify::{Options, Source, parse};
//!
//! let gold = parse("$1,234$ dollars", Source::Gold)?;
//! assert_eq!(gold.text(), "1,234 dollars");
//!
//! let options = Options::default();
//! let correct = |text: &&str| options.judge(&gold, text, Source::Completion).is_correct();
//! let completions = ["It costs 1234.", r"\boxed{1{,}234}", "The answer is 1,235."];
//! assert_eq!(completions.iter().filter(|text| correct(text)).count(), 2);
//! # Ok::<(), ruminate_math_verify::Error>(())
//! ```
//!
//! # Where the answer is
//!
//! A gold answer is read whole or not at all: delimiters, units and conditions aside, only a box or the word "answer"
//! lets the rest of a text be its solution ([`Answer::error`] says why one was not read).
//!
//! In a completion, in Math-Verify's order: `final answer is .. I hope`, then `\boxed` and `final answer .. is`, then what follows
//! `answer:` and `answer`, then the last value of the text. Of several boxes the last one counts, together with
//! its neighbours that are joined to it (`\boxed{1} and \boxed{2}` is the set of both). A last box that is never
//! closed is no answer, and neither is a value that the sentence denies (`the answer is not 42`). Tags of a chat
//! template, such as `</think>`, are plain text here: pass what follows them.
//!
//! # What equals what
//!
//! Exact rationals are compared first, then quotients of polynomials, then values at fixed points with proven
//! error bounds. A decimal may be rounded: six places decide. The comparison is not symmetric, as in Math-Verify:
//!
//! - a bare gold `11` accepts `x = 11`, and a gold `x = 11` accepts a bare `11`;
//! - an inequality and an interval accept each other, unless [`SetRelation::Refused`];
//! - words compare as words, quantities are converted, lists count how often an element occurs, assignments go by
//!   name, and what cannot be read in a completion is wrong;
//! - a pair is an open interval where the other side is one; the order of a tuple counts, that of a set does not.
//!
//! It is stricter than Math-Verify where that guesses: a single letter behind a number is no unit, tiny decimals
//! do not equal zero, and expressions that agree for positive variables only are undecided.
//!
//! # Limits
//!
//! Extraction takes linear time in the length of the text. Everything behind it draws on a budget of 10,000 steps
//! per verdict, reading of the gold answer included. Steps count work, not time, so the same texts have the same
//! verdict on every machine; a step takes one to two microseconds. What exceeds the budget is [`Error::TooLarge`]
//! or undecided.
//!
//! | bound | value |
//! |---|---|
//! | length of a formula | 8,192 bytes |
//! | brackets within brackets | 48 |
//! | operators of a formula that nest without brackets (`9!!`, `a/b/c`) | 100 |
//! | numerator or denominator | 20,000 bits |
//! | terms of a polynomial | 200 |
//! | elements of a set, pieces of a union | 64, 32 |
//! | rows or columns of a matrix | 16 |
//! | candidates of a text that are parsed | 16 |

mod algebra;
mod answer;
mod ball;
mod budget;
mod calendar;
mod call;
mod compare;
mod conditions;
mod error;
mod eval;
mod expr;
mod extract;
mod french;
mod gold;
mod intervals;
mod layout;
mod lex;
mod lists;
mod matrix;
mod normal;
mod number;
mod options;
mod parse;
mod relations;
mod scalar;
mod term;
mod text;
mod token;
mod tolerance;
mod typed;
mod units;
mod verdict;
mod words;

pub use answer::{Answer, Source};
pub use error::Error;
pub use options::{Comma, Options, Require, SetRelation, Target, Variables};
pub use tolerance::Tolerance;
pub use verdict::{Outcome, Reason, Verdict};

/// Finds the answer of a text and parses it, under the default [`Options`]: [`Options::parse`].
///
/// # Errors
/// [`Error::NoAnswer`] and [`Error::UnclosedBox`].
pub fn parse(text: &str, source: Source) -> Result<Answer, Error> {
    Options::default().parse(text, source)
}

/// Verifies a completion against a gold answer, under the default [`Options`]: [`Options::verify`].
///
/// # Errors
/// [`Error::NoAnswer`] and [`Error::UnclosedBox`] of the gold text: then nothing is expected.
pub fn verify(gold: &str, completion: &str) -> Result<Verdict, Error> {
    Options::default().verify(gold, completion)
}

/// Whether an answer equals a gold answer, under the default [`Options`]: [`Options::equal`].
///
/// # Errors
/// Why either text has no answer or no meaning; [`Error::Undecided`] where equality is not decided.
pub fn equal(gold: &str, answer: &str) -> Result<bool, Error> {
    Options::default().equal(gold, answer)
}

/// The normal form that every text is read in: Markdown, HTML, full-width and compatibility characters resolved.
pub fn normal_form(text: &str) -> std::borrow::Cow<'_, str> {
    normal::normal(text).text
}

/// The number that a text consists of, without the unit behind it: `42` of `42 kg` and `42 m/s`. `None` where anything
/// else stands there, a number word (`42 million`) included.
///
/// ```
/// use ruminate_math_verify::value_of_quantity;
///
/// assert_eq!(value_of_quantity("42 apples"), Some("42"));
/// assert_eq!(value_of_quantity("42x"), None);
/// ```
pub fn value_of_quantity(text: &str) -> Option<&str> {
    units::value(text.trim())
}

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
