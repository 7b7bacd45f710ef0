//! An answer: where it stands in a text, how it is written, and what it means.

use crate::budget::Budget;
use crate::expr::Expr;
use crate::extract::{self, Candidate, Found, Piece, Targets, UnclosedBox};
use crate::normal::normal;
use crate::options::Require;
use crate::scalar::{self, Sameness};
use crate::{Error, Options, Target, gold, number, parse, text, words};
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

/// Bytes of a completion that may be nothing but its answer.
const MAX_BARE: usize = 256;
/// Candidates that are parsed before the search ends.
const MAX_ATTEMPTS: usize = 16;

/// What kind of text an answer is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The expected answer, alone or with its solution. It is trusted: its first notation counts even where it
    /// cannot be read, and a box that is never closed is a forgotten brace.
    Gold,
    /// What a model wrote: running text with an answer somewhere. A last box that is never closed was cut off, so
    /// that the text has no answer.
    Completion,
    /// A text that should be nothing but the answer, such as the content of an `<answer>` block. Formulas need no
    /// delimiters in it, whatever its length.
    Answer,
}

/// An answer that was found in a text.
///
/// [`text`](Self::text) is the piece of the text that holds it. Where that piece has a meaning, it has been
/// parsed; where it has none, [`error`](Self::error) is the reason, and the answer equals the same text alone.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) text: String,
    pub(crate) value: Result<Expr, Error>,
    /// Steps of the budget that reading took.
    pub(crate) steps: u64,
}

impl Answer {
    /// The answer as it is written, without delimiters; several formulas that are one answer are joined by commas.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why the answer has no meaning: [`Error::Malformed`], [`Error::UnknownNotation`] or [`Error::TooLarge`].
    pub fn error(&self) -> Option<&Error> {
        self.value.as_ref().err()
    }

