//! What reaches a terminal: everything that is printed for people goes through [`say`], which lets no text of a file, a model
//! or a server steer the terminal; and what a policy writes, also while it writes, with its thoughts dimmed. It knows no policy.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
const DIM: &[u8] = b"\x1b[2m";
const PLAIN: &[u8] = b"\x1b[0m";

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A terminal: thoughts are dimmed, and control characters that a policy wrote are not obeyed.
    Terminal,
    /// A terminal without colours.
    Monochrome,
    /// As it was written.
    Raw,
}

impl Look {
    /// That of a stream. `NO_COLOR` is heeded (no-color.org).
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if !stream.is_terminal() {
            Self::Raw
        } else if set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb") {
            Self::Monochrome
        } else {
            Self::Terminal
        }
    }
}

/// A whole text as it is shown.
pub(crate) fn shown(text: &str, look: Look) -> String {
    let screen = Screen::new(Vec::new(), look, false).and_then(|mut screen| {
        screen.show(text)?;
        screen.finish()
    });
    String::from_utf8_lossy(&screen.unwrap_or_default()).into_owned() // memory does not fail
}

/// Prints to standard error what the macros `eprint!` and `eprintln!` are given, as [`harmless`] text. A closed
/// stream (`2>&1 | tee log`, and `tee` is killed) ends no run.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(harmless(&message.to_string()).as_bytes());
}

/// Prints text with colours of ours to standard error. What is not ours in it has been made [`harmless`] before.
pub(crate) fn say_in_colours(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Text of a file, a model or a server as it may be shown: a replacement character stands for each one that would steer a
/// terminal, or make it show other text than there is.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) {
        Cow::Owned(text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for what is part of a line: it stays one line.
pub(crate) fn harmless_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// Whether a character is a control code (C0 but for line ends and tabs, DEL, C1), changes the direction of what follows it
/// (Unicode's bidirectional controls), or is invisible text (the block of tags).
pub(crate) fn steers(c: char) -> bool {
    let reorders =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_tag = matches!(c, '\u{e0000}'..='\u{e007f}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || reorders || is_separator || is_tag
}

/// JSON as it may be shown: what [`steers`] stands in it as `\u` and its number, which is the same JSON.
pub(crate) fn harmless_json(json: &str) -> Cow<'_, str> {
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
pub(crate) fn wrapped(line: &str) -> String {
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

/// One answer on its way to a reader. A tag may come in pieces: what could be the start of one is held back.
pub(crate) struct Screen<W: Write> {
    writer: W,
    look: Look,
    in_thought: bool,
    held: String,
}

impl<W: Write> Screen<W> {
    /// Before the first word; `in_thought` when the prompt has opened a thought.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn new(writer: W, look: Look, in_thought: bool) -> io::Result<Self> {
        let mut screen = Self { writer, look, in_thought, held: String::new() };
        if in_thought {
            screen.style(DIM)?;
        }
        Ok(screen)
    }

    /// Shows a piece of text.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn show(&mut self, piece: &str) -> io::Result<()> {
        self.held.push_str(piece);
        loop {
            let tag = if self.in_thought { CLOSE } else { OPEN };
            let Some(at) = self.held.find(tag) else { break };
            let (before, after) = (self.held[..at].to_owned(), self.held[at + tag.len()..].to_owned());
            self.write(&before)?;
            // The tags belong to the thought.
            if self.in_thought {
                self.write(tag)?;
                self.style(PLAIN)?;
            } else {
                self.style(DIM)?;
                self.write(tag)?;
            }
            self.in_thought = !self.in_thought;
            self.held = after;
        }
        let tag = if self.in_thought { CLOSE } else { OPEN };
        let kept = (1..tag.len()).rev().find(|&length| self.held.ends_with(&tag[..length])).unwrap_or(0);
        let ready = self.held.len() - kept;
        let text: String = self.held.drain(..ready).collect();
        self.write(&text)?;
        self.writer.flush()
    }

    /// Shows what was held back, and gives the stream back as it was.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let rest = std::mem::take(&mut self.held);
        self.write(&rest)?;
        if self.in_thought {
            self.style(PLAIN)?;
        }
        Ok(self.writer)
    }

    fn style(&mut self, code: &[u8]) -> io::Result<()> {
        if self.look == Look::Terminal { self.writer.write_all(code) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.look == Look::Raw {
            return self.writer.write_all(text.as_bytes());
        }
        // A policy's escape sequences must not reach the terminal.
        self.writer.write_all(harmless(text).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, Screen};

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

    fn shown(look: Look, in_thought: bool, pieces: &[&str]) -> String {
        let mut screen = Screen::new(Vec::new(), look, in_thought).expect("memory");
        for piece in pieces {
            screen.show(piece).expect("memory");
        }
        String::from_utf8(screen.finish().expect("memory")).expect("UTF-8")
    }

    #[test]
    fn a_thought_is_dimmed_whatever_pieces_its_tags_come_in() {
        let whole = "a <think>b < c</think> d <thin";
        let dimmed = "a \x1b[2m<think>b < c</think>\x1b[0m d <thin";
        assert_eq!(shown(Look::Terminal, false, &[whole]), dimmed);
        let letters: Vec<String> = whole.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(shown(Look::Terminal, false, &letters), dimmed);
    }

    #[test]
    fn a_thought_that_the_prompt_opened_or_that_has_no_end_is_dimmed() {
        assert_eq!(shown(Look::Terminal, true, &["a</th", "ink>b"]), "\x1b[2ma</think>\x1b[0mb");
        assert_eq!(super::shown("a</think><think>", Look::Terminal), "a</think>\x1b[2m<think>\x1b[0m");
        assert_eq!(shown(Look::Terminal, false, &["<think>a"]), "\x1b[2m<think>a\x1b[0m");
    }

    #[test]
    fn nothing_but_the_text_goes_into_a_pipe_or_a_terminal_without_colours() {
        for look in [Look::Raw, Look::Monochrome] {
            assert_eq!(shown(look, true, &["a</think>b<think>c"]), "a</think>b<think>c");
        }
    }

    #[test]
    fn a_policy_does_not_steer_the_terminal() {
        assert_eq!(shown(Look::Terminal, false, &["a\x1b[2Jb\r\n\tc"]), "a\u{fffd}[2Jb\u{fffd}\n\tc");
        assert_eq!(shown(Look::Raw, false, &["a\x1b[2Jb"]), "a\x1b[2Jb");
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

    #[test]
    fn what_cannot_become_a_tag_is_shown_at_once() {
        let mut screen = Screen::new(Vec::new(), Look::Raw, false).expect("memory");
        screen.show("1 <2 <th").expect("memory");
        assert_eq!(screen.held, "<th");
    }
}
