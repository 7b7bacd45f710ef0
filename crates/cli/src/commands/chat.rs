//! `generate --chat`: a conversation, turn by turn, each answer shown while it is written. Answers go to standard output,
//! everything else to standard error, so that a pipe gets answers alone.

use crate::args::GenerateArgs;
use crate::commands::generate::{sampling, template_kwargs};
use crate::ends;
use crate::exit::Refusal;
use crate::interrupt;
use crate::language::Language;
use crate::policy;
use crate::preamble::Preamble;
use crate::recipe::PromptStyle;
use crate::screen::{Look, Screen};
use anyhow::Result;
use ruminate_data::{FinishReason, Message, Prompt, Seed};
use ruminate_model::{self as model, Decoder};
use ruminate_reward::tags::Opening;
use ruminate_rollout::{Flow, Options, RecordRouting, Request, Sampling, generate_streaming};
use ruminate_text::TextStream;
use serde_json::Map;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

pub(crate) fn run(args: &GenerateArgs) -> Result<()> {
    let sampling = sampling(args)?;
    let source = policy::Source::new(&args.model, args.adapter.as_deref())?;
    let config = model::load_config(&source.base)?;
    let language = Language::load(&source.base, &config, PromptStyle::Auto)?;
    let mut language = language.with_kwargs(&template_kwargs(&args.template)?, "--template")?;
    language.renderer.preamble = Preamble::of_system(args.system.as_deref());
    ends::note_unused_sampling(&source.base, &sampling);
    let device = args.device.device.open()?;
    let policy = source.load(&device)?;
    let mut chat =
        Chat { policy, language, sampling, seed: Seed::new(args.seed).child("chat"), turns: Vec::new() };
    interrupt::catch_in_chat();
    let by_hand = io::stdin().is_terminal();
    if by_hand {
        let size = policy::millions(config.parameters().all);
        eprintln!("{} ({size} parameters)", args.model.display());
        eprintln!("/clear starts over, /exit or Ctrl-D leaves, Ctrl-C ends an answer");
    }
    if !chat.language.renderer.keeps_turns() {
        eprintln!(
            "the model has no chat template: each line stands alone, and nothing before it is remembered"
        );
    }
    let mut input = io::stdin().lock();
    for number in 1_usize.. {
        if by_hand {
            eprint!("> ");
        }
        let mut line = Vec::new();
        let length = input
            .read_until(b'\n', &mut line)
            .map_err(|error| Refusal::input(format!("<stdin>: {error}")))?;
        if length == 0 {
            if by_hand {
                eprintln!();
            }
            break;
        }
        let asked = match std::str::from_utf8(&line).map(str::trim_end) {
            Ok("/exit") => break,
            Ok("/clear") => {
                chat.turns.clear();
                continue;
            }
            Ok(text) if text.trim_start().is_empty() => continue,
            Ok(text) if is_command(text) => Err(Refusal::input(format!(
                "{text:?} is no command; expected /clear or /exit, or a space before it where it is a message"
            ))),
            Ok(text) => chat.answer(text.trim_start(), number as u64),
            Err(_) => Err(Refusal::input("expected UTF-8, found other bytes")),
        };
        match asked {
            Ok(()) => {}
            // A person can say it otherwise; a program cannot.
            Err(error) if by_hand && !is_final(&error) => eprintln!("ruminate: {error:#}"),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => return Err(Refusal::line(Path::new("<stdin>"), number, format!("{error:#}"))),
        }
    }
    Ok(())
}

/// Whether a line begins as a command does: a slash and a word, which no path is.
fn is_command(line: &str) -> bool {
    let word = line.split(char::is_whitespace).next().unwrap_or_default();
    word.strip_prefix('/').is_some_and(|name| !name.is_empty() && name.chars().all(char::is_alphabetic))
}

/// Whether no other question would fare better.
fn is_final(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Refusal::Write { .. }))
}

struct Chat {
    policy: Decoder,
    language: Language,
    sampling: Sampling,
    seed: Seed,
    /// A user's turn and an assistant's, again and again.
    turns: Vec<Message>,
}

/// A prompt that fits.
struct Fitting {
    prompt_ids: Vec<u32>,
    in_thought: bool,
    max_new_tokens: usize,
}

/// What was written, and why it ended; `None` when it was interrupted.
struct Answer {
    text: String,
    ended: Option<FinishReason>,
}

