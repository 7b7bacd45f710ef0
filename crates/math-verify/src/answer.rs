//! `math`: whether a completion's final answer equals the expected one, as Math-Verify judges it, without a computer
//! algebra system and within a fixed budget of steps.
//!
//! It finds the answer (`extract`), parses it (`lex`, `parse`, `term`, `call`) and compares: exact rationals first, then
//! quotients of polynomials (`algebra`), then values at fixed points with proven errors (`ball`, `eval`). What none
//! of them decides is unscored, never correct. It refuses to know what a problem asked for.

mod algebra;
mod ball;
mod budget;
mod call;
mod compare;
mod eval;
mod expr;
mod extract;
mod intervals;
mod lex;
mod matrix;
mod number;
mod parse;
mod scalar;
mod term;
mod units;
mod words;

use crate::tags::{self, Malformed, Opening};
use crate::verifier::{Response, Verifier, unscored, verdict};
use budget::Budget;
use compare::Rules;
use expr::Expr;
use extract::{Candidate, Found, Piece, Targets, UnclosedBox};
use parse::ParseError;
use ruminate_data::{Outcome, Task, Verdict};
use scalar::Sameness;
use serde::Deserialize;

/// Judges the final answer of a completion, correct (1) or wrong (0).
///
/// **Where the answer is.** Behind the last `</think>`; in the `<answer>` block if there is one (then exactly one, by
/// [`tags::answer`]); there by Math-Verify's priorities. A thought that is never closed holds no answer. Of several
/// boxes the last one counts, together with its neighbours that are joined to it.
///
/// **What equals what.** See the module `compare` for the asymmetries. Where this is stricter than Math-Verify: a
/// single letter behind a number is no unit, tiny decimals do not equal zero, expressions that agree for positive
/// variables only are unscored, and so is what it cannot compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Math {
    /// What to look for.
    pub targets: Vec<Target>,
    /// Whether the names of variables matter.
    pub variables: Variables,
    /// Whether an inequality may stand for a set.
    pub set_relation: SetRelation,
}

/// A notation in which answers are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Formulas in LaTeX, boxed or between delimiters.
    Latex,
    /// Numbers and arithmetic in plain text.
    Expr,
    /// The letters A to D.
    String,
}

/// What the names of variables mean (Math-Verify's `strict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// `f(x)` is not `f(y)`.
    Strict,
    /// As many variables in the same order are the same.
    Renamed,
}

/// Whether a predicted inequality may stand for a gold set (Math-Verify's `allow_set_relation_comp`). The reverse is
/// always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetRelation {
    /// Only a predicted set for a gold inequality.
    Refused,
    /// Both ways.
    Allowed,
}

impl Default for Math {
    fn default() -> Self {
        Self {
            targets: vec![Target::Latex, Target::Expr],
            variables: Variables::Strict,
            set_relation: SetRelation::Refused,
        }
    }
}

/// Bytes of a response that may be nothing but its answer.
const MAX_BARE: usize = 256;
/// Candidates that are parsed before we give up.
const MAX_ATTEMPTS: usize = 16;

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let budget = Budget::new();
        let gold = match self.read(marked(&task.answer), Role::Gold, &budget) {
            Ok(gold) => gold,
            Err(why) => return unscored(format!("the gold answer: {}", why.in_words())),
        };
        let (text, role) = match final_part(response.text, response.opening()) {
            Ok(part) => part,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why),
        };
        let predicted = match self.read(text, role, &budget) {
            Ok(predicted) => predicted,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why.in_words()),
        };
        let piece = Some(predicted.piece.as_str());
        if gold.normal() == predicted.normal() {
            return verdict(Outcome::Correct, 1.0, piece, "the same text");
        }
        match (&gold.value, &predicted.value) {
            (Err(error), _) => Verdict {
                extracted: Some(predicted.piece),
                ..unscored(format!("the gold answer {:?}: {}", gold.piece, in_words(error)))
            },
            (_, Err(error @ ParseError::Malformed(_))) => {
                verdict(Outcome::Wrong, 0.0, piece, format!("not a formula: {}", in_words(error)))
            }
            (_, Err(error)) => {
                Verdict { extracted: Some(predicted.piece.clone()), ..unscored(in_words(error)) }
            }
            (Ok(expected), Ok(value)) => match self.compare(expected, value, &budget) {
                Sameness::Same => verdict(Outcome::Correct, 1.0, piece, format!("equal to {}", gold.piece)),
                Sameness::Different => {
                    verdict(Outcome::Wrong, 0.0, piece, format!("expected {}", gold.piece))
                }
                Sameness::Unknown(why) => Verdict { extracted: Some(predicted.piece), ..unscored(why) },
            },
        }
    }
}

