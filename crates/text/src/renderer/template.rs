//! Prompts and turns as text: as they stand, in R1-Zero's words, or in the model's chat template, with what
//! the row and the caller give to the template. One place for all commands. Does not encode.

use super::preamble::Preamble;
use crate::{
    ChatTemplate, Error, GenerationPrompt, MarkedChat, TemplateInputs, Tokenizer, Turn, check_names,
    r1_zero_prompt,
};
use ruminate_data::{Message, Prompt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// The columns of a row, of which some are the template's: `tools`, `documents`, `chat_template_kwargs`.
pub type Columns = Map<String, Value>;

/// How a prompt that is bare text is put to the policy; messages always go through the chat template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptStyle {
    /// `bare` with the embedded tokenizer, else `chat` where the model has a chat template, else `r1`.
    #[default]
    Auto,
    /// The text as it stands.
    Bare,
    /// R1-Zero's template for base models.
    R1,
    /// A user's turn in the model's chat template.
    Chat,
}

/// How prompts and turns become text for one model.
pub struct PromptTemplate {
    template: Option<ChatTemplate>,
    /// transformers takes this one, where a folder has it, for rows with tools.
    tool_use: Option<ChatTemplate>,
    /// The file that has the template, for messages.
    path: String,
    /// Why there is no template although the folder has something in its place.
    problem: Option<String>,
    style: Style,
    /// Variables of the template, set by the caller; a row's own go before them.
    kwargs: Map<String, Value>,
    /// What stands before every prompt.
    pub preamble: Preamble,
}

/// A decided [`PromptStyle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bare,
    R1,
    Chat,
}

impl PromptTemplate {
    /// The template of a tokenizer's folder, without variables and without a preamble.
    ///
    /// # Errors
    /// [`Error::InFile`] for a template that is no Jinja; [`Error::UnusableTemplate`] and
    /// [`Error::NoTemplate`] where a template is needed and there is none.
    pub fn new(tokenizer: &Tokenizer, style: PromptStyle) -> Result<Self, Error> {
        let path = tokenizer.chat_template_path().to_owned();
        let compiled = |source: Option<&str>| {
            let compiled =
                source.map(|source| ChatTemplate::new(source, tokenizer.special_tokens(), SystemTime::now()));
            compiled.transpose().map_err(|error| error.in_file(&path))
        };
        let template = compiled(tokenizer.chat_template())?;
        let tool_use = compiled(tokenizer.named_chat_template("tool_use"))?;
        let problem = tokenizer.chat_template_problem().map(str::to_owned);
        let style = match (style, &template) {
            (PromptStyle::Auto, _) if tokenizer.is_embedded() => Style::Bare,
            (PromptStyle::Auto | PromptStyle::Chat, None) if problem.is_some() => {
                return Err(no_template(problem.as_deref()));
            }
            (PromptStyle::Auto | PromptStyle::Chat, Some(_)) => Style::Chat,
            (PromptStyle::Auto | PromptStyle::R1, _) => Style::R1,
            (PromptStyle::Bare, _) => Style::Bare,
            (PromptStyle::Chat, None) => return Err(no_template(None)),
        };
        let (kwargs, preamble) = (Map::new(), Preamble::default());
        Ok(Self { template, tool_use, path, problem, style, kwargs, preamble })
    }

    /// The same with variables of the template; `key` is the recipe key or the flag that sets them.
    ///
    /// # Errors
    /// [`Error::Kwargs`] for a name that no variable can have, [`Error::KwargsUnread`] for one that the
    /// template does not read, [`Error::KwargsWithoutTemplate`]: all of them [of options](Error::is_usage).
    pub fn with_kwargs(mut self, kwargs: &Map<String, Value>, key: &str) -> Result<Self, Error> {
        let key = || key.to_owned();
        check_names(kwargs).map_err(|error| Error::Kwargs { key: key(), error: Box::new(error) })?;
        if let (None, Some(name)) = (&self.template, kwargs.keys().next()) {
            return Err(Error::KwargsWithoutTemplate { key: key(), name: name.clone() });
        }
        if let Some(name) = kwargs.keys().find(|name| !self.reads(name)) {
            return Err(Error::KwargsUnread { key: key(), name: name.clone(), path: self.path.clone() });
        }
        self.kwargs.clone_from(kwargs);
        Ok(self)
    }

