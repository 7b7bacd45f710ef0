//! The expected answer. It is read whole or not at all: a part of it, rewarded, would punish the whole. Only a box, or
//! the word "answer", says that the rest of a text is its solution.

use crate::answer::{Reading, read_candidate, targets};
use crate::budget::Budget;
use crate::expr::Expr;
use crate::extract::{self, Candidate, Found};
use crate::{Error, Options, Target, parse, text};

/// Reads a gold text that is in normal form.
pub(crate) fn read(options: &Options, text: &str, budget: &Budget) -> Result<Reading, Error> {
    let text = text.trim();
    let bare = ["\\text{", "\\textbf{", "\\mathrm{", "}", "$"]
        .iter()
        .fold(text.to_owned(), |text, dress| text.replace(dress, ""));
    if text::is_placeholder(text) || text::is_placeholder(&bare) {
        return Err(Error::NoAnswer);
    }
    if options.wants(Target::Latex)
        && let Some(found) = extract::boxed(text)
    {
        let candidate = Candidate { priority: 50, span: 0..text.len(), found };
        let reading = read_candidate(text, &candidate, budget);
        return Ok(reading);
    }
    if let Some(reading) = anchored(options, text, budget) {
        return Ok(reading);
    }
    if !options.wants(Target::Latex) && !options.wants(Target::Expr) {
        return letter(options, text, budget);
    }
    let bare = without_delimiters(text);
    let bare = bare.trim().trim_end_matches(['.', '\u{3002}']).trim_end();
    let bare = ["Solution is:", "Solution:", "\\approx", "\u{2248}"]
        .iter()
        .fold(bare, |bare, start| bare.strip_prefix(start).unwrap_or(bare).trim_start());
    let bare = probability(bare).unwrap_or(bare);
    let piece = bare.to_owned();
    // The same set in two notations: `x \ge 3: [3, \infty)`.
    let twice = bare.rsplit_once(':').filter(|(left, right)| {
        let is_set = right.trim_start().trim_start_matches("\\left").starts_with(['(', '[', '{', '\\']);
        is_set && right.contains(',') && left.contains(['<', '>', '\u{2264}', '\u{2265}', '\\'])
    });
    let read = parse::formula(bare, budget).or_else(|error| match twice {
        Some((left, right)) if parse::formula(left, budget).is_ok() => parse::formula(right, budget),
        _ => Err(error),
    });
    match read {
        Ok(value) => Ok(Reading { piece, value: Ok(value) }),
        Err(_) if options.wants(Target::String) => letter(options, text, budget),
        Err(error) => Ok(Reading { piece, value: Err(error) }),
    }
}

/// The value of the probability of an event, `P(X \le 2) = 0.8`: the event is words to the grammar.
fn probability(text: &str) -> Option<&str> {
    let name = ["\\mathbb{P}", "\\mathrm{P}", "\\Pr", "Pr", "P"];
    let rest = name.iter().find_map(|name| text.strip_prefix(name))?.trim_start();
    let rest = rest.strip_prefix("\\left").unwrap_or(rest).strip_prefix('(')?;
    let mut depth = 1_usize;
    let end = rest.find(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let (event, behind) = (&rest[..end], rest[end + 1..].trim_start());
    let is_event = event.contains(['<', '>', '=', '|', '\\', '\u{2264}', '\u{2265}']);
    let value = behind.strip_prefix('=')?.trim_start();
    (is_event && !value.is_empty() && !value.contains('=')).then_some(value)
}

/// The answer of a solution that names it: behind `answer is`, `answer:`.
fn anchored(options: &Options, text: &str, budget: &Budget) -> Option<Reading> {
    let lower = text.to_ascii_lowercase();
    if !["answer is", "answer:", "answer**:"].iter().any(|anchor| lower.contains(anchor)) {
        return None;
    }
    let candidates = extract::candidates(text, targets(options)).ok()?;
    let mut anchored = candidates.iter().filter(|candidate| candidate.priority < 290);
    anchored.find_map(|candidate| {
        let reading = read_candidate(text, candidate, budget);
        reading.value.is_ok().then_some(reading)
    })
}

/// The letter of a choice.
fn letter(options: &Options, text: &str, budget: &Budget) -> Result<Reading, Error> {
    let candidates = extract::candidates(text, targets(options)).map_err(|_| Error::UnclosedBox)?;
    let found = candidates.iter().find(|candidate| matches!(candidate.found, Found::Letter(_)));
    found.map(|candidate| read_candidate(text, candidate, budget)).ok_or(Error::NoAnswer)
}

/// Formulas without their delimiters, with what stands between them.
pub(crate) fn without_delimiters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let delimiter =
            ["$", "\\(", "\\)", "\\[", "\\]"].iter().find(|delimiter| rest.starts_with(**delimiter));
        let taken = match delimiter {
            // `\\[2pt]` breaks a line.
            Some(delimiter) if !out.ends_with('\\') => {
                if !out.ends_with(' ') && *delimiter != "$" {
                    out.push(' ');
                }
                delimiter.len()
            }
            _ => {
                let length = rest.chars().take(2).map(char::len_utf8).sum::<usize>();
                let length = if rest.starts_with("\\\\") || rest.starts_with("\\$") { length } else { 1 };
                out.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// Whether a gold answer is words, so that what a completion claims in words is its answer.
pub(crate) fn is_worded(value: &Expr) -> bool {
    matches!(value, Expr::Text(_) | Expr::Numbers(_))
        || matches!(value, Expr::List(elements) if elements.iter().all(|element| matches!(element, Expr::Text(_))))
}
