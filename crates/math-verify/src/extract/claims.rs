//! Claims in running text: the clause behind "answer", in the languages that models write, and the end of the last
//! sentence. A clause is read as a whole. What continues it (`or 13`, `± 1`) or bounds it (`at least 12`) makes it
//! something else than the number in it.

use super::doubts::{asked, is_doubted};
use super::minus::is_minus;
use super::{Anchor, Candidate, Found, Piece, negated};
use crate::units;
use std::ops::Range;

/// Bytes of a clause.
const MAX_CLAUSE: usize = 400;
/// Anchors whose clauses are read: the last ones.
const MAX_CLAIMS: usize = 4;

/// Words for the answer in other languages.
const FOREIGN: &[&str] = &[
    "\u{7b54}\u{6848}",
    "\u{7b54}\u{3048}",
    "\u{89e3}\u{7b54}",
    "\u{c815}\u{b2f5}",
    "\u{b2f5}\u{c740}",
    "r\u{e9}ponse",
    "respuesta",
    "Antwort",
    "antwoord",
    "resposta",
    "risposta",
    "\u{43e}\u{442}\u{432}\u{435}\u{442}",
    "\u{41e}\u{442}\u{432}\u{435}\u{442}",
    "\u{627}\u{644}\u{62c}\u{648}\u{627}\u{628}",
    "\u{627}\u{644}\u{625}\u{62c}\u{627}\u{628}\u{629}",
    "\u{909}\u{924}\u{94d}\u{924}\u{930}",
    "odpowied\u{17a}",
    "Cevap",
    "cevap",
];

/// What joins the word to the claim.
const COPULAS: &[&str] = &[
    ":",
    "=",
    "is",
    "are",
    "was",
    "est",
    "es",
    "ist",
    "\u{e9}",
    "\u{e8}",
    "lautet",
    "sind",
    "sont",
    "son",
    "\u{662f}",
    "\u{4e3a}",
    "\u{70ba}",
    "\u{306f}",
    "\u{c740}",
    "\u{b294}",
    "\u{647}\u{648}",
    "\u{647}\u{64a}",
    "\u{939}\u{948}",
    "\u{2014}",
    "-",
    "to",
    "this",
    "problem",
    "question",
    "the",
    "therefore",
    "thus",
    "simply",
    "then",
    "equals",
    "should",
    "be",
    "must",
    "given",
    "by",
    "exactly",
    "*",
    "\"",
    "}",
    "point",
    "points",
    "interval",
    "pair",
    "ordered",
    "set",
    "number",
    "value",
    "values",
    "vector",
    "fraction",
    "ratio",
    "equation",
    "expression",
    "line",
    "integer",
];

/// Words before a value that make another one of it.
const BOUNDS: &[&str] = &[
    "least",
    "most",
    "than",
    "under",
    "over",
    "above",
    "below",
    "between",
    "about",
    "around",
    "approximately",
    "approx",
    "roughly",
    "nearly",
    "almost",
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "up to",
    "either",
    "close to",
    "within",
    "exceeds",
    "exceed",
    "not",
    "before",
    "after",
    "beyond",
    "some",
];

/// What says that there is no answer.
const IGNORANCE: &[&str] = &[
    "unknown",
    "unclear",
    "not known",
    "undetermined",
    "cannot be determined",
    "can't be determined",
    "not sure",
    "i don't know",
    "i do not know",
    "not clear",
    "impossible to say",
    "uncertain",
];

