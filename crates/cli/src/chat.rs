//! `generate --chat`: a conversation, turn by turn, each answer shown while it is written. Answers go to standard output,
//! everything else to standard error, so that a pipe gets answers alone.

use crate::args::GenerateArgs;
use crate::exit::{self, Failure};
use crate::terminal::{Turn, Turns, catch_in_chat, next_ends_all};
use ruminate::chat::{Answer, Chat, Ended, Piece};
use ruminate::interrupt;
use ruminate::thoughts::{Look, Screen};
use std::io::{self, StdoutLock, Write};
use std::ops::ControlFlow;

/// Talks until the input ends.
pub(crate) fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let mut chat = Chat::open(&args.options())?;
    catch_in_chat();
    let unreadable = |error| Failure::Input(format!("<stdin>: {error}"));
    let mut turns = Turns::open().map_err(unreadable)?;
    let by_hand = turns.by_hand();
    if by_hand {
        eprintln!("{} ({} parameters)", args.model.display(), chat.parameters());
        eprintln!("/clear starts over, /exit or Ctrl-D leaves, Ctrl-C ends an answer");
    }
    if !chat.keeps_turns() {
        eprintln!(
            "the model has no chat template: each line stands alone, and nothing before it is remembered"
        );
    }
    for number in 1_usize.. {
        let line = match turns.next().map_err(unreadable)? {
            Turn::Line(line) => line,
            Turn::End => break,
            Turn::Interrupted => return Err(Failure::Code(exit::INTERRUPTED)),
        };
        let asked = match std::str::from_utf8(&line).map(str::trim_end) {
            Ok("/exit") => break,
            Ok("/clear") => {
                chat.clear();
                continue;
            }
            Ok(text) if text.trim_start().is_empty() => continue,
            Ok(text) if is_command(text) => Err(Failure::Input(format!(
                "{text:?} is no command; expected /clear or /exit, or a space before it where it is a message"
            ))),
            Ok(text) => answer(&mut chat, args, text.trim_start(), number as u64),
            Err(_) => Err(Failure::Input("expected UTF-8, found other bytes".to_owned())),
        };
        match asked {
            Ok(()) => {}
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) => {
                let message = failure.to_string();
                // A person can say it otherwise; a program cannot.
                if !by_hand {
                    return Err(Failure::Input(format!("<stdin>:{number}: {message}")));
                }
                eprintln!("ruminate: {message}");
            }
        }
    }
    Ok(())
}

/// Whether a line begins as a command does: a slash and a word, which no path is.
fn is_command(line: &str) -> bool {
    let word = line.split(char::is_whitespace).next().unwrap_or_default();
    word.strip_prefix('/').is_some_and(|name| !name.is_empty() && name.chars().all(char::is_alphabetic))
}

/// Shows the answer to one turn while it is written, then what became of the turn.
fn answer(chat: &mut Chat, args: &GenerateArgs, asked: &str, line: u64) -> Result<(), Failure> {
    let mut screen: Option<Screen<StdoutLock>> = None;
    let mut shown = Ok(());
    interrupt::clear();
    let answered = chat.answer(asked, line, &mut |piece| {
        // The first error counts: what is left of the answer comes after it.
        if shown.is_ok() {
            shown = match piece {
                Piece::Begin { in_thought } => {
                    Screen::new(io::stdout().lock(), Look::of(&io::stdout()), in_thought)
                        .map(|new| screen = Some(new))
                }
                Piece::Text(text) => screen.as_mut().map_or(Ok(()), |screen| screen.show(text)),
            };
        }
        if shown.is_err() || interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    next_ends_all();
    shown.map_err(Failure::Output)?;
    let Answer { ended, forgotten, is_remembered } = answered?;
    if let Some(screen) = screen {
        screen.finish().and_then(|mut stdout| writeln!(stdout)).map_err(Failure::Output)?;
    }
    for _ in 0..forgotten {
        eprintln!(
            "(the conversation outgrew the model's {} positions: its oldest turn is forgotten)",
            chat.positions()
        );
    }
    match ended {
        Some(Ended::Stop) => {}
        Some(Ended::Length) => eprintln!("(cut off; --max-new-tokens is {})", args.max_new_tokens),
        None => eprintln!("(ended)"),
    }
    if !is_remembered {
        eprintln!("(the thought has no end: this turn is not remembered)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_command;

    #[test]
    fn a_word_behind_a_slash_is_a_command_and_a_path_is_none() {
        for line in ["/help", "/Foo bar", "/system Be brief."] {
            assert!(is_command(line), "{line}");
        }
        for line in ["/usr/bin?", " /help", "/", "/2", "1/x", "// a comment"] {
            assert!(!is_command(line), "{line}");
        }
    }
}
