//! Numbers and arithmetic in plain text.

use super::{
    Anchor, Candidate, Found, KEPT, Piece, behind_is, hopes, negated, percent, sentence_end, window,
};
use crate::words::{self, Word, is_currency};

/// Bytes of an expression.
const MAX_RUN: usize = 2048;
/// Bytes of a formula in running text.
const MAX_FORMULA: usize = 200;
/// A minus sign of typography, which is also written for a hyphen.
const MINUS: char = '\u{2212}';

fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | MINUS | '*' | '\u{d7}' | '/' | '^' | '(' | ')' | '\u{f7}')
}

fn is_part(c: char) -> bool {
    c.is_ascii_digit() || c == '.' || c.is_whitespace() || is_operator(c)
}

/// Where a value may start at this place: behind the start of the text, white space or `=`, and `**`.
fn value_start(text: &str, at: usize) -> Option<usize> {
    let first = text[at..].chars().next();
    let start = match first {
        Some(c) if c.is_whitespace() || c == '=' => at + c.len_utf8(),
        _ if at == 0 => 0,
        _ => return None,
    };
    Some(if text[start..].starts_with("**") { start + 2 } else { start })
}

/// A stretch of digits and operators: where it can end, and its last operator before that.
#[derive(Clone, Copy, Debug)]
struct Run {
    until: usize,
    end: Option<usize>,
    operator: usize,
}

fn run(text: &str, from: usize) -> Run {
    let mut until = from;
    let mut end = None;
    for (at, c) in text[from..].char_indices() {
        if !is_part(c) || c == '\n' || at > MAX_RUN {
            break;
        }
        // A space before a bracket ends it: `10 (5 + 5)`.
        if c == '(' && at > 0 && text[..from + at].ends_with(' ') {
            let before = text[from..from + at].trim_end();
            if before.ends_with(|c: char| c.is_ascii_digit() || c == ')') {
                break;
            }
        }
        // It can end before a full stop, white space or a closing bracket.
        if at > 0 && (c == '.' || c == ')' || c.is_whitespace()) {
            end = Some(from + at);
        }
        until = from + at + c.len_utf8();
    }
    let rest = text[until..].strip_prefix("**").unwrap_or(&text[until..]);
    if rest.is_empty() || rest.starts_with(['.', ',', ':', ')', '$']) || rest.starts_with(char::is_whitespace)
    {
        end = Some(until);
    }
    let operator = end.map_or(0, |end| {
        let mut inner = text[from..end].char_indices().rev();
        inner.next(); // something must stand behind the operator
        inner.find(|(_, c)| is_operator(*c)).map_or(0, |(at, _)| from + at)
    });
    Run { until, end, operator }
}

/// An expression with an operator that starts here.
fn expression(text: &str, start: usize, known: &mut Option<Run>) -> Option<Found> {
    let rest = &text[start..];
    let digits = rest.strip_prefix(['-', MINUS]).unwrap_or(rest);
    let digits = digits.strip_prefix('(').unwrap_or(digits);
    let digits = digits.strip_prefix(['-', MINUS]).unwrap_or(digits);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let run = match known {
        Some(run) if start < run.until => *run,
        _ => *known.insert(run(text, start)),
    };
    let first_digit = text.len() - digits.len();
    let end = run.end.filter(|&end| end > start && run.operator > first_digit)?;
    if goes_on(&text[end..]) {
        return None;
    }
    Some(Found::Expression(Piece { text: start..end, percent: false }))
}