/// Clauses behind the last anchors and the end of the last sentence, in order.
pub(super) fn candidates(text: &str, anchors: &[Anchor], out: &mut Vec<Candidate>) {
    let foreign = foreign(text);
    let known = anchors.iter().map(|anchor| (anchor.start, anchor.end, anchor.is_final));
    for (start, end, is_final) in known.chain(foreign).take(MAX_CLAIMS) {
        if let Some(question) = asked(text, start, end) {
            let found = Found::Hedge(Piece { text: end..question, percent: false });
            // Behind what is claimed anywhere, before what stands in the question.
            out.push(Candidate { priority: 200, span: start..question + 1, found });
            continue;
        }
        let colon = text[end..].trim_start_matches(['*', '"', ' ']).starts_with(':');
        let Some((from, joined)) = behind(text, end) else { continue };
        let priority = match (is_final, colon, joined) {
            (true, _, true) => 49,
            (_, true, _) => 99,
            (_, _, true) => 199,
            _ => continue,
        };
        let line = line_end(text, from);
        let clause = clause(text, from..line);
        let doubted = is_doubted(text, start);
        let found = if doubted {
            Some(Found::Hedge(Piece { text: clause.clone(), percent: false }))
        } else {
            judge(text, clause.clone(), line)
        };
        if let Some(found) = found {
            out.push(Candidate { priority, span: start..clause.end.max(end), found });
        }
    }
    if let Some(clause) = tail(text) {
        let found = judge(text, clause.clone(), line_end(text, clause.start));
        if let Some(found) = found {
            out.push(Candidate { priority: 290, span: clause, found });
        }
    }
}

/// The clause as a claim: something to parse, or something that claims no single value.
fn judge(text: &str, clause: Range<usize>, line: usize) -> Option<Found> {
    let piece = |range| Piece { text: range, percent: false };
    let lower = text[clause.clone()].to_lowercase();
    if IGNORANCE.iter().any(|words| lower.contains(words)) && !lower.contains(|c: char| c.is_ascii_digit()) {
        return Some(Found::Hedge(piece(clause)));
    }
    let rest = &text[clause.end..line];
    if clause.is_empty() || text[clause.clone()].contains("\\boxed") || negated(text, clause.start) {
        return None;
    }
    if is_hedged(&lower) || takes_back(rest) {
        return Some(Found::Hedge(piece(clause)));
    }
    Some(Found::Claim(piece(clause)))
}

/// Whether words of the clause bound or weaken its value.
fn is_hedged(lower: &str) -> bool {
    let value = lower.find(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\')).unwrap_or(lower.len());
    if value == lower.len() {
        return false;
    }
    let before = lower[..value]
        .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '(' | '~' | '\u{2248}'));
    let signs = ['~', '\u{2248}', '\u{2264}', '\u{2265}', '\u{2260}', '<', '>'];
    if lower[before.len()..value].contains(signs) || before.ends_with(signs) {
        // `x > 3` is a relation; `> 3` bounds.
        let subject = before.trim_end_matches(signs).trim_end();
        let word = subject.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        return !(word.chars().count() == 1 || subject.ends_with([')', '}', '|']));
    }
    let mut words = before.rsplit(|c: char| !c.is_alphabetic() && c != '\'').filter(|word| !word.is_empty());
    let last = words.next().unwrap_or_default();
    let pair = words.next().map(|word| format!("{word} {last}")).unwrap_or_default();
    if last == "not" || last.ends_with("n't") {
        return false; // a denial is another matter: what follows it may stand
    }
    BOUNDS.iter().any(|bound| *bound == last || *bound == pair)
}

/// Whether the rest of the line gives another value in its place.
fn takes_back(rest: &str) -> bool {
    const WORDS: &[&str] = &[
        "alternatively",
        "or maybe",
        "or perhaps",
        "could also be",
        "or possibly",
        "no, wait",
        "wait,",
        "correction",
    ];
    let lower = rest.to_lowercase();
    WORDS
        .iter()
        .any(|word| lower.find(word).is_some_and(|at| lower[at..].contains(|c: char| c.is_ascii_digit())))
}

/// Anchors in other languages, the last ones first.
fn foreign(text: &str) -> Vec<(usize, usize, bool)> {
    if text.is_ascii() && !text.contains(['A', 'C', 'r', 'c', 'a']) {
        return Vec::new();
    }
    let mut out: Vec<(usize, usize, bool)> =
        FOREIGN.iter().filter_map(|word| text.rfind(word).map(|at| (at, at + word.len(), false))).collect();
    out.sort_unstable_by_key(|(start, ..)| std::cmp::Reverse(*start));
    out
}

