//! The policy's language: text to token ids and back, prompts as the policy sees them, and what ends a completion.
//! It knows no tensor.

use crate::error::Refusal;
use crate::recipe::PromptStyle;
use crate::renderer::ends;
use crate::renderer::{Columns, Renderer};
use anyhow::{Context, Result};
use ruminate_data::{Message, Prompt, Sample};
use ruminate_model::Config;
use ruminate_text::{GenerationPrompt, MarkedChat, Tokenizer};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A tokenizer with its prompt style and its ending tokens.
pub(crate) struct Language {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) renderer: Renderer,
    /// Tokens that end a completion: every one that a file of the model names.
    pub(crate) end_ids: Vec<u32>,
    /// The one of them that a policy is taught to write.
    taught_end: Option<u32>,
}

impl Language {
    /// The embedded one: printable ASCII by character, bare prompts.
    pub(crate) fn embedded(style: PromptStyle) -> Result<Self> {
        Self::new(Tokenizer::embedded(), style, Vec::new())
    }

    /// A model folder's.
    ///
    /// # Errors
    /// When a tokenizer file is missing or malformed, ordinary text could become an id without an embedding, or an ending
    /// token has none.
    pub(crate) fn load(folder: &Path, config: &Config, style: PromptStyle) -> Result<Self> {
        let vocab_size = config.vocab_size;
        let end_ids = ends::end_ids(folder, config)?;
        let (tokenizer, beyond) =
            Tokenizer::load(folder)?.for_model(vocab_size).with_context(|| folder.display().to_string())?;
        if let Some(id) = tokenizer.eos_id().filter(|id| *id as usize >= vocab_size) {
            let eos = tokenizer.special_tokens().eos.as_deref().unwrap_or_default();
            return Err(Refusal::input(format!(
                "{}: the tokenizer's `eos_token` is {eos:?}, whose id {id} has no embedding: the model's vocab_size is \
                 {vocab_size}; take tokenizer and weights from the same model folder",
                folder.display()
            )));
        }
        if let [(id, token), ..] = beyond.as_slice() {
            warn_once(format!(
                "{}: the model, whose vocab_size is {vocab_size}, has no embedding for {} of the tokenizer's added tokens, \
                 such as {token:?} (id {id}); a text that holds one is refused",
                folder.display(),
                beyond.len(),
            ));
        }
        Self::new(tokenizer, style, end_ids)
    }

    fn new(tokenizer: Tokenizer, style: PromptStyle, mut end_ids: Vec<u32>) -> Result<Self> {
        end_ids.extend(tokenizer.eos_id().filter(|id| !end_ids.contains(id)));
        let renderer = Renderer::new(&tokenizer, style, is_embedded(&tokenizer))?;
        let mut language = Self { tokenizer, renderer, end_ids, taught_end: None };
        language.taught_end = language.written_end().or_else(|| {
            let eos = language.tokenizer.eos_id();
            eos.or_else(|| language.end_ids.first().copied())
        });
        Ok(language)
    }

    /// The same with variables of the chat template, which `key` sets.
    ///
    /// # Errors
    /// With exit code 2 for one that the template does not read.
    pub(crate) fn with_kwargs(mut self, kwargs: &Map<String, Value>, key: &str) -> Result<Self> {
        self.renderer = self.renderer.with_kwargs(kwargs, key)?;
        Ok(self)
    }

    /// The ending token that the chat template writes behind what the assistant says, where it writes one.
    fn written_end(&self) -> Option<u32> {
        const SAID: &str = "Yes.";
        let turns = [Message::new("user", "Is it?"), Message::new("assistant", SAID)];
        let chat = self.renderer.chat(&turns, &Columns::new(), GenerationPrompt::Omit).ok()?;
        let end = chat.rfind(SAID)? + SAID.len();
        let (_, behind) = self.tokenizer.encode_pair(&chat[..end], &chat[end..]).ok()?;
        behind.into_iter().find(|id| self.end_ids.contains(id))
    }

    /// The prompt as the policy sees it; some columns of its row are the chat template's.
    pub(crate) fn render(&self, prompt: &Prompt, columns: &Columns) -> Result<String> {
        self.renderer.prompt(prompt, columns)
    }

    /// Whether it is the embedded one, also where a model folder that we wrote gives it back.
    pub(crate) fn is_embedded(&self) -> bool {
        is_embedded(&self.tokenizer)
    }