    /// The text without what only changes its looks.
    pub(crate) fn plain(&self) -> String {
        let plain =
            self.text.replace("\\left", "").replace("\\right", "").replace("\\,", " ").replace('$', "");
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

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Finds and parses the answer of a text.
pub(crate) fn read(options: &Options, text: &str, source: Source, budget: &Budget) -> Result<Answer, Error> {
    let before = budget.spent();
    let normal = normal(text);
    let reading = if source == Source::Gold {
        gold::read(options, &normal.text, budget)?
    } else {
        find(options, &normal.text, &normal.bold, source, budget)?
    };
    Ok(Answer { text: reading.piece, value: reading.value, steps: budget.spent() - before })
}

/// What a text without a box claims in words, the likeliest claim first.
pub(crate) fn claims(text: &str) -> Vec<Answer> {
    let normal = normal(text);
    if normal.text.contains("\\boxed") || normal.text.contains("\\fbox") {
        return Vec::new();
    }
    let read =
        |claim: &str| Answer { text: claim.trim().to_owned(), value: Ok(text::expression(claim)), steps: 0 };
    extract::texts(&normal.text, &normal.bold).into_iter().map(read).collect()
}

/// An answer that was found, parsed or not.
pub(crate) struct Reading {
    pub(crate) piece: String,
    pub(crate) value: Result<Expr, Error>,
}

/// The notations that are looked for.
pub(crate) fn targets(options: &Options) -> Targets {
    Targets {
        latex: options.wants(Target::Latex),
        expr: options.wants(Target::Expr),
        string: options.wants(Target::String),
    }
}

/// Finds and parses the answer of what a model wrote.
fn find(
    options: &Options,
    text: &str,
    bold: &[Range<usize>],
    source: Source,
    budget: &Budget,
) -> Result<Reading, Error> {
    if options.require == Require::Boxed {
        let found = match extract::candidates(text, Targets { latex: true, expr: false, string: false }) {
            Ok(found) => found.into_iter().find(|candidate| matches!(candidate.found, Found::Boxed(_))),
            Err(UnclosedBox) => return Err(Error::UnclosedBox),
        };
        return found.map(|candidate| read_candidate(text, &candidate, budget)).ok_or(Error::NoAnswer);
    }
    if (source != Source::Completion || text.len() <= MAX_BARE)
        && let Some(reading) = whole(options, text, source, budget)
    {
        return Ok(reading);
    }
    let mut candidates =
        extract::candidates(text, targets(options)).map_err(|UnclosedBox| Error::UnclosedBox)?;
    // What is set in bold last, with no number behind it, is meant before any number of the text.
    if let Some(last) = bold.last()
        && options.wants(Target::Latex)
        && !text[last.end..].contains(|c: char| c.is_ascii_digit())
    {
        let found = Found::Claim(Piece { text: last.clone(), percent: false });
        let at = candidates.partition_point(|candidate| candidate.priority < 280);
        candidates.insert(at, Candidate { priority: 280, span: last.clone(), found });
    }
    let mut first: Option<Reading> = None;
    for candidate in candidates.iter().take(MAX_ATTEMPTS) {
        let reading = read_candidate(text, candidate, budget);
        if matches!(candidate.found, Found::Hedge(_)) {
            return Ok(reading);
        }
        let is_box = matches!(candidate.found, Found::Boxed(_));
        match &reading.value {
            Ok(_) => {
                return Ok(reading);
            }
            // What was boxed is the answer, even where it cannot be read; so is a formula that may mean something.
            // Only what is no formula at all leads on to the next candidate.
            Err(Error::Malformed(_)) if !is_box => {
                first = first.or(Some(reading).filter(|_| !matches!(candidate.found, Found::Claim(_))));
            }
            Err(_) => return Ok(first.unwrap_or(reading)),
        }
    }
    first.ok_or(Error::NoAnswer)
}

/// A text that is nothing but its answer, without delimiters.
fn whole(options: &Options, text: &str, source: Source, budget: &Budget) -> Option<Reading> {
    let text = undressed(text);
    if options.wants(Target::Expr)
        && !text.contains(" (")
        && let Some(found) = extract::whole(text)
    {
        let candidate = Candidate { priority: 0, span: 0..text.len(), found };
        return Some(read_candidate(text, &candidate, budget)).filter(|reading| reading.value.is_ok());
    }
    let has_delimiters =
        ["$", "\\(", "\\[", "\\boxed", "\\fbox"].iter().any(|delimiter| text.contains(delimiter));
    if !options.wants(Target::Latex) || has_delimiters || text.contains('\n') {
        return None;
    }
    let text = claimed(text);
    if source == Source::Completion && has_particles(&text) {
        return None;
    }
    let value = parse::formula(&text, budget).ok()?;
    // Words are an answer only where nothing else is expected, or to a question that asks for words.
    let fits = source != Source::Completion || !value.any(&|node| matches!(node, Expr::Text(_)));
    fits.then(|| Reading { piece: text.trim().to_owned(), value: Ok(value) })
}

/// The text without quotes and brackets around it, a label and a full stop.
fn undressed(text: &str) -> &str {
    let text = text.trim();
    let text = text
        .strip_suffix(['.', '!'])
        .filter(|rest| !rest.ends_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(text);
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.unwrap_or(text).trim()
}

/// What a claim means in the grammar of formulas: `3 to 4` is a ratio, and an aside in brackets none of it.
fn claimed(text: &str) -> String {
    let text = text.trim();
    let cut = match text.find(" (") {
        Some(at) if text[..at].ends_with(|c: char| c.is_ascii_digit()) && text.ends_with(')') => &text[..at],
        _ => text,
    };
    let cut = spoken_unit(cut).unwrap_or(cut);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match cut.split_once(" to ") {
        Some((left, right)) if is_number(left.trim()) && is_number(right.trim()) => format!("{left}:{right}"),
        _ => without_separators(cut),
    }
}

/// A number in running text without the letter of its unit, `100m`.
fn spoken_unit(text: &str) -> Option<&str> {
    let value = text.strip_suffix(['m', 'g', 's', 'h', 'L', 'N', 'J', 'W', 'V', 'K', 'C', 'F'])?;
    let is_number = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-'));
    (is_number && value.ends_with(|c: char| c.is_ascii_digit())).then_some(value)
}

/// Running text without separators of thousands: a list has spaces there.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_separator = c == ','
            && at > 0
            && bytes[at - 1].is_ascii_digit()
            && digits(at + 1) == 3
            && bytes[..at].iter().rev().take_while(|b| b.is_ascii_digit()).count() <= 3;
        if !is_separator {
            out.push(c);
        }
    }
    out
}

/// Whether a text has a word of the language that a formula would take for a product.
fn has_particles(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '\\');
    words.any(|word| word.len() > 1 && words::is_particle(word))
}

