//! What a policy is taught of a turn: the prompt as it reads it, and what is left for it to write. Templates do not always
//! render a turn as the policy writes it: DeepSeek-R1's opens the thought in the prompt, and cuts it from what is answered.
//!
//! A completion is, in this order:
//! 1. what the template renders behind the prompt, where the turn's own words are all in it;
//! 2. else the turn's own words, as far as the prompt has not written them, and the end that the template puts behind an
//!    answer.

use crate::jinja::MARKS;
use crate::{ChatTemplate, Error, GenerationPrompt, TemplateInputs};
use ruminate_data::Message;
use serde_json::Value;

/// What opens and closes a thought, as DeepSeek-R1, Qwen3 and their descendants write it.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A turn to be taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the policy reads: the history with the generation prompt.
    pub prompt: String,
    /// What it is to write, with the end that the template writes.
    pub completion: String,
}

impl ChatTemplate {
    /// The last of these messages, which is the assistant's, as a turn.
    ///
    /// # Errors
    /// [`Error::TurnCut`] where the template leaves out something that the turn says and there is no other way to write it;
    /// those of rendering.
    pub fn turn(&self, messages: &[Message], inputs: &TemplateInputs) -> Result<Turn, Error> {
        let (history, turn) = messages.split_at(messages.len().saturating_sub(1));
        let Some(turn) = turn.first() else { return Err(cut("no turn")) };
        let prompt = self.render(history, inputs, GenerationPrompt::Add)?;
        let whole = self.render(messages, inputs, GenerationPrompt::Omit)?;
        let words = words(turn);
        if let Some(completion) = whole.strip_prefix(&prompt)
            && missing(completion, &words).is_none()
        {
            return Ok(Turn { completion: completion.trim_end().to_owned(), prompt });
        }
        if turn.get("tool_calls").is_some() {
            return Err(cut("its tool calls, or what stands before them"));
        }
        if turn.reasoning().is_some() && !self.source().contains(CLOSE) {
            return Err(cut("its thought (`reasoning_content`)"));
        }
        // What the template puts around an answer that has no thought.
        let probe = turn.without("reasoning_content").without("reasoning").without("thinking");
        let probe = probe.with_content(MARKS[0]);
        let whole = self.render(&[history, &[probe]].concat(), inputs, GenerationPrompt::Omit)?;
        let Some((before, end)) = whole.split_once(MARKS[0]) else { return Err(cut("its content")) };
        if without_thought(before) != without_thought(&prompt) {
            return Err(cut("how it renders the turns before"));
        }
        let completion = continuation(&prompt, &own_words(turn))?;
        Ok(Turn { completion: completion + end.trim_end(), prompt })
    }

    /// Whether all that the assistant says is in the parts of a rendered chat that are its own.
    pub fn keeps(messages: &[Message], assistant: &str) -> bool {
        let turns = messages.iter().filter(|message| message.role() == "assistant");
        missing(assistant, &turns.flat_map(words).collect::<Vec<_>>()).is_none()
    }
}

/// What a turn of the assistant says, in one text: its thought in tags, then its content.
pub fn own_words(turn: &Message) -> String {
    let content = turn.text();
    match turn.reasoning().and_then(Value::as_str) {
        Some(thought) => format!("{OPEN}\n{}\n{CLOSE}\n\n{}", thought.trim(), content.trim_start()),
        None => content,
    }
}

/// What was written behind a prompt as a reply that stands alone: with the opening of a thought that it goes on with.
pub fn whole_reply(prompt: &str, written: &str) -> String {
    let within = match (written.find(OPEN), written.find(CLOSE)) {
        (Some(open), Some(close)) => close < open,
        (None, Some(_)) => true,
        (_, None) => opens_thought(prompt),
    };
    if within { format!("{OPEN}\n{}", written.trim_start_matches('\n')) } else { written.to_owned() }
}

/// Whether a prompt ends within a thought that it has opened.
pub fn opens_thought(prompt: &str) -> bool {
    prompt.trim_end().ends_with(OPEN)
}