/// The answer of a gold text: behind GSM8K's mark `####`, where it is given with its solution.
fn marked(gold: &str) -> &str {
    gold.rsplit_once("\n####").map_or(gold, |(_, answer)| answer)
}

/// The part of a response that holds its answer.
fn final_part(text: &str, opening: Opening) -> Result<(&str, Role), String> {
    match tags::answer(text, opening) {
        Ok(answer) => return Ok((answer, Role::Answer)),
        Err(Malformed::NoAnswer) if !text.contains("</answer>") => {}
        Err(malformed) => return Err(malformed.to_string()),
    }
    match text.rfind("</think>") {
        Some(at) if text[at..].contains("<think>") => Err("the last thought is not closed".to_owned()),
        Some(at) => Ok((&text[at + "</think>".len()..], Role::Response)),
        None if opening == Opening::InThought || text.contains("<think>") => {
            Err("the thought is not closed".to_owned())
        }
        None => Ok((text, Role::Response)),
    }
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Gold,
    /// Running text with an answer somewhere.
    Response,
    /// The content of an `<answer>` block, which may be nothing but the answer.
    Answer,
}

/// An answer that was found, parsed or not.
struct Reading {
    piece: String,
    value: Result<Expr, ParseError>,
}

impl Reading {
    /// The piece without what only changes its looks.
    fn normal(&self) -> String {
        let plain =
            self.piece.replace("\\left", "").replace("\\right", "").replace("\\,", " ").replace('$', "");
        let mut out = String::with_capacity(plain.len());
        for word in plain.split_whitespace() {
            // `1 2` is not `12`, and `\pi r` is not `\pir`.
            if out.ends_with(char::is_alphanumeric) && word.starts_with(char::is_alphanumeric) {
                out.push(' ');
            }
            out.push_str(word);
        }
        out
    }
}

enum NoAnswer {
    Missing,
    Unclosed,
}

impl NoAnswer {
    fn in_words(&self) -> &'static str {
        match self {
            Self::Missing => "no answer found",
            Self::Unclosed => "the last \\boxed is not closed",
        }
    }
}

fn in_words(error: &ParseError) -> String {
    match error {
        ParseError::Malformed(what) => (*what).to_owned(),
        ParseError::Unknown(what) => format!("{what} is not a notation that we know"),
        ParseError::TooLarge => "too large to parse within the step budget".to_owned(),
    }
}

impl Math {
    fn wants(&self, target: Target) -> bool {
        self.targets.contains(&target)
    }

    /// Finds and parses the answer of a text.
    fn read(&self, text: &str, role: Role, budget: &Budget) -> Result<Reading, NoAnswer> {
        if (role != Role::Response || text.len() <= MAX_BARE)
            && let Some(reading) = self.whole(text, budget)
        {
            return Ok(reading);
        }
        let targets = Targets {
            latex: self.wants(Target::Latex),
            expr: self.wants(Target::Expr),
            string: self.wants(Target::String),
        };
        let candidates = match extract::candidates(text, targets) {
            Ok(candidates) => candidates,
            // A gold text is not cut off; somebody forgot a brace. Its other notations still stand.
            Err(UnclosedBox) if role == Role::Gold => {
                let targets = Targets { latex: false, ..targets };
                extract::candidates(text, targets).unwrap_or_default()
            }
            Err(UnclosedBox) => return Err(NoAnswer::Unclosed),
        };
        let mut first: Option<Reading> = None;
        for candidate in candidates.iter().take(MAX_ATTEMPTS) {
            let reading = read_candidate(text, candidate, budget);
            let is_box = matches!(candidate.found, Found::Boxed(_));
            match &reading.value {
                Ok(_) => {
                    return Ok(reading);
                }
                // What was boxed is the answer, even where we cannot read it; so is a formula that may mean something,
                // and whatever a gold text says first. Only what is no formula at all leads on to the next candidate.
                Err(ParseError::Malformed(_)) if !is_box && role != Role::Gold => {
                    first = first.or(Some(reading));
                }
                Err(_) => return Ok(first.unwrap_or(reading)),
            }
        }
        first.ok_or(NoAnswer::Missing)
    }

    /// A text that is nothing but its answer, without delimiters.
    fn whole(&self, text: &str, budget: &Budget) -> Option<Reading> {
        if self.wants(Target::Expr)
            && let Some(found) = extract::whole(text)
        {
            let candidate = Candidate { priority: 0, span: 0..text.len(), found };
            return Some(read_candidate(text, &candidate, budget)).filter(|reading| reading.value.is_ok());
        }
        let has_delimiters =
            ["$", "\\(", "\\[", "\\boxed", "\\fbox"].iter().any(|delimiter| text.contains(delimiter));
        if !self.wants(Target::Latex) || has_delimiters || has_prose(text) {
            return None;
        }
        let value = parse::formula(text, budget);
        value.is_ok().then(|| Reading { piece: text.trim().to_owned(), value })
    }

