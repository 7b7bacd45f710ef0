//! Where in a text the answer stands. Candidates come in Math-Verify's order: `final answer is .. I hope` (0),
//! `final answer .. is` and `\boxed` (50), `answer:` (100), `answer` (200), a letter at the start (250), anything
//! (300); within one, the rightmost first. Extraction reads; it never decides whether something is right.
//!
//! Of several boxes the last one is the answer, with those right before it that are joined by "and", "or" or a
//! comma. A model may change its mind, and then an earlier box no longer counts. A last box that is never closed
//! is no answer, and nothing before it is one either. What stands behind a negation ("the answer is not 42") is
//! none.

mod claims;
mod doubts;
mod latex;
mod letters;
mod minus;
mod plain;

use std::ops::Range;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    pub(crate) latex: bool,
    pub(crate) expr: bool,
    pub(crate) string: bool,
}

/// A place where the answer may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) priority: u32,
    /// What the match covers, anchors included.
    pub(crate) span: Range<usize>,
    pub(crate) found: Found,
}

/// What stands there, as places in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One or more formulas; several are a set.
    Latex(Vec<Piece>),
    /// The same, in boxes.
    Boxed(Vec<Piece>),
    /// A number in plain text.
    Number(Piece),
    /// Digits and operators in plain text.
    Expression(Piece),
    /// A number in plain text that is only the beginning of a formula: `2 * sqrt(3)`, `6x^2`.
    Formula(Piece),
    /// A choice.
    Letter(Piece),
    /// A clause that may be the answer as a whole.
    Claim(Piece),
    /// A clause that claims no single value.
    Hedge(Piece),
}

/// A formula, and whether a percent sign stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: Range<usize>,
    pub(crate) percent: bool,
}

/// Candidates of a kind that are kept: the last ones.
const KEPT: usize = 24;
/// Occurrences of the word "answer" that are looked at: the last ones.
const ANCHORS: usize = 32;

/// All candidates in the order in which they are to be tried; `Err` when the last box is not closed.
pub(crate) fn candidates(text: &str, targets: Targets) -> Result<Vec<Candidate>, UnclosedBox> {
    let mut out = Vec::new();
    let anchors = anchors(text);
    if targets.latex {
        let boxed = latex::boxes(text)?;
        out.extend(boxed);
        latex::candidates(text, &anchors, &mut out);
    }
    if targets.latex && targets.expr && out.iter().all(|found| !matches!(found.found, Found::Boxed(_))) {
        claims::candidates(text, &anchors, &mut out);
    }
    if targets.expr {
        plain::candidates(text, &anchors, &mut out);
    }
    if targets.string {
        letters::candidates(text, &anchors, &mut out);
    }
    out.sort_by_key(|c| (c.priority, std::cmp::Reverse(c.span.end), c.span.start));
    Ok(out)
}

/// The last box of a text with those that are joined to it, or the content of a last box that is never closed.
pub(crate) fn boxed(text: &str) -> Option<Found> {
    if let Ok(found) = latex::boxes(text) {
        found.map(|candidate| candidate.found)
    } else {
        let at = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox"))?;
        let open = at + text[at..].find('{')? + 1;
        Some(Found::Boxed(vec![Piece { text: open..text.len(), percent: false }]))
    }
}

/// What a text claims in words, the likeliest first.
pub(crate) fn texts<'a>(text: &'a str, bold: &[Range<usize>]) -> Vec<&'a str> {
    claims::texts(text, &anchors(text), bold)
}

/// Whether the number at this place is bounded, continued or one of several.
pub(crate) fn is_hedge(text: &str, place: Range<usize>) -> bool {
    claims::is_hedge(text, place.start, place.end)
}

/// The last `\boxed` has no closing brace: the text was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnclosedBox;

/// Whether the whole text is one number or expression in plain notation.
pub(crate) fn whole(text: &str) -> Option<Found> {
    plain::whole(text)
}

/// The word "answer" and whether "final" stands before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    start: usize,
    end: usize,
    is_final: bool,
}