impl Chat {
    /// Answers one turn and remembers it; `line` decides its randomness.
    fn answer(&mut self, asked: &str, line: u64) -> Result<()> {
        let seed = self.seed.index(line);
        self.turns.push(Message::new("user", asked));
        let answered = self.fit(asked).and_then(|prompt| Ok((prompt.in_thought, self.write(prompt, seed)?)));
        let (in_thought, answer) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.turns.pop();
                return Err(error);
            }
        };
        match answer.ended {
            Some(FinishReason::Stop) => {}
            Some(FinishReason::Length) => {
                eprintln!("(cut off; --max-new-tokens is {})", self.sampling.max_new_tokens);
            }
            None => eprintln!("(ended)"),
        }
        match said(&answer.text, in_thought) {
            _ if !self.language.renderer.keeps_turns() => self.turns.clear(),
            Some(said) => self.turns.push(Message::new("assistant", said)),
            None => {
                eprintln!("(the thought has no end: this turn is not remembered)");
                self.turns.pop();
            }
        }
        Ok(())
    }

    /// The prompt of the conversation so far. What does not fit with room for an answer loses its oldest turns.
    fn fit(&mut self, asked: &str) -> Result<Fitting> {
        let positions = self.policy.config().max_position_embeddings;
        loop {
            let prompt = if self.language.renderer.keeps_turns() {
                Prompt::Messages(self.turns.clone())
            } else {
                Prompt::Text(asked.to_owned())
            };
            let text = self.language.render(&prompt, &Map::new())?;
            let prompt_ids = self.language.tokenizer.encode(&text)?;
            let room = positions.saturating_sub(prompt_ids.len());
            if room >= self.sampling.max_new_tokens || (self.turns.len() == 1 && room > 0) {
                let in_thought = Opening::of(&text) == Opening::InThought;
                let max_new_tokens = self.sampling.max_new_tokens.min(room);
                return Ok(Fitting { prompt_ids, in_thought, max_new_tokens });
            }
            if self.turns.len() == 1 {
                let length = prompt_ids.len();
                return Err(Refusal::input(format!(
                    "{length} tokens, but the model has {positions} positions"
                )));
            }
            self.turns.drain(..2);
            eprintln!(
                "(the conversation outgrew the model's {positions} positions: its oldest turn is forgotten)"
            );
        }
    }

    /// Writes an answer to standard output while it is drawn.
    fn write(&self, prompt: Fitting, seed: Seed) -> Result<Answer> {
        let end_ids = &self.language.end_ids;
        let options = Options {
            sampling: Sampling { max_new_tokens: prompt.max_new_tokens, ..self.sampling },
            eos_token_ids: end_ids.clone(),
            max_num_seqs: 1,
            record_routing: RecordRouting::No,
        };
        let requests = [Request { prompt_ids: prompt.prompt_ids, seed }];
        let written = |source| Refusal::Write { path: "standard output".to_owned(), source };
        let mut screen =
            Screen::new(io::stdout().lock(), Look::of(&io::stdout()), prompt.in_thought).map_err(written)?;
        let mut stream = TextStream::new(&self.language.tokenizer);
        let (mut text, mut ended, mut shown) = (String::new(), None, Ok(()));
        interrupt::forget();
        generate_streaming(
            &self.policy,
            &requests,
            &options,
            |_, token| {
                if !end_ids.contains(&token) {
                    shown = stream.push(token).map_err(anyhow::Error::from).and_then(|piece| {
                        text.push_str(&piece);
                        Ok(screen.show(&piece).map_err(written)?)
                    });
                }
                if shown.is_err() || interrupt::requested() { Flow::Stop } else { Flow::Continue }
            },
            |_, completion| {
                ended = Some(completion.finish_reason);
                Flow::Continue
            },
        )?;
        interrupt::next_ends_all();
        shown?;
        let rest = stream.finish()?;
        text.push_str(&rest);
        screen.show(&rest).and_then(|()| writeln!(screen.finish()?)).map_err(written)?;
        Ok(Answer { text, ended })
    }
}

/// What of an answer stays in the conversation: not its thought, which the templates of DeepSeek-R1 and Qwen3 leave out
/// as well. Nothing where the thought has no end.
fn said(text: &str, in_thought: bool) -> Option<&str> {
    match text.rsplit_once("</think>") {
        Some((_, said)) => Some(said.trim()),
        None if in_thought || text.contains("<think>") => None,
        None => Some(text.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_command, said};

    #[test]
    fn a_word_behind_a_slash_is_a_command_and_a_path_is_none() {
        for line in ["/help", "/Foo bar", "/system Be brief."] {
            assert!(is_command(line), "{line}");
        }
        for line in ["/usr/bin?", " /help", "/", "/2", "1/x", "// a comment"] {
            assert!(!is_command(line), "{line}");
        }
    }

    #[test]
    fn a_thought_is_not_remembered() {
        assert_eq!(said("<think>a</think>\n\nb", false), Some("b"));
        assert_eq!(said("a</think> b", true), Some("b"));
        assert_eq!(said(" b\n", false), Some("b"));
        assert_eq!((said("a", true), said("<think>a", false)), (None, None));
    }
}