/// A number that starts here, with a currency sign before it and a percent sign behind it.
fn number(text: &str, start: usize) -> Option<(Found, usize)> {
    let start = match text[start..].chars().next() {
        Some(c) if is_currency(c) => start + c.len_utf8(),
        _ if text[start..].starts_with("\\$") => start + 2,
        _ => start,
    };
    let bytes = text.as_bytes();
    if start > 0 && bytes[start - 1].is_ascii_digit() {
        return None;
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let unsigned = text[start..].strip_prefix(['-', MINUS]).unwrap_or(&text[start..]);
    let first = text.len() - unsigned.len();
    if unsigned.starts_with(['\u{221a}', 'π']) {
        let end = formula_end(text, start);
        return Some((Found::Formula(Piece { text: start..end, percent: false }), end));
    }
    let whole = digits(first);
    let fraction = |at: usize, marks: &[u8]| {
        let mark = bytes.get(at).is_some_and(|b| marks.contains(b));
        let length = if mark { digits(at + 1) } else { 0 };
        if length > 0 { at + 1 + length } else { at }
    };
    let mut end = first + whole;
    if whole == 0 {
        end = fraction(first, b".");
        if end == first {
            return None;
        }
    } else {
        let mut grouped = end;
        if whole <= 3 && bytes[first] != b'0' {
            while bytes.get(grouped).is_some_and(|b| matches!(b, b' ' | b',')) && digits(grouped + 1) >= 3 {
                grouped += 4;
            }
        }
        end = if grouped > end { fraction(grouped, b".") } else { fraction(end, b".,") };
    }
    if bytes.get(end).is_some_and(|b| matches!(b, b'e' | b'E')) {
        // `1.5e-3`
        let power = end + 1 + usize::from(bytes.get(end + 1).is_some_and(|b| matches!(b, b'+' | b'-')));
        let length = digits(power);
        if (1..=3).contains(&length) && !text[power + length..].starts_with(char::is_alphanumeric) {
            end = power + length;
        }
    }
    if goes_on(&text[end..]) {
        let end = formula_end(text, start);
        return Some((Found::Formula(Piece { text: start..end, percent: false }), end));
    }
    let after = percent(text, end);
    Some((Found::Number(Piece { text: start..end, percent: after.is_some() }), after.unwrap_or(end)))
}

/// Whether a number before this text is only the beginning of a formula.
fn goes_on(rest: &str) -> bool {
    let next = rest.trim_start_matches(' ');
    let is_spaced = next.len() < rest.len();
    if next.starts_with("m\u{b2}") || next.starts_with("m\u{b3}") {
        return false; // square and cubic metres
    }
    let Some(sign) = next.chars().next() else { return false };
    let behind = &next[sign.len_utf8()..];
    match sign {
        ':' => !is_spaced && behind.starts_with(|c: char| c.is_ascii_digit()),
        '\u{221a}' | 'π' | '^' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2070}'..='\u{2079}' => true,
        // Single asterisks and dashes are also markup and punctuation.
        '*' if !is_spaced => !behind.starts_with('*') && starts_operand(behind),
        '+' | '-' | MINUS if !is_spaced => starts_operand(behind),
        '*' | '+' | '-' | MINUS | '\u{d7}' | '\u{b7}' | '\u{22c5}' | '/' => {
            starts_operand(behind.trim_start_matches(' '))
        }
        // A word behind a number is its unit, but for the names of functions; a letter is a variable, but for few.
        _ => {
            let word = leading_word(next);
            match word.chars().count() {
                0 => false,
                1 => !is_spaced && !is_unit(sign, behind),
                _ if is_spaced => is_function(word) && next[word.len()..].starts_with('(') || word == "pi",
                _ => is_function(word),
            }
        }
    }
}

/// Whether a letter at a number is a unit in running text: one of the usual, with nothing behind it that computes.
fn is_unit(letter: char, behind: &str) -> bool {
    let next = behind.trim_start();
    let ends =
        next.len() < behind.len() || next.is_empty() || next.starts_with(['.', ',', ';', ':', '!', '?', ')']);
    "mgshLNJWVKCF".contains(letter) && ends && !next.starts_with(|c| is_operator(c) && c != ')' || c == '=')
}

/// Whether a term with something else than digits starts here, or a digit that belongs to such a term.
fn starts_operand(text: &str) -> bool {
    let term = text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '('));
    let word = leading_word(term);
    term.starts_with(['\u{221a}', 'π']) || word.chars().count() == 1 || is_function(word)
}

fn leading_word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len())]
}

fn is_function(word: &str) -> bool {
    word == "pi" || (matches!(words::word(word), Some(Word::Command(_))) && !matches!(word, "min" | "max"))
}

/// Where a formula in running text ends: before the first word of the sentence that is none of its own.
fn formula_end(text: &str, start: usize) -> usize {
    let limit = text.floor_char_boundary((start + MAX_FORMULA).min(sentence_end(text, start)));
    let mut end = start;
    for token in text[start..limit].split_inclusive(' ') {
        let mut letters = token.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 1);
        if end > start && letters.any(|word| !is_function(word)) {
            break;
        }
        end += token.len();
        if token.trim_end().ends_with([',', ';', ':']) {
            break;
        }
    }
    let formula = text[start..end].trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '*')
    });
    let is_closed = formula.matches(')').count() <= formula.matches('(').count();
    start + if is_closed { formula.len() } else { formula.trim_end_matches(')').len() }
}

