//! Whether a dash in a clause is a minus or starts an aside. It does not parse what follows.

use crate::words::{self, Word};

/// Whether a formula goes on behind a dash between spaces: `6 - \cos x`. A bracket may also hold
/// words: `9 - (2 from each side)`.
pub(super) fn is_minus(line: &str, behind: usize) -> bool {
    let rest = &line[behind..];
    rest.starts_with(|c: char| c.is_ascii_digit() || c.is_alphabetic() || matches!(c, '\\' | '\u{221a}'))
        || bracketed(rest).is_some_and(|inside| !has_word(inside))
}

/// What the round bracket at the start of a text holds, where it closes.
fn bracketed(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('(')?;
    let mut depth = 1_usize;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inside[..at]);
        }
    }
    None
}

/// Whether a text has a run of letters that is neither a command, a function nor a named constant.
fn has_word(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphabetic) {
        let is_command = rest[..start].ends_with('\\');
        let run = &rest[start..];
        let (run, behind) = run.split_at(run.find(|c: char| !c.is_alphabetic()).unwrap_or(run.len()));
        let is_known = matches!(words::word(run), Some(Word::Command(_) | Word::Name(_)));
        if !is_command && !is_known && run.chars().nth(1).is_some() {
            return true;
        }
        rest = behind;
    }
    false
}