pub(super) fn line_end(text: &str, from: usize) -> usize {
    let limit = text.floor_char_boundary((from + MAX_CLAUSE).min(text.len()));
    text[from..limit].find('\n').map_or(limit, |at| from + at)
}

/// Where the claim starts behind an anchor, and whether a copula joins it: on the same line, or alone on the next.
fn behind(text: &str, end: usize) -> Option<(usize, bool)> {
    let mut at = end;
    let mut joined = false;
    loop {
        let line = line_end(text, at);
        let rest = text[at..line].trim_start();
        at = line - rest.len();
        if rest.is_empty() {
            // `### Final answer`, then the answer on its line.
            let next = text[line..].trim_start();
            return (!next.is_empty()).then_some((text.len() - next.len(), true));
        }
        let copula = COPULAS.iter().find(|copula| {
            rest.strip_prefix(**copula).is_some_and(|next| {
                let is_word = copula.ends_with(char::is_alphanumeric) && copula.is_ascii();
                if **copula == "-" {
                    return next.starts_with(' ') && !joined;
                }
                !is_word || !next.starts_with(char::is_alphanumeric)
            })
        });
        match copula {
            Some(copula) => {
                joined |= !matches!(
                    *copula,
                    "*" | "\""
                        | "the"
                        | "to"
                        | "this"
                        | "problem"
                        | "question"
                        | "}"
                        | "point"
                        | "set"
                        | "number"
                        | "value"
                        | "line"
                );
                at += copula.len();
            }
            None => return Some((at, joined)),
        }
    }
}

/// The clause that starts here: up to the end of the sentence, a reason, an aside or a dash.
fn clause(text: &str, range: Range<usize>) -> Range<usize> {
    const ENDS: &[&str] = &[
        "; ",
        ", because",
        " because",
        ", since",
        " since ",
        ", so ",
        ", which",
        ", as ",
        ", where",
        ", not ",
        ", but ",
        ", and so",
        ", for ",
        " \u{2014}",
        "\u{2014}",
        ", thus",
        ", hence",
        ", and the",
        ", and it",
        ", giving",
        ", I ",
        ", if ",
        " if ",
        " when ",
        ", or rather",
        " as required",
        ", as required",
        ", that is",
        ", i.e.",
        " - ",
        " i.e.",
    ];
    let line = &text[range.clone()];
    let mut end = line.len();
    for mark in ENDS {
        if let Some(at) = line[..end].find(mark)
            && at > 0
            && !(*mark == " - " && is_minus(line, at + 3))
        {
            end = at;
        }
    }
    // A full stop ends it, unless digits stand on both sides.
    for (at, _) in line[..end].match_indices(['.', '!', '?']) {
        let next = line[at + 1..].chars().next();
        let is_factorial = line[at..].starts_with('!') && next.is_some_and(|c| !c.is_whitespace());
        if next.is_none_or(char::is_whitespace) && !is_factorial {
            let before_factorial =
                line[at..].starts_with('!') && line[..at].ends_with(|c: char| c.is_ascii_digit());
            if !before_factorial {
                end = at;
                break;
            }
        }
    }
    // An aside in brackets behind a number.
    for (at, _) in line[..end].match_indices(" (") {
        if line[..at].ends_with(|c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '$')
            && line[..at].contains(|c: char| c.is_ascii_digit())
            && !line[..at].contains('(')
        {
            end = at;
            break;
        }
    }
    let clause =
        line[..end].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '*' | '"'));
    range.start..range.start + clause.len()
}

