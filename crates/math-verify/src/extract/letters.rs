//! The letters of multiple choice.

use super::{Anchor, Candidate, Found, KEPT, Piece, behind_is, hopes, negated, window};

fn is_choice(byte: u8) -> bool {
    matches!(byte, b'A'..=b'D')
}

/// A letter that stands alone here, possibly in bold or in brackets.
fn letter(text: &str, at: usize) -> Option<Piece> {
    let bytes = text.as_bytes();
    let start = at + if text[at..].starts_with("**") { 2 } else { 0 };
    let is_open = bytes.get(start) == Some(&b'(');
    let start = start + usize::from(is_open);
    if !bytes.get(start).copied().is_some_and(is_choice) || negated(text, at) {
        return None;
    }
    let after = &text[start + 1..];
    let after = if is_open { after.strip_prefix(')')? } else { after };
    let after = after.strip_prefix("**").unwrap_or(after);
    let alone =
        after.is_empty() || after.starts_with(['.', ',', ':']) || after.starts_with(char::is_whitespace);
    alone.then(|| Piece { text: start..start + 1, percent: false })
}

pub(super) fn candidates(text: &str, anchors: &[Anchor], out: &mut Vec<Candidate>) {
    let mut add = |priority: u32, start: usize, piece: Piece| {
        out.push(Candidate { priority, span: start..piece.text.end, found: Found::Letter(piece) });
    };
    let behind_space = |at: usize| at == 0 || text[..at].ends_with(char::is_whitespace);
    for anchor in anchors {
        if anchor.is_final {
            for start in behind_is(text, anchor) {
                let at = text.len() - text[start..].trim_start().len();
                if let Some(piece) = letter(text, at) {
                    let priority = if hopes(text, piece.text.end) { 0 } else { 50 };
                    add(priority, anchor.start, piece);
                    break;
                }
            }
        }
        let colon = text[anchor.end..].starts_with(':');
        let (priority, from) = if colon { (100, anchor.end + 1) } else { (200, anchor.end) };
        let line = text[from..].find('\n').map_or(text.len(), |at| from + at);
        let mut places = window(text, from, 51).into_iter().filter(|&at| at <= line && behind_space(at));
        if let Some(piece) = places.find_map(|at| letter(text, at)) {
            add(priority, anchor.start, piece);
        }
    }
    if let Some(piece) = letter(text, 0) {
        add(250, 0, piece);
    }
    let mut kept = 0;
    for (at, _) in text.match_indices(['A', 'B', 'C', 'D']).rev() {
        let open = text[..at].strip_suffix('(').unwrap_or(&text[..at]);
        let start = open.strip_suffix("**").unwrap_or(open).len();
        if behind_space(start)
            && let Some(piece) = letter(text, start)
        {
            add(300, start, piece);
            kept += 1;
            if kept == KEPT {
                break;
            }
        }
    }
}