    /// Whether a chat template of the model reads a variable.
    pub fn reads(&self, name: &str) -> bool {
        self.template.iter().chain(&self.tool_use).any(|template| template.names(name))
    }

    /// A prompt as the policy sees it, the preamble included.
    ///
    /// # Errors
    /// Where the row gives the template something that it cannot have, or the template refuses the messages.
    pub fn prompt(&self, prompt: &Prompt, columns: &Columns) -> Result<String, Error> {
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

    /// Checks that neither the row nor the variables give the template anything: a text without it would
    /// ignore that.
    ///
    /// # Errors
    /// [`Error::BesideText`] with the first name; [`Error::Inputs`] for a column that is malformed.
    pub fn without_template(&self, columns: &Columns) -> Result<(), Error> {
        let given = TemplateInputs::of_row(|name| columns.get(name).filter(|_| name != "documents"))?;
        let given = given.with_defaults(&self.kwargs);
        match given.names().next() {
            Some(name) => Err(Error::BesideText { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// Whether the model has a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Whether turns are put in a chat template; without one a prompt stands alone.
    pub fn keeps_turns(&self) -> bool {
        self.style == Style::Chat
    }

    /// A chat in the model's template. The preamble is not added: [`Preamble::before`] does that.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt), and where the model has no template.
    pub fn chat(
        &self,
        messages: &[Message],
        columns: &Columns,
        prompt: GenerationPrompt,
    ) -> Result<String, Error> {
        let (template, inputs) = self.template_for(columns)?;
        template.render(messages, &inputs, prompt).map_err(|error| error.in_file(&self.path))
    }

    /// A conversation in which the template marks all that the assistant says; `None` where it does not.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn marked(&self, messages: &[Message], columns: &Columns) -> Result<Option<MarkedChat>, Error> {
        let (template, inputs) = self.template_for(columns)?;
        if !template.marks_assistant() {
            return Ok(None);
        }
        let chat = template.render_marked(messages, &inputs).map_err(|error| error.in_file(&self.path))?;
        Ok(ChatTemplate::keeps(messages, &chat.assistant_text()).then_some(chat))
    }

    /// The last message, which is the assistant's, with the prompt before it.
    ///
    /// # Errors
    /// As [`chat`](Self::chat), and [`Error::TurnCut`] within [`Error::InFile`] where the template leaves
    /// something out.
    pub fn turn(&self, messages: &[Message], columns: &Columns) -> Result<Turn, Error> {
        let (template, inputs) = self.template_for(columns)?;
        template.turn(messages, &inputs).map_err(|error| error.in_file(&self.path))
    }

    /// The template for a row, with what it reads beside the messages.
    fn template_for(&self, columns: &Columns) -> Result<(&ChatTemplate, TemplateInputs), Error> {
        let template = self.template.as_ref().ok_or_else(|| no_template(self.problem.as_deref()))?;
        // `documents` is also what data sets call a column of their own.
        let is_input = |name: &str| name != "documents" || template.names(name);
        let inputs = TemplateInputs::of_row(|name| columns.get(name).filter(|_| is_input(name)))?;
        let template = match (&self.tool_use, &inputs.tools) {
            (Some(tool_use), Some(_)) => tool_use,
            _ => template,
        };
        if let Some(name) = inputs.names().find(|name| !template.names(name)) {
            return Err(Error::UnreadInput { name: name.to_owned(), path: self.path.clone() });
        }
        Ok((template, inputs.with_defaults(&self.kwargs)))
    }
}

fn no_template(problem: Option<&str>) -> Error {
    problem.map_or(Error::NoTemplate, |problem| Error::UnusableTemplate { problem: problem.to_owned() })
}
