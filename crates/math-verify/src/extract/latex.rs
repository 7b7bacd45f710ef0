//! Formulas between delimiters, and boxes.

use super::{Anchor, Candidate, Found, KEPT, Piece, UnclosedBox, behind_is, hopes, negated, percent, window};
use std::ops::Range;

/// Formulas that can be joined to one answer.
const MAX_JOINED: usize = 6;
/// Boxes that can be.
const MAX_BOXES: usize = 32;

/// The last box, joined with those before it that belong to the same answer.
pub(super) fn boxes(text: &str) -> Result<Option<Candidate>, UnclosedBox> {
    let mut all = all_boxes(text)?;
    all.drain(..all.len().saturating_sub(2 * MAX_BOXES));
    // A box marks the answer whatever stands around it, except a sentence that denies it.
    all.retain(|found| !(negated(text, found.outer.start) && mentions_answer(text, found.outer.start)));
    let Some(last) = all.last() else { return Ok(None) };
    let mut pieces = vec![last.clone()];
    for pair in all.windows(2).rev() {
        let [before, after] = pair else { break };
        if pieces.len() >= MAX_BOXES || !joined(text, before, after) {
            break;
        }
        pieces.push(before.clone());
    }
    pieces.reverse();
    let mut end = last.outer.end;
    let trailing = text[end..].trim_start_matches(['}', '$', ' ', '\\', ')', ']']);
    let after = percent(text, text.len() - trailing.len());
    if let Some(after) = after {
        end = after;
    }
    let last_at = pieces.len() - 1;
    let mut contents: Vec<Piece> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let is_percent = at == last_at && after.is_some();
        let piece = Piece { text: without_label(text, piece.inner.clone()), percent: is_percent };
        // The same box again is the same answer.
        if contents
            .last()
            .is_none_or(|last| text[last.text.clone()].trim() != text[piece.text.clone()].trim())
        {
            contents.push(piece);
        } else if is_percent && let Some(last) = contents.last_mut() {
            last.percent = true;
        }
    }
    Ok(Some(Candidate { priority: 50, span: pieces[0].outer.start..end, found: Found::Boxed(contents) }))
}

/// Whether the words before this place mention the answer.
fn mentions_answer(text: &str, at: usize) -> bool {
    let before = text[text.floor_char_boundary(at.saturating_sub(60))..at].to_lowercase();
    ["answer", "solution", "result"].iter().any(|word| before.contains(word))
}

/// A formula without the letter of the choice that it belongs to: `\textbf{(C)}\ 12`.
fn without_label(text: &str, formula: Range<usize>) -> Range<usize> {
    let whole = &text[formula.clone()];
    let label = || {
        let font = ["\\textbf", "\\text", "\\mathbf", "\\mathrm", "\\textrm", "\\bf"];
        let rest = whole.trim_start();
        let rest = font.iter().find_map(|font| rest.strip_prefix(font))?.trim_start().strip_prefix('{')?;
        let rest = rest.trim_start().strip_prefix('(')?.strip_prefix(['A', 'B', 'C', 'D', 'E'])?;
        let rest = rest.strip_prefix(')')?.trim_start().strip_prefix('}')?;
        let blank = |rest: &str| {
            ["\\ ", "\\quad", "\\,", "\\;", "~", ":"].iter().find(|b| rest.starts_with(**b)).map(|b| b.len())
        };
        let mut rest = rest.trim_start();
        while let Some(length) = blank(rest) {
            rest = rest[length..].trim_start();
        }
        (!rest.is_empty()).then_some(rest.len())
    };
    formula.end - label().unwrap_or(whole.len())..formula.end
}

#[derive(Clone, Debug)]
struct BoxAt {
    outer: Range<usize>,
    inner: Range<usize>,
}

