//! An answer: where it stands in a text, how it is written, and what it means.

use crate::budget::Budget;
use crate::expr::Expr;
use crate::extract::{self, Candidate, Found, Piece, Targets, UnclosedBox};
use crate::{Error, Options, Target, number, parse, words};
use std::fmt::{self, Display, Formatter};

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
    pub(crate) fn normal(&self) -> String {
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
    let reading = find(options, text, source, budget)?;
    Ok(Answer { text: reading.piece, value: reading.value, steps: budget.spent() - before })
}

/// An answer that was found, parsed or not.
struct Reading {
    piece: String,
    value: Result<Expr, Error>,
}

/// Finds and parses the answer of a text.
fn find(options: &Options, text: &str, source: Source, budget: &Budget) -> Result<Reading, Error> {
    if (source != Source::Completion || text.len() <= MAX_BARE)
        && let Some(reading) = whole(options, text, budget)
    {
        return Ok(reading);
    }
    let targets = Targets {
        latex: options.wants(Target::Latex),
        expr: options.wants(Target::Expr),
        string: options.wants(Target::String),
    };
    let candidates = match extract::candidates(text, targets) {
        Ok(candidates) => candidates,
        // A gold text is not cut off: the brace was forgotten. Its other notations still stand.
        Err(UnclosedBox) if source == Source::Gold => {
            let targets = Targets { latex: false, ..targets };
            extract::candidates(text, targets).unwrap_or_default()
        }
        Err(UnclosedBox) => return Err(Error::UnclosedBox),
    };
    let mut first: Option<Reading> = None;
    for candidate in candidates.iter().take(MAX_ATTEMPTS) {
        let reading = read_candidate(text, candidate, budget);
        let is_box = matches!(candidate.found, Found::Boxed(_));
        match &reading.value {
            Ok(_) => {
                return Ok(reading);
            }
            // What was boxed is the answer, even where it cannot be read; so is a formula that may mean something,
            // and whatever stands first in a gold text. Only what is no formula at all leads on to the next
            // candidate.
            Err(Error::Malformed(_)) if !is_box && source != Source::Gold => {
                first = first.or(Some(reading));
            }
            Err(_) => return Ok(first.unwrap_or(reading)),
        }
    }
    first.ok_or(Error::NoAnswer)
}

/// A text that is nothing but its answer, without delimiters.
fn whole(options: &Options, text: &str, budget: &Budget) -> Option<Reading> {
    if options.wants(Target::Expr)
        && let Some(found) = extract::whole(text)
    {
        let candidate = Candidate { priority: 0, span: 0..text.len(), found };
        return Some(read_candidate(text, &candidate, budget)).filter(|reading| reading.value.is_ok());
    }
    let has_delimiters =
        ["$", "\\(", "\\[", "\\boxed", "\\fbox"].iter().any(|delimiter| text.contains(delimiter));
    if !options.wants(Target::Latex) || has_delimiters || has_prose(text) {
        return None;
    }
    let value = parse::formula(text, budget);
    value.is_ok().then(|| Reading { piece: text.trim().to_owned(), value })
}

/// Whether it has words that are no part of a formula.
fn has_prose(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic() && c != '\\').filter(|word| word.len() > 1);
    !text.contains('\\') && words.clone().count() > 1
        || words.any(|word| {
            !word.starts_with('\\') && text.contains(' ') && words::word(word).is_none() && word.len() > 2
        })
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
            Reading { piece: shown(piece), value: value.ok_or(Error::TooLarge) }
        }
        Found::Expression(piece) => {
            let text = &text[piece.text.clone()];
            let value = mixed(text).map_or_else(|| formula(piece), |latex| parse::formula(&latex, budget));
            Reading { piece: shown(piece), value }
        }
        // It is what was meant, even where it cannot be read: a number in it, or before it, is not.
        Found::Formula(piece) => Reading {
            piece: shown(piece),
            value: formula(piece).map_err(|_| Error::UnknownNotation("a formula in running text".to_owned())),
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
