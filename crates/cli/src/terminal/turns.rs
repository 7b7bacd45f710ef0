//! The lines of a conversation: a person edits them, with those before at hand, and a program's are read as they are.

use rustyline::config::Behavior;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use std::io::{self, BufRead, IsTerminal, StdinLock};

/// Where the next line comes from.
pub(crate) enum Turns {
    /// A terminal. What was written before is forgotten with the program: a conversation leaves nothing on the disk.
    Edited(Box<Editor<(), MemHistory>>),
    /// A pipe or a file.
    Plain(StdinLock<'static>),
}

/// What came.
pub(crate) enum Turn {
    /// A line, which may not be UTF-8.
    Line(Vec<u8>),
    /// The input has ended.
    End,
    /// Ctrl-C instead of a line.
    Interrupted,
}

impl Turns {
    /// Reads standard input, where it is a terminal as a person writes.
    pub(crate) fn open() -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Plain(io::stdin().lock()));
        }
        // Answers that go to a file shall not have the prompts among them.
        let behavior = if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
        let config = Config::builder().behavior(behavior).build();
        let editor = Editor::with_history(config, MemHistory::new()).map_err(io::Error::other)?;
        Ok(Self::Edited(Box::new(editor)))
    }

    /// Whether a person writes.
    pub(crate) fn by_hand(&self) -> bool {
        matches!(self, Self::Edited(_))
    }

    /// Waits for the next line.
    pub(crate) fn next(&mut self) -> io::Result<Turn> {
        match self {
            Self::Plain(input) => {
                let mut line = Vec::new();
                let length = input.read_until(b'\n', &mut line)?;
                Ok(if length == 0 { Turn::End } else { Turn::Line(line) })
            }
            Self::Edited(editor) => match editor.readline("> ") {
                Ok(line) => {
                    // A line that the history does not take was read all the same.
                    let _ = editor.add_history_entry(&line);
                    Ok(Turn::Line(line.into_bytes()))
                }
                Err(ReadlineError::Eof) => Ok(Turn::End),
                Err(ReadlineError::Interrupted) => Ok(Turn::Interrupted),
                Err(ReadlineError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }
}
