//! Prompts and turns as text: as they stand, in R1-Zero's words, or in the model's chat template, with what the row and the
//! recipe give to the template. One place for all commands. It knows no token.

pub(crate) mod ends;
pub(crate) mod language;
pub(crate) mod preamble;
pub(crate) mod room;

use crate::error::Refusal;
use crate::recipe::PromptStyle;
use crate::renderer::preamble::Preamble;
use anyhow::{Context, Result};
use ruminate_data::{Message, Prompt};
use ruminate_text::{
    ChatTemplate, GenerationPrompt, MarkedChat, TemplateInputs, Tokenizer, Turn, check_names, r1_zero_prompt,
};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// The columns of a row, of which some are the template's.
pub(crate) type Columns = Map<String, Value>;

/// A model's way to put prompts.
pub(crate) struct Renderer {
    template: Option<ChatTemplate>,
    /// transformers takes this one, where a folder has it, for rows with tools.
    tool_use: Option<ChatTemplate>,
    /// The file that has the template, for messages.
    path: String,
    /// Why there is no template although the folder has something in its place.
    problem: Option<String>,
    style: Style,
    /// Variables of the template, which the recipe or a flag sets; a row's own go before them.
    kwargs: Map<String, Value>,
    /// What stands before every prompt.
    pub(crate) preamble: Preamble,
}

/// A decided [`PromptStyle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Bare,
    R1,
    Chat,
}

impl Renderer {
    /// That of a tokenizer's folder; `bare` is the style where the recipe leaves it open and the tokenizer is the embedded
    /// one.
    ///
    /// # Errors
    /// With exit code 3 for a template that is no Jinja, and where a template is asked for and there is none.
    pub(crate) fn new(tokenizer: &Tokenizer, style: PromptStyle, is_embedded: bool) -> Result<Self> {
        let path = tokenizer.chat_template_path().to_owned();
        let compiled = |source: Option<&str>| {
            let compiled =
                source.map(|source| ChatTemplate::new(source, tokenizer.special_tokens(), SystemTime::now()));
            compiled.transpose().with_context(|| path.clone())
        };
        let template = compiled(tokenizer.chat_template())?;
        let tool_use = compiled(tokenizer.named_chat_template("tool_use"))?;
        let problem = tokenizer.chat_template_problem().map(str::to_owned);
        let style = match (style, &template) {
            (PromptStyle::Auto, _) if is_embedded => Style::Bare,
            (PromptStyle::Auto | PromptStyle::Chat, None) if problem.is_some() => {
                return Err(no_template(problem.as_deref()));
            }
            (PromptStyle::Auto | PromptStyle::Chat, Some(_)) => Style::Chat,
            (PromptStyle::Auto | PromptStyle::R1, _) => Style::R1,
            (PromptStyle::Bare, _) => Style::Bare,
            (PromptStyle::Chat, None) => return Err(no_template(None)),
        };
        Ok(Self {
            template,
            tool_use,
            path,
            problem,
            style,
            kwargs: Map::new(),
            preamble: Preamble::default(),
        })
    }

    /// The same with variables of the template; `key` is what sets them.
    ///
    /// # Errors
    /// With exit code 2 for a variable that the template does not read, and where there is no template.
    pub(crate) fn with_kwargs(mut self, kwargs: &Map<String, Value>, key: &str) -> Result<Self> {
        check_names(kwargs).map_err(|error| Refusal::usage(format!("{key}: {error}")))?;
        if let (None, Some(name)) = (&self.template, kwargs.keys().next()) {
            return Err(Refusal::usage(format!(
                "{key} sets `{name}` for the chat template, and the model has none; expected a model with a \
                 chat_template.jinja, or no {key}"
            )));
        }
        if let Some(name) = kwargs.keys().find(|name| !self.reads(name)) {
            return Err(Refusal::usage(format!(
                "{key} sets `{name}`, and the chat template of {} does not read it: it would change nothing",
                self.path
            )));
        }
        self.kwargs.clone_from(kwargs);
        Ok(self)
    }

