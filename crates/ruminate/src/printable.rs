//! Text that may be printed for people: nothing of a file, a model or a server steers the terminal, and lines are broken
//! between words.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text of a file, a model or a server as it may be shown: a replacement character stands for each one that would steer a
/// terminal, or make it show other text than there is.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) {
        Cow::Owned(text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for what is part of a line: it stays one line.
pub fn harmless_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// Whether a character is a control code (C0 but for line ends and tabs, DEL, C1), changes the direction of what follows it
/// (Unicode's bidirectional controls), or is invisible text (the block of tags).
pub fn steers(c: char) -> bool {
    let reorders =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_tag = matches!(c, '\u{e0000}'..='\u{e007f}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || reorders || is_separator || is_tag
}

/// JSON as it may be shown: what [`steers`] stands in it as `\u` and its number, which is the same JSON.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    // Line ends and tabs of a text are escaped already, those between values are none of a text's.
    if !json.chars().any(steers) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}"); // memory does not fail
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Columns that every terminal has.
const COLUMNS: usize = 79;

/// A line for people, broken between words so that no terminal breaks it within one; what follows the first line is
/// indented as that is, and by two more.
pub fn wrapped(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let mut text = " ".repeat(indent);
    let mut column = indent;
    for (place, word) in line.split_whitespace().enumerate() {
        let length = word.chars().count();
        if place > 0 && column + 1 + length > COLUMNS {
            text = text + "\n" + &" ".repeat(indent + 2);
            column = indent + 2;
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_broken_between_words_and_keep_their_indentation() {
        let line = format!("  memory: {}", "about 3.25 GiB, ".repeat(12));
        let text = super::wrapped(&line);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 79), "{text}");
        assert!(text.starts_with("  memory: about") && text.lines().skip(1).all(|l| l.starts_with("    ")));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(&line));
        let path = "x".repeat(100);
        assert_eq!(super::wrapped(&path), path, "a word is never cut");
        assert_eq!(super::wrapped("short"), "short");
    }

    #[test]
    fn no_text_steers_a_terminal_and_readable_text_stays() {
        for text in ["plain", "a\tb\nc", "\u{e4}\u{4f60}\u{1f600}", "\u{5d0}\u{628}", "", "\u{200d}"] {
            assert_eq!(super::harmless(text), text);
        }
        let hostile = "\x1b[2J\x1b]0;title\x07\r\x08\x7f\u{9b}31m\u{202e}\u{2066}\u{200f}\u{e0041}\u{2028}\0";
        let shown = super::harmless(hostile);
        assert!(!shown.chars().any(super::steers), "{shown:?}");
        assert_eq!(shown.matches('\u{fffd}').count(), 13, "{shown:?}");
        assert_eq!(super::harmless_line("a\nwarning: b\x1b"), "a warning: b\u{fffd}");
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let value =
            serde_json::json!({ "a\u{9b}": ["\x1b[2J", "\u{202e}b", "\u{e0041}\u{1f600}", "c\nd\x7f"] });
        let json = value.to_string();
        let shown = super::harmless_json(&json);
        assert!(!shown.chars().any(super::steers) && shown.contains('\u{1f600}'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
        assert_eq!(super::harmless_json("{\"a\":1}"), "{\"a\":1}");
    }
}
