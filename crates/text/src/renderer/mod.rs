//! Text to token ids and back for one policy: prompts and turns in its template, encoded, and what ends a
//! completion. Knows no tensor.

mod ends;
mod preamble;
mod template;

pub use ends::{end_ids, unused_sampling};
pub use preamble::Preamble;
pub use template::{Columns, PromptStyle, PromptTemplate};

use crate::{Error, GenerationPrompt, MarkedChat, Tokenizer};
use ruminate_data::{Message, Prompt, Sample};
use serde_json::{Map, Value};
use std::path::Path;

/// A tokenizer with its prompt template and its ending tokens.
///
/// ```
/// use ruminate_data::Prompt;
/// use ruminate_text::{Columns, PromptStyle, Renderer};
///
/// let renderer = Renderer::embedded(PromptStyle::Auto)?; // or Renderer::load(folder, ...)
/// let prompt = Prompt::from("7+5=");
/// assert_eq!(renderer.render(&prompt, &Columns::new())?, "7+5=");
/// assert_eq!(renderer.prompt_ids(&prompt, &Columns::new())?.len(), 4);
///
/// let sample = renderer.pair("7+5=", "<think></think><answer>12</answer>")?;
/// assert_eq!(sample.ids.last().copied(), renderer.taught_end());
/// # Ok::<(), ruminate_text::Error>(())
/// ```
pub struct Renderer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// What prompts and turns look like.
    pub template: PromptTemplate,
    /// Tokens that end a completion: every one that a file of the model names.
    pub end_ids: Vec<u32>,
    /// The one of them that a policy is taught to write.
    taught_end: Option<u32>,
    warnings: Vec<String>,
}

impl Renderer {
    /// The embedded one: printable ASCII by character; prompts are bare with [`PromptStyle::Auto`].
    ///
    /// # Errors
    /// [`Error::NoTemplate`] with [`PromptStyle::Chat`].
    pub fn embedded(style: PromptStyle) -> Result<Self, Error> {
        Self::new(Tokenizer::embedded(), style, Vec::new())
    }

    /// A model folder's. `vocab_size` and `eos_token_ids` are those of its `config.json`.
    ///
    /// # Errors
    /// When a tokenizer file is missing or malformed, ordinary text could become an id without an
    /// embedding, or an ending token has none.
    pub fn load(
        folder: &Path,
        vocab_size: usize,
        eos_token_ids: &[u32],
        style: PromptStyle,
    ) -> Result<Self, Error> {
        let end_ids = end_ids(folder, vocab_size, eos_token_ids)?;
        let (tokenizer, beyond) =
            Tokenizer::load(folder)?.for_model(vocab_size).map_err(|error| error.in_file(folder))?;
        if let Some(id) = tokenizer.eos_id().filter(|id| *id as usize >= vocab_size) {
            let token = tokenizer.special_tokens().eos.clone().unwrap_or_default();
            return Err(Error::EosWithoutEmbedding { folder: folder.to_owned(), token, id, vocab_size });
        }
        let mut renderer = Self::new(tokenizer, style, end_ids)?;
        if let [(id, token), ..] = beyond.as_slice() {
            renderer.warnings.push(format!(
                "{}: the model, whose vocab_size is {vocab_size}, has no embedding for {} of the \
                 tokenizer's added tokens, such as {token:?} (id {id}); a text that holds one is refused",
                folder.display(),
                beyond.len(),
            ));
        }
        Ok(renderer)
    }

    fn new(tokenizer: Tokenizer, style: PromptStyle, mut end_ids: Vec<u32>) -> Result<Self, Error> {
        end_ids.extend(tokenizer.eos_id().filter(|id| !end_ids.contains(id)));
        let template = PromptTemplate::new(&tokenizer, style)?;
        let mut renderer = Self { tokenizer, template, end_ids, taught_end: None, warnings: Vec::new() };
        renderer.taught_end = renderer.written_end().or_else(|| {
            let eos = renderer.tokenizer.eos_id();
            eos.or_else(|| renderer.end_ids.first().copied())
        });
        Ok(renderer)
    }

    /// The same with variables of the chat template; `key` is the recipe key or the flag that sets them.
    ///
    /// # Errors
    /// Those of [`PromptTemplate::with_kwargs`], all of them [of options](Error::is_usage).
    pub fn with_kwargs(mut self, kwargs: &Map<String, Value>, key: &str) -> Result<Self, Error> {
        self.template = self.template.with_kwargs(kwargs, key)?;
        Ok(self)
    }