    /// A prompt's token ids.
    pub(crate) fn prompt_ids(&self, prompt: &Prompt, columns: &Columns) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode(&self.render(prompt, columns)?)?)
    }

    /// A conversation in which the template marks what the assistant writes, as one sample.
    pub(crate) fn marked(&self, chat: &MarkedChat) -> Result<Sample> {
        let (ids, mut loss_mask) = self.tokenizer.encode_marked(chat)?;
        if let Some(first) = loss_mask.first_mut() {
            *first = false; // nothing stands before it to predict it from
        }
        Ok(Sample { ids, loss_mask })
    }

    /// Token ids of a prompt, as the policy reads it, and of the completion behind it with its ending token: one text, cut
    /// where the completion begins ([`Tokenizer::encode_pair`]).
    pub(crate) fn pair_ids(&self, prompt: &str, completion: &str) -> Result<(Vec<u32>, Vec<u32>)> {
        let (prompt, completion) = self.tokenizer.encode_pair(prompt, completion)?;
        Ok((prompt, self.ended(completion)))
    }

    /// A sample that teaches a completion of a prompt, as [`pair_ids`](Self::pair_ids) encodes them.
    pub(crate) fn pair(&self, prompt: &str, completion: &str) -> Result<Sample> {
        let (prompt, completion) = self.pair_ids(prompt, completion)?;
        Ok(Sample::completion_only(&prompt, &completion))
    }

    /// The token ids of a text that stands alone, with its ending token.
    pub(crate) fn completion_ids(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.ended(self.tokenizer.encode(text)?))
    }

    fn ended(&self, mut ids: Vec<u32>) -> Vec<u32> {
        // A template may have written the ending token out.
        if !ids.last().is_some_and(|last| self.end_ids.contains(last)) {
            ids.extend(self.taught_end);
        }
        ids
    }

    /// The token that a policy is taught to end with.
    pub(crate) fn taught_end(&self) -> Option<u32> {
        self.taught_end
    }

    /// Says so where nothing ends a completion: what is taught then teaches no end.
    pub(crate) fn warn_without_end(&self) {
        if self.end_ids.is_empty() {
            warn_once(
                "no file of the model names an ending token: no completion is taught to end, and sampling ends at \
                 `rollout.max_new_tokens`; set `eos_token_id` in its config.json"
                    .to_owned(),
            );
        }
    }

    /// What the policy wrote, without the token that ended it. Ids that do not decode read as nothing: a verifier
    /// finds no answer in them.
    pub(crate) fn text(&self, completion_ids: &[u32]) -> String {
        self.tokenizer.completion_text(completion_ids, &self.end_ids).unwrap_or_default()
    }
}

/// Whether it is the embedded tokenizer, also where a model folder that we wrote gives it back.
fn is_embedded(tokenizer: &Tokenizer) -> bool {
    let embedded = Tokenizer::embedded();
    tokenizer.files().eq(embedded.files())
}

/// Warns on standard error; of a model that is loaded several times in a run once.
fn warn_once(warning: String) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.contains(&warning) {
        notice!("warning: {warning}");
        told.insert(warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    /// The byte-level tokenizer of the fixtures, `<|im_end|>` being 300, in a folder with these files.
    fn language(eos_token_id: &Value, files: &[(&str, &str)]) -> Language {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = ruminate_testkit::fixture_path("text/byte_level/tokenizer.json");
        fs::copy(fixture, folder.path().join("tokenizer.json")).expect("copied");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let config = json!({
            "model_type": "llama", "vocab_size": 303, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 4, "eos_token_id": eos_token_id,
        });
        let config = Config::from_json(&config).expect("valid");
        Language::load(folder.path(), &config, PromptStyle::Auto).expect("well-formed")
    }

    const TEMPLATE: (&str, &str) = (
        "chat_template.jinja",
        "{% for message in messages %}{{ message.role }}: {{ message.content }}<|im_end|>\n{% endfor %}",
    );
    const EOS: (&str, &str) = ("tokenizer_config.json", r#"{"eos_token": "</think>"}"#);

    #[test]
    fn what_is_taught_as_the_end_is_what_the_template_writes() {
        let both = language(&json!([5, 300]), &[TEMPLATE, EOS]);
        assert_eq!((both.end_ids.as_slice(), both.taught_end()), ([5, 300, 302].as_slice(), Some(300)));
        let without_template = language(&json!([5, 300]), &[EOS]);
        assert_eq!(without_template.taught_end(), Some(302));
        let first = language(&json!([5, 300]), &[]);
        assert_eq!(first.taught_end(), Some(5));
        // What no file calls an end does not end a completion, whatever the template writes.
        let other = language(&json!(5), &[TEMPLATE]);
        assert_eq!((other.end_ids.as_slice(), other.taught_end()), ([5].as_slice(), Some(5)));
        assert_eq!(language(&Value::Null, &[]).taught_end(), None);
    }

    #[test]
    fn an_end_is_written_once() {
        let language = language(&json!([5, 300]), &[TEMPLATE]);
        let hat = language.tokenizer.encode("hat").expect("encoded");
        for text in ["hat", "hat<|im_end|>"] {
            let (prompt, completion) = language.pair_ids("the\n", text).expect("encoded");
            assert_eq!(prompt, language.tokenizer.encode("the\n").expect("encoded"));
            assert_eq!(completion, [hat.as_slice(), &[300]].concat());
        }
    }
}