/// What the last sentence says of its subject: behind its last `is`, `are`, `equals` or colon.
fn tail(text: &str) -> Option<Range<usize>> {
    const VERBS: &[&str] =
        &[" is ", " are ", " equals ", " be ", ": ", " get ", " gives ", " obtain ", " to be "];
    let trimmed = text.trim_end().trim_end_matches(['.', '!', '"']);
    let line_start = trimmed.rfind('\n').map_or(0, |at| at + 1);
    let near = trimmed.ceil_char_boundary(trimmed.len().saturating_sub(MAX_CLAUSE)).max(line_start);
    let line = &trimmed[near..];
    let sentence = line
        .match_indices(". ")
        .filter(|(at, _)| line[at + 2..].starts_with(char::is_uppercase))
        .map(|(at, _)| at + 2)
        .last()
        .unwrap_or(0);
    let sentence_text = &line[sentence..];
    let start = VERBS.iter().filter_map(|verb| sentence_text.rfind(verb).map(|at| at + verb.len())).max()?;
    let from = near + sentence + start;
    let from = trimmed.len() - without_place(&trimmed[from..]).len();
    let found = clause(text, from..trimmed.len());
    // A sentence that goes on to conclude something says it behind its conclusion.
    let rest = &text[found.end..trimmed.len()];
    let concludes =
        [", so", ", thus", ", hence", ", giving", ", and", ", but"].iter().any(|word| rest.starts_with(word));
    (!found.is_empty() && !concludes).then_some(found)
}

/// What stands behind `at the point` and its like, where that is a value in brackets: `(2, -3)`.
fn without_place(text: &str) -> &str {
    const WORDS: &[&str] = &["at ", "in ", "the ", "point ", "points ", "interval ", "ordered ", "pair "];
    let mut rest = text;
    while let Some(next) = WORDS.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = next.trim_start();
    }
    if rest.starts_with(['(', '[', '{', '$', '\\']) { rest } else { text }
}

/// Whether the number at this place of plain text is bounded, continued or one of several.
pub(super) fn is_hedge(text: &str, start: usize, end: usize) -> bool {
    let from = text.floor_char_boundary(start.saturating_sub(40));
    let before = &text[from..start];
    let line = before.rfind('\n').map_or(before, |at| &before[at + 1..]);
    let mut window = line.to_lowercase();
    window.push('0');
    if is_hedged(&window) && !window.ends_with("some0") {
        return true;
    }
    let rest = &text[end..line_end(text, end)];
    let next = rest.trim_start_matches([' ', '$', '*']);
    let digit = |text: &str| {
        text.trim_start().trim_start_matches(['$', '\\']).starts_with(|c: char| c.is_ascii_digit())
    };
    if let Some(other) = next.strip_prefix("or ") {
        let other = ["maybe ", "perhaps ", "possibly ", "more", "less", "fewer"]
            .iter()
            .find_map(|word| other.strip_prefix(word))
            .unwrap_or(other);
        return digit(other) || rest.contains("or more") || rest.contains("or less");
    }
    let word = &next[..next.find(|c: char| !c.is_alphabetic()).unwrap_or(next.len())];
    // 8, 9, or 10
    if next.strip_prefix(", ").is_some_and(digit) {
        return true;
    }
    if next.starts_with(['\u{b1}', '~']) || next.starts_with("\\pm") || next.starts_with("and a half") {
        return true;
    }
    if word == "to" && digit(&next[2..]) || units::scale(word).is_some() {
        return true;
    }
    rest.starts_with('-') && digit(&rest[1..])
}

/// What a text claims in words: behind its last anchor, in bold at its end, as a whole, or at the end of its last
/// sentence.
pub(crate) fn texts<'a>(text: &'a str, anchors: &[Anchor], bold: &[Range<usize>]) -> Vec<&'a str> {
    let mut out = Vec::new();
    let known = anchors.iter().map(|anchor| anchor.end);
    let anchored = known.chain(foreign(text).into_iter().map(|(_, end, _)| end)).find_map(|end| {
        let (from, joined) = behind(text, end)?;
        let clause = clause(text, from..line_end(text, from));
        joined.then(|| &text[clause])
    });
    out.extend(anchored);
    if let Some(last) = bold.last() {
        out.push(&text[last.clone()]);
    }
    let lines = text.trim().rsplit('\n').next().unwrap_or_default();
    if lines.len() < 100 {
        out.push(lines);
    }
    out.extend(tail(text).map(|range| &text[range]));
    out
}
