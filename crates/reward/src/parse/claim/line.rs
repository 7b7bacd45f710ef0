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

/// Bytes of lines that are searched for anchors at a time, from the end on.
const BLOCK: usize = 4096;

/// Anchors of a line that are looked at. A line with more claims too much to claim one letter.
const MAX_ANCHORS: usize = 256;

const SEVERAL: &str = "more than one letter is given as the answer";

/// Behind a letter, what says that it is the answer: `Option A is correct.`
const VERDICTS: &[&str] =
    &[" is correct", " is right", " is the correct", " is the right", " is the answer", " is the best"];

/// The letter of the last line that claims one; an error where the line claims several.
pub(super) fn last_claim(text: &str, choices: &Choices) -> Option<Result<char, &'static str>> {
    let lower = lowered(text);
    let mut end = text.len();
    loop {
        // Whole lines, so many that setting up the searches costs less than they do.
        let near = lower.floor_char_boundary(end.saturating_sub(BLOCK));
        let start = lower[..near].rfind('\n').map_or(0, |at| at + 1);
        let block = &lower[start..end];
        let mut anchors = places(block, start, ANCHORS, str::len);
        let mut verdicts = places(block, start, VERDICTS, |_| 0);
        // From the last line that has one of them to the first.
        while let Some(&last) = anchors.last().max(verdicts.last()) {
            let line_start = lower[..last].rfind('\n').map_or(0, |at| at + 1);
            let anchors_here = anchors.split_off(anchors.partition_point(|&at| at < line_start));
            let verdicts_here = verdicts.split_off(verdicts.partition_point(|&at| at < line_start));
            let line = Line { text, lower: &lower, start: line_start };
            if let Some(found) = line.claims(&anchors_here, &verdicts_here, choices) {
                return Some(found);
            }
        }
        if start == 0 {
            return None;
        }
        end = start - 1;
    }
}

/// The text in lower case, with every byte at its place: a letter whose length changes stays.
fn lowered(text: &str) -> String {
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(small), None) if small.len_utf8() == c.len_utf8() => small,
            _ => c,
        }
    };
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(lower).collect() }
}

/// Where phrases stand in a block, as places of the whole text, in order; `offset` says how far into the phrase.
fn places(block: &str, start: usize, phrases: &[&str], offset: fn(&str) -> usize) -> Vec<usize> {
    let of = |phrase: &&str| {
        let offset = start + offset(phrase);
        block.match_indices(*phrase).map(|(at, _)| at + offset).collect::<Vec<_>>()
    };
    let mut places: Vec<usize> = phrases.iter().flat_map(of).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// A line of a text: where it starts.
struct Line<'a> {
    text: &'a str,
    lower: &'a str,
    start: usize,
}

impl Line<'_> {
    fn claims(
        &self,
        anchors: &[usize],
        verdicts: &[usize],
        choices: &Choices,
    ) -> Option<Result<char, &'static str>> {
        if anchors.len().max(verdicts.len()) > MAX_ANCHORS {
            return Some(Err("a line claims too often to give one letter as the answer"));
        }
        let mut chosen: Option<char> = None;
        for &place in anchors {
            // What is only supposed is not claimed.
            let conditional = |word: &str| matches!(word, "if" | "whether" | "suppose" | "were");
            let near = self.lower.floor_char_boundary(place.saturating_sub(MAX_BEFORE)).max(self.start);
            if self.lower[near..place].split_whitespace().rev().take(5).any(conditional) {
                continue;
            }
            let Some(found) = claimed_at(self.text, place, choices) else { continue };
            match (found, chosen) {
                (Err(why), _) => return Some(Err(why)),
                (Ok(letter), Some(other)) if letter != other => return Some(Err(SEVERAL)),
                (Ok(letter), _) => chosen = Some(letter),
            }
        }
        if chosen.is_none() {
            for &at in verdicts {
                let word = self.text[self.start..at].rsplit(char::is_whitespace).next().unwrap_or_default();
                if word.contains(|c: char| c.is_ascii_uppercase())
                    && let Some(found) = letter(word, choices)
                {
                    match chosen {
                        Some(other) if other != found => return Some(Err(SEVERAL)),
                        _ => chosen = Some(found),
                    }
                }
            }
        }
        chosen.map(Ok)
    }
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
        return Some(Err(SEVERAL));
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
    Some(if claims_another(line, known, choices) { Err(SEVERAL) } else { Ok(known) })
}
