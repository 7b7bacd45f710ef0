//! A conversation with a policy: it keeps the turns, drops the oldest ones where they outgrow the model's positions, and
//! leaves thoughts out of what it remembers. Terminals are the caller's business.

use crate::commands::generate::{GenerateOptions, template_kwargs};
use crate::error::{Error, Refusal};
use crate::hub;
use crate::policy;
use crate::recipe::text::{load_renderer, note_unused_sampling, stop_of};
use anyhow::Result;
use ruminate_data::{Completion, FinishReason, Message, Prompt, Request, SamplingParams, Seed, Sink};
use ruminate_model::{self as model, Config};
use ruminate_reward::tags::Opening;
use ruminate_rollout::{Engine, LocalEngine};
use ruminate_text::Controls;
use ruminate_text::Preamble;
use ruminate_text::PromptStyle;
use ruminate_text::Renderer;
use ruminate_text::TextStream;
use serde_json::Map;
use std::ops::ControlFlow;

/// A conversation.
pub struct Chat {
    config: Config,
    engine: LocalEngine,
    renderer: Renderer,
    sampling: SamplingParams,
    controls: Controls,
    seed: Seed,
    /// A user's turn and an assistant's, again and again.
    turns: Vec<Message>,
}

/// An answer, after it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Why it ended; `None` when it was cut off by its reader.
    pub ended: Option<Ended>,
    /// Oldest turns that were forgotten to make room for it.
    pub forgotten: usize,
    /// Whether the turn is remembered: not where its thought has no end.
    pub is_remembered: bool,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its ending token.
    Stop,
    /// At the longest length.
    Length,
}

/// A prompt that fits.
struct Fitting {
    prompt_ids: Vec<u32>,
    in_thought: bool,
    max_new_tokens: usize,
    forgotten: usize,
}

impl Chat {
    /// Loads the model and begins a conversation.
    ///
    /// # Errors
    /// Those of loading, and options that no sampler takes.
    pub fn open(options: &GenerateOptions) -> Result<Self, Error> {
        Ok(Self::load(options)?)
    }

    fn load(options: &GenerateOptions) -> Result<Self> {
        options.sampling.validate()?;
        options.controls.validate()?;
        let source = policy::Source::new(&hub::folder(&options.model)?, options.adapter.as_deref())?;
        let config = model::load_config(&source.base)?;
        let renderer = load_renderer(&source.base, &config, PromptStyle::Auto)?;
        let mut renderer = renderer.with_kwargs(&template_kwargs(&options.template)?, "--template")?;
        renderer.template.preamble = Preamble::of_system(options.system.as_deref());
        note_unused_sampling(&source.base, &options.sampling);
        let engine =
            LocalEngine::consume(source.load_for_sampling(&options.device.open()?)?, options.engine)?;
        let seed = Seed::new(options.seed).child("chat");
        let (sampling, controls) = (options.sampling, options.controls.clone());
        stop_of(&controls, &renderer, sampling.max_new_tokens)?; // refused before the first turn
        Ok(Self { config, engine, renderer, sampling, controls, seed, turns: Vec::new() })
    }

    /// The model's parameters, for people: `134.5M`.
    pub fn parameters(&self) -> String {
        policy::millions(self.config.parameters().all)
    }

    /// The longest sequence that the model takes, in tokens.
    pub fn positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Whether the model's chat template shows it earlier turns; without one each line stands alone.
    pub fn keeps_turns(&self) -> bool {
        self.renderer.template.keeps_turns()
    }