    /// Whether a chat template of the model reads a variable.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.template.iter().chain(&self.tool_use).any(|template| template.names(name))
    }

    /// A prompt as the policy sees it.
    ///
    /// # Errors
    /// With exit code 3 where the row gives the template something that it cannot have, or the template refuses.
    pub(crate) fn prompt(&self, prompt: &Prompt, columns: &Columns) -> Result<String> {
        match (prompt, self.style) {
            (Prompt::Text(text), Style::Bare) => {
                self.without_template(columns).map(|()| self.preamble.text() + text)
            }
            (Prompt::Text(text), Style::R1) => {
                self.without_template(columns).map(|()| self.preamble.text() + &r1_zero_prompt(text))
            }
            (Prompt::Text(text), Style::Chat) => {
                let turn = Message::new("user", text.as_str());
                self.chat(&self.preamble.before(&[turn]), columns, GenerationPrompt::Add)
            }
            (Prompt::Messages(messages), _) => {
                self.chat(&self.preamble.before(messages), columns, GenerationPrompt::Add)
            }
        }
    }

    /// Whether the template has no say, and so nothing of the row and of the recipe is for it.
    ///
    /// # Errors
    /// With exit code 3.
    pub(crate) fn without_template(&self, columns: &Columns) -> Result<()> {
        let given = TemplateInputs::of_row(|name| columns.get(name).filter(|_| name != "documents"))?;
        let given = given.with_defaults(&self.kwargs);
        match given.names().next() {
            Some(name) => Err(Refusal::input(format!(
                "`{name}` is for the chat template, and the prompt is a text that is put without it; expected a list of \
                 messages, or `data.prompt` = \"chat\""
            ))),
            None => Ok(()),
        }
    }

    /// Whether the model has a chat template.
    pub(crate) fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Whether turns are put in a chat template; without one a prompt stands alone.
    pub(crate) fn keeps_turns(&self) -> bool {
        self.style == Style::Chat
    }

    /// A chat in the model's template.
    pub(crate) fn chat(
        &self,
        messages: &[Message],
        columns: &Columns,
        prompt: GenerationPrompt,
    ) -> Result<String> {
        let (template, inputs) = self.template_for(columns)?;
        template.render(messages, &inputs, prompt).with_context(|| self.path.clone())
    }

    /// A conversation in which the template marks all that the assistant says; None where it does not.
    pub(crate) fn marked(&self, messages: &[Message], columns: &Columns) -> Result<Option<MarkedChat>> {
        let (template, inputs) = self.template_for(columns)?;
        if !template.marks_assistant() {
            return Ok(None);
        }
        let chat = template.render_marked(messages, &inputs).with_context(|| self.path.clone())?;
        Ok(ChatTemplate::keeps(messages, &chat.assistant_text()).then_some(chat))
    }

    /// The last message, which is the assistant's, with what it is written behind.
    pub(crate) fn turn(&self, messages: &[Message], columns: &Columns) -> Result<Turn> {
        let (template, inputs) = self.template_for(columns)?;
        template.turn(messages, &inputs).with_context(|| self.path.clone())
    }

    /// The template for a row, with what it reads beside the messages.
    fn template_for(&self, columns: &Columns) -> Result<(&ChatTemplate, TemplateInputs)> {
        let template = self.template.as_ref().ok_or_else(|| no_template(self.problem.as_deref()))?;
        // `documents` is also what data sets call a column of their own.
        let is_input = |name: &str| name != "documents" || template.names(name);
        let inputs = TemplateInputs::of_row(|name| columns.get(name).filter(|_| is_input(name)))?;
        let template = match (&self.tool_use, &inputs.tools) {
            (Some(tool_use), Some(_)) => tool_use,
            _ => template,
        };
        if let Some(name) = inputs.names().find(|name| !template.names(name)) {
            return Err(Refusal::input(format!(
                "the row gives `{name}` to the chat template, and that of {} does not read it: it would change nothing; \
                 leave it out, or choose a model whose template reads it",
                self.path
            )));
        }
        Ok((template, inputs.with_defaults(&self.kwargs)))
    }
}

fn no_template(problem: Option<&str>) -> anyhow::Error {
    match problem {
        Some(problem) => Refusal::input(problem),
        None => Refusal::input(
            "the prompt is a list of messages, but the model has no chat template; expected chat_template.jinja, or \
             `chat_template` in tokenizer_config.json",
        ),
    }
}