/// What of a reply is left to write behind a prompt, which may have opened the thought, or have closed it.
///
/// # Errors
/// [`Error::TurnCut`] where the prompt has closed the thought and the reply has one.
pub fn continuation(prompt: &str, reply: &str) -> Result<String, Error> {
    if opens_thought(prompt) {
        let gap = &prompt[prompt.trim_end().len()..];
        return Ok(match reply.trim_start().strip_prefix(OPEN) {
            Some(rest) => rest.strip_prefix(gap).unwrap_or(rest).to_owned(),
            // It begins within the thought.
            None if reply.contains(CLOSE) => reply.to_owned(),
            // It has none: an empty one, as Qwen3 writes it.
            None => {
                format!("{}{CLOSE}\n\n{}", if gap.is_empty() { "\n\n" } else { "\n" }, reply.trim_start())
            }
        });
    }
    if prompt.trim_end().ends_with(CLOSE)
        && let Some((thought, answer)) = reply.split_once(CLOSE)
    {
        if !thought.trim().trim_start_matches(OPEN).trim().is_empty() {
            return Err(cut("its thought, for which the prompt leaves no room (`enable_thinking`)"));
        }
        return Ok(answer.trim_start().to_owned());
    }
    Ok(reply.to_owned())
}

fn cut(what: &'static str) -> Error {
    Error::TurnCut { what }
}

/// A prompt without a thought that it opens, or opens and closes.
fn without_thought(prompt: &str) -> &str {
    let prompt = prompt.trim_end();
    let prompt = prompt.strip_suffix(CLOSE).map_or(prompt, str::trim_end);
    prompt.strip_suffix(OPEN).map_or(prompt, str::trim_end)
}

/// What a turn says, in pieces between which a template may put something: thoughts, answers, names of tools.
fn words(turn: &Message) -> Vec<String> {
    let thought =
        turn.reasoning().map(|thought| thought.as_str().map_or_else(|| thought.to_string(), str::to_owned));
    let content = turn.text();
    let pieces = content.split(OPEN).flat_map(|piece| piece.split(CLOSE)).map(str::to_owned);
    let calls = turn.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let names = calls.filter_map(|call| call["function"]["name"].as_str().or_else(|| call["name"].as_str()));
    let words = thought.into_iter().chain(pieces).chain(names.map(str::to_owned));
    words.filter(|words| !words.trim().is_empty()).collect()
}

/// The first of these words that a text does not have behind those before it, whatever the white space.
fn missing<'a>(text: &str, words: &'a [String]) -> Option<&'a str> {
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let text = dense(text);
    let mut rest = text.as_str();
    words.iter().map(String::as_str).find(|words| {
        let words = dense(words);
        match rest.find(&words) {
            Some(at) => {
                rest = &rest[at + words.len()..];
                false
            }
            None => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{continuation, opens_thought, whole_reply};

    #[test]
    fn a_reply_goes_on_where_the_prompt_ends() {
        for (prompt, reply, left) in [
            ("A:", "<think>a</think>b", "<think>a</think>b"),
            ("A:<think>\n", "<think>\na\n</think>\n\nb", "a\n</think>\n\nb"),
            ("A:<think>\n", "<think>a</think>b", "a</think>b"),
            ("A:<think>", "<think>\na</think>b", "\na</think>b"),
            ("A:<think>\n", "a\n</think>\n\nb", "a\n</think>\n\nb"),
            ("A:<think>\n", "b", "\n</think>\n\nb"),
            ("A:<think>", "b", "\n\n</think>\n\nb"),
            ("A:<think>\n\n</think>\n\n", "b", "b"),
            ("A:<think>\n\n</think>\n\n", "<think>\n\n</think>\n\nb", "b"),
        ] {
            assert_eq!(continuation(prompt, reply).expect("left"), left, "{prompt:?} {reply:?}");
        }
        assert!(
            continuation("A:<think>\n\n</think>\n\n", "<think>a</think>b").is_err(),
            "there is no room for it"
        );
        assert_eq!(whole_reply("A:<think>\n", "a\n</think>\n\nb"), "<think>\na\n</think>\n\nb");
        assert_eq!(whole_reply("A:", "<think>a</think>b"), "<think>a</think>b");
        assert_eq!(
            (whole_reply("A:", "b").as_str(), whole_reply("A:<think>", "b").as_str()),
            ("b", "<think>\nb")
        );
        assert!(opens_thought("A:<think>\n") && !opens_thought("A:<think>\n\n</think>\n\n"));
    }
}