fn anchors(text: &str) -> Vec<Anchor> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut end = bytes.len();
    while out.len() < ANCHORS {
        let Some(at) = rfind_word(&bytes[..end], b"answer") else { break };
        let is_final = at >= 6 && bytes[at - 6..at].eq_ignore_ascii_case(b"final ");
        out.push(Anchor { start: if is_final { at - 6 } else { at }, end: at + 6, is_final });
        end = at;
    }
    out
}

fn rfind_word(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let first = word[0].to_ascii_lowercase();
    let is_word =
        |window: &[u8]| window[0].to_ascii_lowercase() == first && window.eq_ignore_ascii_case(word);
    bytes.windows(word.len()).rposition(is_word)
}

/// The first `count` characters from here on, as the byte offsets at which they start; also the end of the text.
fn window(text: &str, from: usize, count: usize) -> Vec<usize> {
    let rest = &text[from..];
    let mut out: Vec<usize> = rest.char_indices().take(count + 1).map(|(at, _)| from + at).collect();
    if out.len() <= count {
        out.push(text.len());
    }
    out
}

/// Where a match may start behind "final answer": right behind `is`, at most 100 characters on.
fn behind_is(text: &str, anchor: &Anchor) -> Vec<usize> {
    let mut out = Vec::new();
    for at in window(text, anchor.end, 100) {
        let rest = &text[at..];
        let word = rest.trim_start();
        if word.len() < rest.len() && word.starts_with("is") {
            let mut start = text.len() - word.len() + 2;
            if text[start..].starts_with(':') {
                start += 1;
            }
            if out.last() != Some(&start) {
                out.push(start);
            }
        }
    }
    out
}

/// Whether `. I hope` follows.
fn hopes(text: &str, end: usize) -> bool {
    let rest = text[end..].trim_start_matches('$');
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let rest = rest.strip_prefix(char::is_whitespace).unwrap_or(rest);
    rest.starts_with("I hope")
}

/// Words that may stand between a negation and what it denies.
const FILLERS: &[&str] = &[
    "be", "equal", "equals", "to", "the", "a", "an", "exactly", "actually", "really", "simply", "number",
    "value", "=",
];

/// Whether the words right before this place deny what stands there: `is not 42`, `isn't equal to $42$`.
fn negated(text: &str, at: usize) -> bool {
    let before = &text[text.floor_char_boundary(at.saturating_sub(48))..at];
    let is_markup =
        |c: char| c.is_whitespace() || matches!(c, '*' | '$' | '(' | '[' | '\\' | '"' | '`' | ':');
    let mut words = before.rsplit(is_markup).filter(|word| !word.is_empty()).map(str::to_lowercase);
    words.find(|word| !FILLERS.contains(&word.as_str())).is_some_and(|word| {
        matches!(word.as_str(), "not" | "never" | "cannot")
            || word.ends_with("n't")
            || word.ends_with("n\u{2019}t")
    })
}

/// Bytes of a sentence that are looked at.
const MAX_SENTENCE: usize = 512;

/// Where the sentence that goes on here ends: before a full stop with a new sentence behind it, or at the end of
/// the line.
fn sentence_end(text: &str, from: usize) -> usize {
    let near = &text[from..text.floor_char_boundary((from + MAX_SENTENCE).min(text.len()))];
    let line = &near[..near.find('\n').unwrap_or(near.len())];
    let mut stops = line.match_indices(['.', '!', '?']).map(|(at, _)| at);
    let end = stops.find(|at| {
        let next = line[at + 1..].trim_start();
        at + 1 + next.len() < line.len() && next.starts_with(char::is_uppercase)
    });
    from + end.unwrap_or(line.len())
}

/// A percent sign or word here, and where it ends.
fn percent(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].trim_start();
    let start = text.len() - rest.len();
    ["\\%", "%", "percentage", "Percentage", "percent", "Percent", "pct", "Pct"]
        .iter()
        .find(|word| rest.starts_with(*word))
        .map(|word| start + word.len())
}