/// Boxes in the order of their ends, none inside of another: one pass with a stack of open braces.
fn all_boxes(text: &str) -> Result<Vec<BoxAt>, UnclosedBox> {
    let bytes = text.as_bytes();
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut boxes: Vec<BoxAt> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let command = ["\\boxed", "\\fbox"].iter().find(|command| text[at..].starts_with(*command));
                if let Some(command) = command {
                    let content = at + command.len();
                    let rest = text[content..].trim_start();
                    let start = text.len() - rest.len();
                    if rest.starts_with('{') {
                        open.push(Some(at));
                        at = start + 1;
                    } else if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) || start > content {
                        // `\boxed 5` without braces.
                        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                        if length > 0 {
                            boxes.push(BoxAt { outer: at..start + length, inner: start..start + length });
                        }
                        at = start + length.max(1);
                    } else {
                        at = content;
                    }
                } else {
                    // An escaped brace is no brace; a doubly escaped command is a command.
                    at += if text[at + 1..].starts_with("\\boxed") || text[at + 1..].starts_with("\\fbox") {
                        1
                    } else {
                        2
                    };
                }
                continue;
            }
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some(start)) = open.pop() {
                    let brace = start + text[start..].find('{').unwrap_or(0);
                    // What it contains was boxed inside of it; the inner box is the answer.
                    if boxes.last().is_none_or(|last| last.outer.start < start) {
                        boxes.push(BoxAt { outer: start..at + 1, inner: brace + 1..at });
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    let last_unclosed = open.iter().flatten().next_back();
    match last_unclosed {
        Some(&start) if boxes.last().is_none_or(|last| last.outer.start < start) => Err(UnclosedBox),
        _ => Ok(boxes),
    }
}

/// Whether two boxes are one answer: close together, or different with a separator between them.
fn joined(text: &str, before: &BoxAt, after: &BoxAt) -> bool {
    let between = &text[before.outer.end..after.outer.start];
    if between.len() > 4 * 70 {
        return false;
    }
    let length = between.chars().count();
    // A mark of a template between them begins another answer.
    if length < 10 {
        return !between.contains("##");
    }
    let different = text[before.inner.clone()].trim() != text[after.inner.clone()].trim();
    different && length < 70 && separates(between) && !takes_back(between) && !concludes(between)
}

/// Whether it withdraws what stood before it.
fn takes_back(text: &str) -> bool {
    const WORDS: &[&str] =
        &["but", "however", "not", "no", "wait", "actually", "instead", "rather", "correction"];
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// Whether what follows it is drawn from what stood before it.
fn concludes(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "so",
        "therefore",
        "thus",
        "hence",
        "then",
        "gives",
        "giving",
        "makes",
        "making",
        "total",
        "finally",
        "yields",
    ];
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// Whether it has a comma, a semicolon, or the word "and" or "or".
fn separates(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.contains([',', ';']) || text.split(|c| !is_word(c)).any(|word| word == "and" || word == "or")
}

/// Delimiters' places in a text, so that each search for a closing one is a look-up.
struct Marks {
    dollars: Vec<usize>,
    double_dollars: Vec<usize>,
    close_display: Vec<usize>,
    close_inline: Vec<usize>,
    square: Vec<usize>,
    lines: Vec<usize>,
}

impl Marks {
    fn new(text: &str) -> Self {
        let mut marks = Self {
            dollars: Vec::new(),
            double_dollars: Vec::new(),
            close_display: Vec::new(),
            close_inline: Vec::new(),
            square: Vec::new(),
            lines: Vec::new(),
        };
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let escaped = at > 0 && bytes[at - 1] == b'\\';
            match byte {
                b'$' if !escaped => {
                    marks.dollars.push(at);
                    if bytes.get(at + 1) == Some(&b'$') {
                        marks.double_dollars.push(at);
                    }
                }
                b'\n' => marks.lines.push(at),
                b'[' | b']' => {
                    marks.square.push(at);
                    if *byte == b']' && escaped && (at < 2 || bytes[at - 2] != b'\\') {
                        marks.close_display.push(at - 1);
                    }
                }
                b')' if escaped && (at < 2 || bytes[at - 2] != b'\\') => marks.close_inline.push(at - 1),
                _ => {}
            }
        }
        marks
    }
}

fn next(places: &[usize], from: usize) -> Option<usize> {
    places.get(places.partition_point(|&place| place < from)).copied()
}

/// A formula that starts here: its content, and the end of its closing delimiter.
fn environment(text: &str, marks: &Marks, at: usize) -> Option<(Range<usize>, usize)> {
    let bytes = text.as_bytes();
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let line_end = || next(&marks.lines, at).unwrap_or(text.len());
    match bytes[at] {
        b'$' if before != Some(b'\\') => {
            if bytes.get(at + 1) == Some(&b'$') {
                let close = next(&marks.double_dollars, at + 3)?;
                return Some((at + 2..close, close + 2));
            }
            if before.is_some_and(|b| b.is_ascii_digit()) {
                return None;
            }
            let close = next(&marks.dollars, at + 2).filter(|&close| close < line_end())?;
            Some((at + 1..close, close + 1))
        }
        b'\\' if before != Some(b'\\') && bytes.get(at + 1) == Some(&b'[') => {
            let close = next(&marks.close_display, at + 3)?;
            Some((at + 2..close, close + 2))
        }
        b'\\' if before != Some(b'\\') && bytes.get(at + 1) == Some(&b'(') => {
            let close = next(&marks.close_inline, at + 3).filter(|&close| close < line_end())?;
            Some((at + 2..close, close + 2))
        }
        b' ' | b'\n' | b'\t' if bytes.get(at + 1) == Some(&b'[') => {
            let close = next(&marks.square, at + 2)?;
            let line = next(&marks.lines, at + 1).unwrap_or(text.len());
            let follows = bytes.get(close + 1).is_some_and(u8::is_ascii_whitespace);
            (bytes[close] == b']' && close > at + 2 && close < line && follows)
                .then_some((at + 2..close, close + 2))
        }
        b'-' | b'\\' => fraction(text, at).map(|end| (at..end, end)),
        _ => None,
    }
}

/// `-\frac{1}{2}` outside of any delimiters.
fn fraction(text: &str, at: usize) -> Option<usize> {
    let mut rest = text[at..].strip_prefix('-').unwrap_or(&text[at..]).strip_prefix("\\frac")?;
    for _ in 0..2 {
        let inner = rest.strip_prefix('{')?;
        let number = inner.strip_prefix('-').unwrap_or(inner);
        let length =
            number.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(number.len());
        if !number[..length].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        rest = number[length..].strip_prefix('}')?;
    }
    Some(text.len() - rest.len())
}

/// The formulas that start here, joined by "and", "or" or commas; and where they end.
fn group(text: &str, marks: &Marks, at: usize) -> Option<(Vec<Piece>, usize)> {
    if negated(text, at) {
        return None;
    }
    let mut pieces = Vec::new();
    let end = visit(text, marks, at, |piece| {
        pieces.push(Piece { text: without_label(text, piece.text), ..piece });
    })?;
    Some((pieces, end))
}

/// Where the formulas that start here end, each one shown to `see`.
fn visit(text: &str, marks: &Marks, at: usize, mut see: impl FnMut(Piece)) -> Option<usize> {
    let mut start = at;
    let mut end = None;
    for _ in 0..MAX_JOINED {
        let Some((content, close)) = environment(text, marks, start) else { break };
        let after = percent(text, close);
        see(Piece { text: content, percent: after.is_some() });
        let here = after.unwrap_or(close);
        end = Some(here);
        let rest = text[here..].trim_start();
        let joined = ["and", ",and", ",or", "or", ","].iter().find_map(|word| rest.strip_prefix(*word));
        let Some(rest) = joined.map(str::trim_start) else { break };
        // ", and" has a space in it.
        let rest =
            ["and ", "or "].iter().find_map(|word| rest.strip_prefix(*word)).unwrap_or(rest).trim_start();
        if rest.is_empty() {
            break;
        }
        start = text.len() - rest.len();
    }
    end
}

pub(super) fn candidates(text: &str, anchors: &[Anchor], out: &mut Vec<Candidate>) {
    let marks = Marks::new(text);
    let mut add = |priority: u32, start: usize, found: Option<(Vec<Piece>, usize)>| -> bool {
        let Some((pieces, end)) = found else { return false };
        let priority = if priority == 50 && hopes(text, end) { 0 } else { priority };
        out.push(Candidate { priority, span: start..end, found: Found::Latex(pieces) });
        true
    };
    let is_place = |at: usize| at < text.len() && text.is_char_boundary(at);
    for anchor in anchors {
        if anchor.is_final {
            for start in behind_is(text, anchor) {
                let formula = text.len() - text[start..].trim_start().len();
                if is_place(formula) && add(50, anchor.start, group(text, &marks, formula)) {
                    break;
                }
            }
        }
        let colon = text[anchor.end..].starts_with(':');
        let (priority, from) = if colon { (100, anchor.end + 1) } else { (200, anchor.end) };
        for at in window(text, from, 50) {
            if is_place(at) && add(priority, anchor.start, group(text, &marks, at)) {
                break;
            }
        }
    }
    // Where formulas start, the last ones; only those are looked at again.
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if !matches!(text.as_bytes()[at], b'$' | b'\\' | b' ' | b'\n' | b'\t' | b'-') {
            at += 1;
            continue;
        }
        match visit(text, &marks, at, |_| {}) {
            Some(end) => {
                if starts.len() >= 2 * KEPT {
                    starts.drain(..KEPT);
                }
                starts.push(at);
                at = end;
            }
            None => at += 1,
        }
    }
    for &at in starts.iter().rev().take(KEPT) {
        if let Some((pieces, end)) = group(text, &marks, at) {
            out.push(Candidate { priority: 300, span: at..end, found: Found::Latex(pieces) });
        }
    }
}