    /// What is odd about the model folder and no error: one sentence each, to be shown to the user.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A warning where nothing ends a completion: what is taught then teaches no end.
    pub fn end_warning(&self) -> Option<String> {
        self.end_ids.is_empty().then(|| {
            "no file of the model names an ending token: no completion is taught to end, and sampling ends \
             at `rollout.max_new_tokens`; set `eos_token_id` in its config.json"
                .to_owned()
        })
    }

    /// The ending token that the chat template writes behind what the assistant says, where it writes one.
    fn written_end(&self) -> Option<u32> {
        const SAID: &str = "Yes.";
        let turns = [Message::new("user", "Is it?"), Message::new("assistant", SAID)];
        let chat = self.template.chat(&turns, &Columns::new(), GenerationPrompt::Omit).ok()?;
        let end = chat.rfind(SAID)? + SAID.len();
        let (_, behind) = self.tokenizer.encode_pair(&chat[..end], &chat[end..]).ok()?;
        behind.into_iter().find(|id| self.end_ids.contains(id))
    }

    /// The prompt as the policy sees it; some columns of its row are the chat template's.
    ///
    /// # Errors
    /// Those of [`PromptTemplate::prompt`].
    pub fn render(&self, prompt: &Prompt, columns: &Columns) -> Result<String, Error> {
        self.template.prompt(prompt, columns)
    }

    /// Whether it has the [embedded tokenizer](Tokenizer::is_embedded).
    pub fn is_embedded(&self) -> bool {
        self.tokenizer.is_embedded()
    }

    /// A prompt's token ids.
    ///
    /// # Errors
    /// Those of [`render`](Self::render) and of [`Tokenizer::encode`].
    pub fn prompt_ids(&self, prompt: &Prompt, columns: &Columns) -> Result<Vec<u32>, Error> {
        self.tokenizer.encode(&self.render(prompt, columns)?)
    }

    /// A conversation in which the template marks what the assistant writes, as one sample.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode_marked`].
    pub fn marked(&self, chat: &MarkedChat) -> Result<Sample, Error> {
        let (ids, mut loss_mask) = self.tokenizer.encode_marked(chat)?;
        if let Some(first) = loss_mask.first_mut() {
            *first = false; // nothing stands before it to predict it from
        }
        Ok(Sample { ids, loss_mask })
    }

    /// Token ids of a prompt, as the policy reads it, and of the completion behind it with its ending
    /// token: one text, cut where the completion begins ([`Tokenizer::encode_pair`]).
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode_pair`].
    pub fn pair_ids(&self, prompt: &str, completion: &str) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let (prompt, completion) = self.tokenizer.encode_pair(prompt, completion)?;
        Ok((prompt, self.ended(completion)))
    }

    /// A sample that teaches a completion of a prompt, as [`pair_ids`](Self::pair_ids) encodes them.
    ///
    /// # Errors
    /// Those of [`pair_ids`](Self::pair_ids).
    pub fn pair(&self, prompt: &str, completion: &str) -> Result<Sample, Error> {
        let (prompt, completion) = self.pair_ids(prompt, completion)?;
        Ok(Sample::completion_only(&prompt, &completion))
    }

    /// The token ids of a text that stands alone, with its ending token.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn completion_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.ended(self.tokenizer.encode(text)?))
    }

    fn ended(&self, mut ids: Vec<u32>) -> Vec<u32> {
        // A template may have written the ending token out.
        if !ids.last().is_some_and(|last| self.end_ids.contains(last)) {
            ids.extend(self.taught_end);
        }
        ids
    }

    /// The token that a policy is taught to end with: the one that the chat template writes, else the
    /// tokenizer's `eos_token`, else the first of [`end_ids`](Self::end_ids).
    pub fn taught_end(&self) -> Option<u32> {
        self.taught_end
    }

    /// What the policy wrote, without the token that ended it. Ids that do not decode read as nothing: a
    /// verifier finds no answer in them.
    pub fn text(&self, completion_ids: &[u32]) -> String {
        self.tokenizer.completion_text(completion_ids, &self.end_ids).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