    fn compare(&self, gold: &Expr, predicted: &Expr, budget: &Budget) -> Sameness {
        let rules = Rules { set_relation: self.set_relation == SetRelation::Allowed };
        let renamed = match self.variables {
            Variables::Strict => None,
            Variables::Renamed => renamed(gold, predicted),
        };
        compare::compare(gold, renamed.as_ref().unwrap_or(predicted), rules, budget)
    }
}

/// Whether it has words that are no part of a formula.
fn has_prose(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic() && c != '\\').filter(|word| word.len() > 1);
    !text.contains('\\') && words.clone().count() > 1
        || words.any(|word| {
            !word.starts_with('\\') && text.contains(' ') && words::word(word).is_none() && word.len() > 2
        })
}

/// The prediction with its variables named as the gold's, in order of occurrence.
fn renamed(gold: &Expr, predicted: &Expr) -> Option<Expr> {
    let (names, given) = (gold.symbols(), predicted.symbols());
    if names.len() != given.len() {
        return None;
    }
    Some(with_names(predicted, &given, &names))
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

fn read_candidate(text: &str, candidate: &Candidate, budget: &Budget) -> Reading {
    let with_percent = |value: Expr, percent: bool| {
        if percent && !matches!(value, Expr::Percent(_)) { Expr::Percent(Box::new(value)) } else { value }
    };
    let formula = |piece: &Piece| {
        parse::formula(&text[piece.text.clone()], budget).map(|value| with_percent(value, piece.percent))
    };
    let shown = |piece: &Piece| {
        let sign = if piece.percent { "%" } else { "" };
        format!("{}{sign}", text[piece.text.clone()].trim())
    };
    match &candidate.found {
        Found::Latex(pieces) | Found::Boxed(pieces) => {
            let piece = pieces.iter().map(shown).collect::<Vec<_>>().join(", ");
            let mut values = Vec::with_capacity(pieces.len());
            for part in pieces {
                match formula(part) {
                    // A list in one of several formulas joins the others.
                    Ok(Expr::Set(elements)) if pieces.len() > 1 => values.extend(elements),
                    Ok(value) => values.push(value),
                    Err(error) => return Reading { piece, value: Err(error) },
                }
            }
            let value =
                if values.len() == 1 && pieces.len() == 1 { values.remove(0) } else { Expr::Set(values) };
            Reading { piece, value: Ok(value) }
        }
        Found::Number(piece) => {
            let value =
                plain_number(&text[piece.text.clone()]).map(|value| with_percent(value, piece.percent));
            Reading { piece: shown(piece), value: value.ok_or(ParseError::TooLarge) }
        }
        Found::Expression(piece) => {
            let text = &text[piece.text.clone()];
            let value = mixed(text).map_or_else(|| formula(piece), |latex| parse::formula(&latex, budget));
            Reading { piece: shown(piece), value }
        }
        // It is what was meant, even where it cannot be read: a number in it, or before it, is not.
        Found::Formula(piece) => Reading {
            piece: shown(piece),
            value: formula(piece).map_err(|_| ParseError::Unknown("a formula in running text".to_owned())),
        },
        Found::Letter(piece) => {
            let name = text[piece.text.clone()].to_lowercase();
            Reading { piece: shown(piece), value: Ok(Expr::Symbol(name)) }
        }
    }
}

/// `1 1/2` as LaTeX writes it.
fn mixed(text: &str) -> Option<String> {
    let (whole, fraction) = text.trim().split_once(' ')?;
    let (above, below) = fraction.trim().split_once('/')?;
    let is_natural = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = [whole.strip_prefix('-').unwrap_or(whole), above, below];
    parts.into_iter().all(is_natural).then(|| format!("{whole}\\frac{{{above}}}{{{below}}}"))
}

/// `1,234.5`, `1 234`, `1000,99`, `.5`, `1.5e-3`.
fn plain_number(text: &str) -> Option<Expr> {
    let (negative, digits) = text.strip_prefix(['-', '\u{2212}']).map_or((false, text), |rest| (true, rest));
    if digits.contains(['e', 'E']) {
        let value = number::literal(&digits.replace('e', "E").replace(',', "."))?;
        return Some(if negative { Expr::Negative(Box::new(value)) } else { value });
    }
    let groups = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    let mut parts = groups.split([',', ' ']);
    let first = parts.next().unwrap_or_default();
    let grouped = first.len() <= 3 && !first.starts_with('0') && parts.all(|part| part.len() == 3);
    let plain = if grouped { digits.replace([',', ' '], "") } else { digits.replace(',', ".") };
    let value = number::literal(&plain)?;
    Some(if negative { Expr::Negative(Box::new(value)) } else { value })
}
