//! The policy's language: text to token ids and back, prompts as the policy sees them, and what ends a completion.
//! It knows no tensor.

use crate::exit::Refusal;
use crate::recipe::PromptStyle;
use anyhow::{Context, Result};
use ruminate_data::{Message, Prompt, Sample};
use ruminate_text::{ChatTemplate, GenerationPrompt, Tokenizer, r1_zero_prompt};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// A tokenizer with its prompt style and its ending tokens.
pub(crate) struct Language {
    pub(crate) tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    style: Style,
    /// Tokens that end a completion.
    pub(crate) end_ids: Vec<u32>,
}

/// A decided [`PromptStyle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bare,
    R1,
    Chat,
}

impl Language {
    /// The embedded one: printable ASCII by character, bare prompts.
    pub(crate) fn embedded(style: PromptStyle) -> Result<Self> {
        Self::new(Tokenizer::embedded(), style, Vec::new())
    }

    /// A model folder's.
    ///
    /// # Errors
    /// When a tokenizer file is missing or malformed, or has ids without an embedding.
    pub(crate) fn load(folder: &Path, vocab_size: usize, style: PromptStyle) -> Result<Self> {
        let tokenizer = Tokenizer::load(folder)?;
        tokenizer.check_vocab_size(vocab_size).with_context(|| folder.display().to_string())?;
        let end_ids = end_ids(folder)?;
        Self::new(tokenizer, style, end_ids)
    }

    fn new(tokenizer: Tokenizer, style: PromptStyle, mut end_ids: Vec<u32>) -> Result<Self> {
        if end_ids.is_empty() {
            end_ids.extend(tokenizer.eos_id());
        }
        let template = tokenizer
            .chat_template()
            .map(|source| ChatTemplate::new(source, tokenizer.special_tokens(), SystemTime::now()))
            .transpose()?;
        let style = match (style, &template) {
            (PromptStyle::Auto, _) if is_embedded(&tokenizer) => Style::Bare,
            (PromptStyle::Auto | PromptStyle::Chat, Some(_)) => Style::Chat,
            (PromptStyle::Auto | PromptStyle::R1, _) => Style::R1,
            (PromptStyle::Bare, _) => Style::Bare,
            (PromptStyle::Chat, None) => return Err(no_template()),
        };
        Ok(Self { tokenizer, template, style, end_ids })
    }

    /// The prompt as the policy sees it.
    pub(crate) fn render(&self, prompt: &Prompt) -> Result<String> {
        match (prompt, self.style) {
            (Prompt::Text(text), Style::Bare) => Ok(text.clone()),
            (Prompt::Text(text), Style::R1) => Ok(r1_zero_prompt(text)),
            (Prompt::Text(text), Style::Chat) => {
                let turn = Message { role: "user".to_owned(), content: text.clone() };
                self.chat(&[turn], GenerationPrompt::Add)
            }
            (Prompt::Messages(messages), _) => self.chat(messages, GenerationPrompt::Add),
        }
    }

    /// Whether the model has a chat template.
    pub(crate) fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// A chat in the model's template.
    pub(crate) fn chat(&self, messages: &[Message], prompt: GenerationPrompt) -> Result<String> {
        let template = self.template.as_ref().ok_or_else(no_template)?;
        Ok(template.render(messages, prompt)?)
    }

    /// Whether turns are put in a chat template; without one a prompt stands alone.
    pub(crate) fn keeps_turns(&self) -> bool {
        self.style == Style::Chat
    }

    /// A conversation's samples, where the template says which tokens are the assistant's; none where it does not.
    pub(crate) fn marked(&self, messages: &[Message]) -> Result<Option<Sample>> {
        let Some(template) = self.template.as_ref().filter(|template| template.marks_assistant()) else {
            return Ok(None);
        };
        let (ids, mut loss_mask) = self.tokenizer.encode_marked(&template.render_marked(messages)?)?;
        if let Some(first) = loss_mask.first_mut() {
            *first = false; // nothing stands before it to predict it from
        }
        Ok(Some(Sample { ids, loss_mask }))
    }

    /// A prompt's token ids.
    pub(crate) fn prompt_ids(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode(&self.render(prompt)?)?)
    }

    /// A completion's token ids, its ending token included.
    pub(crate) fn completion_ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.encode(text)?;
        // A template may have written the ending token out.
        if !ids.last().is_some_and(|last| self.end_ids.contains(last)) {
            ids.extend(self.end_ids.first());
        }
        Ok(ids)
    }

    /// What the policy wrote, without the token that ended it. Ids that do not decode read as nothing: a verifier
    /// finds no answer in them.
    pub(crate) fn text(&self, completion_ids: &[u32]) -> String {
        self.tokenizer.completion_text(completion_ids, &self.end_ids).unwrap_or_default()
    }
}

/// The ending tokens of a model folder: `generation_config.json`, else `config.json`; none where both are silent.
///
/// # Errors
/// When one of them is no JSON.
pub(crate) fn end_ids(folder: &Path) -> Result<Vec<u32>> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| Refusal::input(format!("{}: not valid JSON: {error}", path.display())))?;
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids: Vec<u32> = match &json["eos_token_id"] {
            Value::Array(ids) => ids.iter().filter_map(id).collect(),
            one => id(one).into_iter().collect(),
        };
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    Ok(Vec::new())
}

/// Whether it is the embedded tokenizer, also where a model folder that we wrote gives it back.
fn is_embedded(tokenizer: &Tokenizer) -> bool {
    let embedded = Tokenizer::embedded();
    tokenizer.files().eq(embedded.files())
}

fn no_template() -> anyhow::Error {
    Refusal::input(
        "the prompt is a list of messages, but the model has no chat template; expected chat_template.jinja, or \
         `chat_template` in tokenizer_config.json",
    )
}
