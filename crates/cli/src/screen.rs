//! What a policy writes, shown to people, also while it writes: thoughts dimmed on a terminal, plain text in a pipe. It
//! knows no policy.

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
        let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
        let text: String = text.chars().map(harmless).collect();
        self.writer.write_all(text.as_bytes())
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
    fn what_cannot_become_a_tag_is_shown_at_once() {
        let mut screen = Screen::new(Vec::new(), Look::Raw, false).expect("memory");
        screen.show("1 <2 <th").expect("memory");
        assert_eq!(screen.held, "<th");
    }
}