fn span_end(found: &Found) -> usize {
    match found {
        Found::Expression(piece)
        | Found::Formula(piece)
        | Found::Number(piece)
        | Found::Letter(piece)
        | Found::Claim(piece)
        | Found::Hedge(piece) => piece.text.end,
        Found::Latex(pieces) | Found::Boxed(pieces) => pieces.last().map_or(0, |piece| piece.text.end),
    }
}

fn value(text: &str, at: usize) -> Option<(Found, usize)> {
    let start = value_start(text, at)?;
    let found = match expression(text, start, &mut None) {
        Some(found) => {
            let end = span_end(&found);
            Some((found, end))
        }
        None => number(text, start),
    };
    found.filter(|_| !negated(text, start))
}

/// The whole text as one number or expression.
pub(super) fn whole(text: &str) -> Option<Found> {
    let trimmed = text.trim();
    let offset = text.len() - text.trim_start().len();
    let (found, end) = value(trimmed, 0)?;
    (end == trimmed.len()).then(|| match found {
        Found::Number(piece) => Found::Number(shifted(piece, offset)),
        Found::Expression(piece) => Found::Expression(shifted(piece, offset)),
        Found::Formula(piece) => Found::Formula(shifted(piece, offset)),
        other => other,
    })
}

fn shifted(piece: Piece, offset: usize) -> Piece {
    Piece { text: piece.text.start + offset..piece.text.end + offset, ..piece }
}

pub(super) fn candidates(text: &str, anchors: &[Anchor], out: &mut Vec<Candidate>) {
    let not_equated = |end: usize| !text[end..].trim_start().starts_with('=');
    for anchor in anchors {
        if anchor.is_final {
            for start in behind_is(text, anchor) {
                let spaced = text.len() - text[start..].trim_start().len();
                let before = text[..spaced].char_indices().next_back().map_or(0, |(at, _)| at);
                if let Some((found, end)) = value(text, before.max(start.min(before))) {
                    let priority = if hopes(text, end) { 0 } else { 50 };
                    out.push(Candidate { priority, span: anchor.start..end, found });
                    break;
                }
            }
        }
        let colon = text[anchor.end..].starts_with(':');
        let (priority, from) = if colon { (100, anchor.end + 1) } else { (200, anchor.end) };
        let line = text[from..].find('\n').map_or(text.len(), |at| from + at);
        let sentence = sentence_end(text, from);
        let places = window(text, from, 100);
        let equated =
            places.iter().rev().filter(|&&at| at < sentence && text[at..].starts_with('=')).map(|&at| {
                // `= 5`: the value starts at the last space behind the sign, or at the sign.
                let rest = text[at + 1..].trim_start();
                let start = text.len() - rest.len();
                if start == at + 1 { at } else { start - 1 }
            });
        let near = places.iter().take(51).copied().filter(|&at| at <= line && at < text.len());
        let found = equated.chain(near).find_map(|at| {
            let at = if text.is_char_boundary(at) { at } else { return None };
            value(text, at).filter(|(_, end)| not_equated(*end))
        });
        if let Some((found, end)) = found {
            out.push(Candidate { priority, span: anchor.start..end, found });
        }
    }
    let mut expressions: Vec<Candidate> = Vec::new();
    let mut numbers: Vec<Candidate> = Vec::new();
    let keep = |list: &mut Vec<Candidate>, candidate: Candidate| {
        if list.len() >= 2 * KEPT {
            list.drain(..KEPT);
        }
        list.push(candidate);
    };
    let (mut next_expression, mut next_number) = (0, 0);
    let mut known = None;
    for (at, c) in text.char_indices() {
        if at > 0 && c != '=' && !c.is_whitespace() {
            continue; // no value starts here
        }
        let Some(start) = value_start(text, at) else { continue };
        if at >= next_expression
            && let Some(found) = expression(text, start, &mut known)
        {
            next_expression = span_end(&found);
            // As in Math-Verify, the sign behind it belongs to the match.
            let span = at..(next_expression + 1).min(text.len());
            keep(&mut expressions, Candidate { priority: 300, span, found });
        }
        if at >= next_number
            && let Some((found, end)) = number(text, start)
        {
            next_number = end;
            keep(&mut numbers, Candidate { priority: 300, span: at..end, found });
        }
    }
    for candidates in [expressions, numbers] {
        let stands = |candidate: &Candidate| {
            value_start(text, candidate.span.start).is_none_or(|start| !negated(text, start))
        };
        out.extend(candidates.into_iter().rev().filter(stands).take(KEPT));
    }
}