/// A clause of running text as a formula; words are no claim of a value.
fn claim(text: &str, budget: &Budget) -> Result<Expr, Error> {
    const NONE: Error = Error::Malformed("a clause that is no formula");
    if !text.matches('$').count().is_multiple_of(2) && !text.trim_start().starts_with('$') {
        return Err(NONE);
    }
    let bare = claimed(&gold::without_delimiters(text));
    if has_particles(&bare) {
        return Err(NONE);
    }
    match parse::formula(&bare, budget) {
        Ok(value) if value.any(&|node| matches!(node, Expr::Text(_) | Expr::Opaque(..))) => Err(NONE),
        Ok(value) => Ok(value),
        Err(_) => Err(NONE),
    }
}

pub(crate) fn read_candidate(text: &str, candidate: &Candidate, budget: &Budget) -> Reading {
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
                    Ok(Expr::Set(elements) | Expr::List(elements)) if pieces.len() > 1 => {
                        values.extend(elements);
                    }
                    Ok(value) => values.push(value),
                    Err(error) => return Reading { piece, value: Err(error) },
                }
            }
            let value = if values.len() == 1 && pieces.len() == 1 {
                values.remove(0)
            } else {
                Expr::List(restated(values, budget))
            };
            let value = match value {
                Expr::List(mut values) if values.len() == 1 && pieces.len() > 1 => values.remove(0),
                value => value,
            };
            Reading { piece, value: Ok(value) }
        }
        Found::Claim(piece) => {
            Reading { piece: shown(piece), value: claim(&text[piece.text.clone()], budget) }
        }
        Found::Hedge(piece) => Reading { piece: shown(piece), value: Err(HEDGED) },
        Found::Number(piece) | Found::Expression(piece) if extract::is_hedge(text, piece.text.clone()) => {
            Reading {
                piece: shown(piece),
                value: Err(Error::UnknownNotation("a number that is not claimed alone".to_owned())),
            }
        }
        Found::Number(piece) => {
            let value =
                plain_number(&text[piece.text.clone()]).map(|value| with_percent(value, piece.percent));
            Reading { piece: shown(piece), value: value.ok_or(Error::TooLarge) }
        }
        Found::Expression(piece) => Reading { piece: shown(piece), value: formula(piece) },
        // It is what was meant, even where it cannot be read: a number in it, or before it, is not.
        Found::Formula(piece) => Reading {
            piece: shown(piece),
            value: formula(piece).map_err(|_| Error::UnknownNotation("a formula in running text".to_owned())),
        },
        Found::Letter(piece) => {
            let name = text[piece.text.clone()].to_uppercase();
            Reading { piece: shown(piece), value: Ok(Expr::Text(name)) }
        }
    }
}

const HEDGED: Error = Error::Malformed("no single value is claimed");

/// Formulas that are joined, without those that say the same again: `\boxed{\frac{84}{2}} = \boxed{42}`.
fn restated(values: Vec<Expr>, budget: &Budget) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::with_capacity(values.len());
    for value in values {
        let known = kept.iter().any(|known| {
            known.is_scalar() && value.is_scalar() && scalar::compare(known, &value, budget) == Sameness::Same
        });
        if !known {
            kept.push(value);
        }
    }
    kept
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
