//! The letter that a line of running text claims.

use super::words::{ANCHORS, FILLERS, REASONS};
use super::{Choices, claims_another, letter};

/// Bytes behind a claimed letter that are searched for another one.
const MAX_BEHIND: usize = 240;

/// Bytes before an anchor that are searched for a condition.
const MAX_BEFORE: usize = 120;

/// Bytes of a word between an anchor and its letter: no filler is as long.
const MAX_WORD: usize = 32;

/// Bytes behind an anchor that may belong to its claim. With it a line of anchors takes time in proportion to its length.
const MAX_CLAIM: usize = 1024;

/// The letter of the last line that claims one; an error where the line claims several.
pub(super) fn last_claim(text: &str, choices: &Choices) -> Option<Result<char, &'static str>> {
    let mut line_end = text.len();
    loop {
        let start = text[..line_end].rfind('\n').map_or(0, |at| at + 1);
        if let Some(found) = claims_of_line(text, start..line_end, choices) {
            return Some(found);
        }
        if start == 0 {
            return None;
        }
        line_end = start - 1;
    }
}

fn claims_of_line(
    text: &str,
    line: std::ops::Range<usize>,
    choices: &Choices,
) -> Option<Result<char, &'static str>> {
    let lower = text[line.clone()].to_lowercase();
    if lower.len() != line.len() {
        return None; // a letter changes its length in lower case: no anchor would be at its place
    }
    let mut chosen: Option<char> = None;
    let mut places: Vec<usize> = ANCHORS
        .iter()
        .flat_map(|anchor| lower.match_indices(anchor).map(|(at, _)| at + anchor.len()))
        .collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        // What is only supposed is not claimed.
        let conditional = |word: &str| matches!(word, "if" | "whether" | "suppose" | "were");
        let near = lower.floor_char_boundary(place.saturating_sub(MAX_BEFORE));
        if lower[near..place].split_whitespace().rev().take(5).any(conditional) {
            continue;
        }
        let Some(found) = claimed_at(text, line.start + place, choices) else { continue };
        match (found, chosen) {
            (Err(why), _) => return Some(Err(why)),
            (Ok(letter), Some(other)) if letter != other => {
                return Some(Err("more than one letter is given as the answer"));
            }
            (Ok(letter), _) => chosen = Some(letter),
        }
    }
    if chosen.is_none() {
        // `Option A is correct.`
        let verdicts = [
            " is correct",
            " is right",
            " is the correct",
            " is the right",
            " is the answer",
            " is the best",
        ];
        for at in verdicts.iter().flat_map(|verdict| lower.match_indices(verdict).map(|(at, _)| at)) {
            let word =
                text[line.start..line.start + at].rsplit(char::is_whitespace).next().unwrap_or_default();
            if word.contains(|c: char| c.is_ascii_uppercase())
                && let Some(found) = letter(word, choices)
            {
                match chosen {
                    Some(other) if other != found => {
                        return Some(Err("more than one letter is given as the answer"));
                    }
                    _ => chosen = Some(found),
                }
            }
        }
    }
    chosen.map(Ok)
}

/// The letter that is claimed behind an anchor.
fn claimed_at(text: &str, from: usize, choices: &Choices) -> Option<Result<char, &'static str>> {
    let mut rest = &text[from..text.floor_char_boundary((from + MAX_CLAIM).min(text.len()))];
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None; // a longer word, such as `answers`
    }
    let mut lines = 0;
    for _ in 0..14 {
        let trimmed = rest.trim_start_matches(|c: char| {
            c.is_whitespace()
                || matches!(c, ':' | '*' | '"' | '\u{ff1a}' | '_' | '`' | '$' | '\u{201c}' | '#' | ',')
        });
        lines += rest[..rest.len() - trimmed.len()].matches('\n').count();
        if lines > 2 {
            return None;
        }
        rest = trimmed;
        if let Some(found) = letter_at(rest, choices) {
            return Some(found);
        }
        let near = &rest[..rest.floor_char_boundary(MAX_WORD.min(rest.len()))];
        let length =
            near.find(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '=')).unwrap_or(near.len());
        let word = rest[..length].to_lowercase();
        let scripts = rest.chars().next().filter(|c| !c.is_ascii()).map(|c| c.to_string());
        if word == "not" {
            // `not D but C`
            let denied = rest[length..].trim_start();
            let (_, but) = denied.split_once(char::is_whitespace)?;
            rest = but.trim_start().strip_prefix("but ")?;
        } else if !word.is_empty() && FILLERS.contains(&word.as_str()) {
            rest = &rest[length..];
        } else if let Some(c) = scripts.filter(|c| FILLERS.contains(&c.as_str())) {
            rest = &rest[c.len()..];
        } else {
            // The text of an option in its place.
            let option =
                choices.options.iter().zip('A'..='Z').find(|(_, letter)| choices.has_text(*letter, rest));
            return option.map(|(_, letter)| Ok(letter));
        }
    }
    None
}

/// A letter that stands here and is claimed.
fn letter_at(rest: &str, choices: &Choices) -> Option<Result<char, &'static str>> {
    let inner = rest.trim_start_matches(['(', '[', '{', '\\']);
    let bracketed = inner.len() < rest.len();
    let first = inner.chars().next()?;
    let known = choices.known(first)?;
    let behind = &inner[first.len_utf8()..];
    if behind.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '\'' | '#' | '+' | '-' | '^')) {
        return None;
    }
    if behind.starts_with('/') {
        return Some(Err("more than one letter is given as the answer"));
    }
    let closed = behind.trim_start_matches([')', ']', '}', '*', '"', '`', '\'', '$']);
    let ends = closed.is_empty()
        || closed.starts_with(['.', ',', ';', ':', '!', '?', '\n', '\u{ff0c}', '\u{3002}', '<']);
    let marked = bracketed || closed.len() < behind.len();
    let next = closed.trim_start();
    let word = next[..next.find(char::is_whitespace).unwrap_or(next.len())].to_lowercase();
    let word = word.trim_end_matches([',', '.']);
    let joins = REASONS.contains(&word) || next.starts_with(['(', '\u{2014}', '-', '\u{2013}']);
    if !(ends || marked || joins || matches!(word, "or" | "and") || choices.has_text(known, next))
        || next.starts_with("is wrong")
    {
        return None;
    }
    // In lower case it is an article or a variable, unless nothing follows.
    if first.is_ascii_lowercase() && !marked && !(ends && !matches!(first, 'a' | 'i') || closed.is_empty()) {
        return None;
    }
    let near = &closed[..closed.floor_char_boundary(MAX_BEHIND.min(closed.len()))];
    let line = near.lines().next().unwrap_or_default();
    Some(if claims_another(line, known, choices) {
        Err("more than one letter is given as the answer")
    } else {
        Ok(known)
    })
}