    /// Starts over.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// Answers one turn and remembers it. `line` decides its randomness. `show` gets the text piece by piece and
    /// may end the answer.
    ///
    /// # Errors
    /// A turn that does not fit into the model's positions, and one that the tokenizer does not take: it is forgotten.
    pub fn answer(
        &mut self,
        asked: &str,
        line: u64,
        show: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Answer, Error> {
        let seed = self.seed.index(line);
        self.turns.push(Message::new("user", asked));
        let answered = self.fit(asked).and_then(|prompt| {
            let (in_thought, forgotten) = (prompt.in_thought, prompt.forgotten);
            Ok((in_thought, forgotten, self.write(prompt, seed, show)?))
        });
        let (in_thought, forgotten, (text, ended)) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.turns.pop();
                return Err(error.into());
            }
        };
        let mut is_remembered = true;
        match said(&text, in_thought) {
            _ if !self.keeps_turns() => self.turns.clear(),
            Some(said) => self.turns.push(Message::new("assistant", said)),
            None => {
                is_remembered = false;
                self.turns.pop();
            }
        }
        let ended =
            ended.map(|reason| if reason == FinishReason::Stop { Ended::Stop } else { Ended::Length });
        Ok(Answer { ended, forgotten, is_remembered })
    }

    /// The prompt of the conversation so far. What does not fit with room for an answer loses its oldest turns.
    fn fit(&mut self, asked: &str) -> Result<Fitting> {
        let positions = self.positions();
        let mut forgotten = 0;
        loop {
            let prompt = if self.keeps_turns() {
                Prompt::Messages(self.turns.clone())
            } else {
                Prompt::Text(asked.to_owned())
            };
            let text = self.renderer.render(&prompt, &Map::new())?;
            let prompt_ids = self.renderer.tokenizer.encode(&text)?;
            let room = positions.saturating_sub(prompt_ids.len());
            if room >= self.sampling.max_new_tokens || (self.turns.len() == 1 && room > 0) {
                let in_thought = Opening::of(&text) == Opening::InThought;
                let max_new_tokens = self.sampling.max_new_tokens.min(room);
                return Ok(Fitting { prompt_ids, in_thought, max_new_tokens, forgotten });
            }
            if self.turns.len() == 1 {
                let length = prompt_ids.len();
                return Err(Refusal::input(format!(
                    "{length} tokens, but the model has {positions} positions"
                )));
            }
            self.turns.drain(..2);
            forgotten += 1;
        }
    }

    /// Draws an answer and shows it while it is drawn. Returns its text and why it ended.
    fn write(
        &mut self,
        prompt: Fitting,
        seed: Seed,
        show: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<(String, Option<FinishReason>)> {
        let request = Request {
            prompt_ids: prompt.prompt_ids,
            sampling: SamplingParams { max_new_tokens: prompt.max_new_tokens, ..self.sampling },
            stop: stop_of(&self.controls, &self.renderer, prompt.max_new_tokens)?,
            seed,
        };
        let flow = show(Piece::Begin { in_thought: prompt.in_thought });
        let mut answer = Streamed {
            stream: TextStream::new(&self.renderer.tokenizer),
            end_ids: &self.renderer.end_ids,
            text: String::new(),
            ended: None,
            decoded: Ok(()),
            checked: Ok(()),
            flow,
            show,
        };
        self.engine.generate(vec![request], &mut answer)?;
        let Streamed { stream, mut text, ended, decoded, checked, show, .. } = answer;
        checked?;
        decoded?;
        let rest = stream.finish()?;
        text.push_str(&rest);
        let _ = show(Piece::Text(&rest)); // the answer has ended
        Ok((text, ended))
    }
}

/// An answer while it is drawn.
struct Streamed<'a> {
    stream: TextStream<'a>,
    end_ids: &'a [u32],
    text: String,
    ended: Option<FinishReason>,
    decoded: Result<(), ruminate_text::Error>,
    checked: Result<(), ruminate_rollout::Error>,
    flow: ControlFlow<()>,
    show: &'a mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
}

impl Sink for Streamed<'_> {
    fn token(&mut self, _: usize, token: u32) -> ControlFlow<()> {
        if !self.end_ids.contains(&token) {
            self.decoded = self.stream.push(token).map(|piece| {
                self.text.push_str(&piece);
                self.flow = (self.show)(Piece::Text(&piece));
            });
        }
        if self.decoded.is_err() { ControlFlow::Break(()) } else { self.flow }
    }

    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        self.checked = ruminate_rollout::Error::check(request, &completion);
        self.ended = Some(completion.finish_reason);
        ControlFlow::Continue(())
    }
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Before the first token.
    Begin {
        /// Whether the prompt has opened a thought.
        in_thought: bool,
    },
    /// What was written next.
    Text(&'a str),
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
    use super::said;

    #[test]
    fn a_thought_is_not_remembered() {
        assert_eq!(said("<think>a</think>\n\nb", false), Some("b"));
        assert_eq!(said("a</think> b", true), Some("b"));
        assert_eq!(said(" b\n", false), Some("b"));
        assert_eq!((said("a", true), said("<think>a", false)), (None, None));
    }
}
