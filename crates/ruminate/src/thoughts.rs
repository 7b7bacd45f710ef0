//! What a policy writes as a reader sees it, also while it is written: thoughts are dimmed, control characters are not
//! obeyed. It knows no policy.

use crate::printable::harmless;
use std::io::{self, IsTerminal, Write};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
const DIM: &[u8] = b"\x1b[2m";
const PLAIN: &[u8] = b"\x1b[0m";

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A terminal: thoughts are dimmed, and control characters that a policy wrote are not obeyed.
    Terminal,
    /// A terminal without colours.
    Monochrome,
    /// As it was written.
    Raw,
}

impl Look {
    /// That of a stream. `NO_COLOR` is heeded (no-color.org).
    pub fn of(stream: &impl IsTerminal) -> Self {
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
pub fn shown(text: &str, look: Look) -> String {
    let screen = Screen::new(Vec::new(), look, false).and_then(|mut screen| {
        screen.show(text)?;
        screen.finish()
    });
    String::from_utf8_lossy(&screen.unwrap_or_default()).into_owned() // memory does not fail
}

/// One answer on its way to a reader. A tag may come in pieces: what could be the start of one is held back.
pub struct Screen<W: Write> {
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
    pub fn new(writer: W, look: Look, in_thought: bool) -> io::Result<Self> {
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
    pub fn show(&mut self, piece: &str) -> io::Result<()> {
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
    pub fn finish(mut self) -> io::Result<W> {
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
