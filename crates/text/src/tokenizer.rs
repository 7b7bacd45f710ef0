//! Text to token ids and back, over Hugging Face's `tokenizers`. Knows nothing of models but their vocabulary
//! size, and nothing of chats but where the template lies.

use crate::chat::MarkedChat;
use crate::files::{self, Config, SpecialTokens};
use crate::{Error, embedded};
use std::path::Path;
use tokenizers::PostProcessorWrapper;

/// What [`Tokenizer::decode`] does with special tokens (those that `tokenizer.json` marks `special`; reasoning
/// tags such as `<think>` usually are not).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialText {
    /// They stay in the text.
    Keep,
    /// They are left out.
    Skip,
}

/// A tokenizer with the files it came from.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    eos_id: Option<u32>,
    pad_id: Option<u32>,
    highest_id: u32,
    chat_template: Option<String>,
    /// Name and content of each file, as read: saving a model that was fine-tuned gives back its tokenizer
    /// byte for byte.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Tokenizer {
    /// The tokenizer of a model folder: `tokenizer.json`, with `tokenizer_config.json` and
    /// `chat_template.jinja` where they exist (a chat template inside `tokenizer_config.json` counts too).
    ///
    /// # Errors
    /// When a file cannot be read or parsed, or `eos_token` or `pad_token` names a token that does not exist.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let mut found = vec![(files::TOKENIZER, files::read(folder, files::TOKENIZER)?)];
        for name in [files::CONFIG, files::CHAT_TEMPLATE] {
            found.extend(files::read_optional(folder, name)?.map(|bytes| (name, bytes)));
        }
        Self::from_files(folder, found)
    }

    /// The embedded tokenizer: printable ASCII by character; see [`embedded`].
    pub fn embedded() -> Self {
        Self::from_files(Path::new("embedded"), embedded::files())
            .expect("the embedded tokenizer is well formed")
    }

    fn from_files(folder: &Path, found: Vec<(&'static str, Vec<u8>)>) -> Result<Self, Error> {
        let content = |name| found.iter().find(|(n, _)| *n == name).map(|(_, bytes)| bytes.as_slice());
        let inner = parse(content(files::TOKENIZER).unwrap_or_default(), &folder.join(files::TOKENIZER))?;

        let config_path = folder.join(files::CONFIG);
        let config = match content(files::CONFIG) {
            Some(bytes) => Config::parse(bytes, &config_path)?,
            None => Config::default(),
        };
        let special = config.special_tokens();
        let id_of = |key: &'static str, token: &Option<String>| match token {
            None => Ok(None),
            Some(token) => match inner.token_to_id(token) {
                Some(id) => Ok(Some(id)),
                None => Err(Error::MissingToken { path: config_path.clone(), key, token: token.clone() }),
            },
        };
        let (eos_id, pad_id) = (id_of("eos_token", &special.eos)?, id_of("pad_token", &special.pad)?);

        // As in transformers, the file of its own wins over the key.
        let chat_template = match content(files::CHAT_TEMPLATE) {
            Some(bytes) => {
                Some(String::from_utf8(bytes.to_vec()).map_err(|error| Error::TemplateSyntax {
                    reason: format!("{}: {error}", folder.join(files::CHAT_TEMPLATE).display()),
                })?)
            }
            None => config.chat_template().map(str::to_owned),
        };
        let highest_id = inner.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(Self { inner, special, eos_id, pad_id, highest_id, chat_template, files: found })
    }

    /// Token ids of a text as it stands: no beginning or ending token is added, but special tokens that are
    /// written out in the text become their ids.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when no token covers a character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(self.blame(text, error.to_string())),
        }
    }

    /// Token ids of a prompt and of the completion after it, encoded as one text and cut at the border.
    ///
    /// A completion that is encoded by itself may begin otherwise: SentencePiece puts a space before every text. A
    /// token that spans the border is the completion's, as in TRL and in transformers' mask of the assistant's tokens:
    /// the completion keeps all its text, and the prompt ends before that token. An added token that strips the
    /// whitespace after it stays the prompt's when only that whitespace lies beyond the border.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); [`Error::NoBorder`] when one token takes the whole prompt and a part of the
    /// completion.
    pub fn encode_pair(&self, prompt: &str, completion: &str) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let text = [prompt, completion].concat();
        let encoding = self.encoding(&text)?;
        let (mut ids, border) = (encoding.get_ids().to_vec(), prompt.len());
        let in_prompt = |&(id, (start, end)): &(u32, (usize, usize))| {
            end <= border
                || (self.is_added(id)
                    && start + text.get(start..end).map_or(0, |text| text.trim_ascii_end().len()) <= border)
        };
        let offsets = encoding.get_offsets().iter().copied();
        let length = ids.iter().copied().zip(offsets).take_while(in_prompt).count();
        let completion_ids = ids.split_off(length);
        if ids.is_empty() && !prompt.is_empty() && !completion_ids.is_empty() {
            return Err(Error::NoBorder { token: completion_ids[0] });
        }
        Ok((ids, completion_ids))
    }

    /// Token ids of a chat, and which of them the assistant wrote: those that stand, if only in part, in its spans.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_marked(&self, chat: &MarkedChat) -> Result<(Vec<u32>, Vec<bool>), Error> {
        let encoding = self.encoding(&chat.text)?;
        let mut spans = chat.assistant.iter().peekable();
        let mask = encoding.get_offsets().iter().map(|&(start, end)| {
            while spans.next_if(|span| span.end <= start).is_some() {}
            spans.peek().is_some_and(|span| span.start < end)
        });
        Ok((encoding.get_ids().to_vec(), mask.collect()))
    }

    /// The tokens of a text with the bytes of it that each stands for.
    fn encoding(&self, text: &str) -> Result<tokenizers::Encoding, Error> {
        self.inner.encode(text, false).map_err(|error| self.blame(text, error.to_string()))
    }

    /// Whether a token is found in the text itself, before the model of the tokenizer splits the rest.
    fn is_added(&self, id: u32) -> bool {
        self.inner.get_added_vocabulary().simple_id_to_token(id).is_some()
    }

    /// The first character that fails on its own, else the library's reason.
    fn blame(&self, text: &str, reason: String) -> Error {
        text.char_indices()
            .find(|(_, c)| self.inner.encode_fast(c.encode_utf8(&mut [0; 4]) as &str, false).is_err())
            .map_or(Error::Encode { bytes: text.len(), reason }, |(byte, character)| {
                Error::UnknownCharacter { character, byte }
            })
    }

    /// The text of token ids. An id without a token (models pad their vocabulary, so a policy can sample one)
    /// reads as U+FFFD: it stays visible, and no verifier takes it for anything.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], special: SpecialText) -> Result<String, Error> {
        let skip = special == SpecialText::Skip;
        let known: Vec<&[u32]> = ids.split(|&id| self.inner.id_to_token(id).is_none()).collect();
        let parts: Result<Vec<String>, _> = known.iter().map(|part| self.inner.decode(part, skip)).collect();
        match parts {
            Ok(parts) => Ok(parts.join("\u{fffd}")),
            Err(error) => Err(Error::Decode { tokens: ids.len(), reason: error.to_string() }),
        }
    }

    /// The text that a verifier reads: everything that the policy wrote, tags and stray special tokens
    /// included, without the one token that ended it.
    ///
    /// Only a last id that is one of `end_ids` is dropped. A padding or ending token in the middle was sampled
    /// like any other, and leaving it out would let a policy write it for free.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn completion_text(&self, ids: &[u32], end_ids: &[u32]) -> Result<String, Error> {
        let written = match ids.split_last() {
            Some((last, rest)) if end_ids.contains(last) => rest,
            _ => ids,
        };
        self.decode(written, SpecialText::Keep)
    }

    /// One more than the highest id: the smallest `vocab_size` that a model for this tokenizer can have.
    pub fn vocab_size(&self) -> usize {
        self.highest_id as usize + 1
    }

    /// Whether a model of that `vocab_size` embeds every id. A larger model is fine: weights are padded.
    ///
    /// # Errors
    /// [`Error::VocabularyTooLarge`] when an id has no embedding.
    pub fn check_vocab_size(&self, vocab_size: usize) -> Result<(), Error> {
        if self.vocab_size() > vocab_size {
            return Err(Error::VocabularyTooLarge { highest_id: self.highest_id, vocab_size });
        }
        Ok(())
    }

    /// The parts of `tokenizer.json`, however the file spells them.
    pub(crate) fn parts(&self) -> serde_json::Value {
        serde_json::to_value(&self.inner).unwrap_or_default()
    }

    /// The id of `eos_token`.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos_id
    }

    /// The id of `pad_token`.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_id
    }

    /// The id of a token by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The special tokens as text.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// The source of the folder's chat template.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Name and content of the files that make up this tokenizer in a model folder, byte for byte as loaded.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (*name, bytes.as_slice()))
    }

    /// Writes [`files`](Self::files) into an existing folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        for (name, bytes) in self.files() {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(|source| Error::Write { path, source })?;
        }
        Ok(())
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<tokenizers::Tokenizer, Error> {
    let refuse = |reason: String| Error::Tokenizer { path: path.to_path_buf(), reason };
    let mut tokenizer =
        tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| refuse(error.to_string()))?;
    // A tokenizer.json may carry truncation and padding, which would cut prompts silently.
    tokenizer.with_truncation(None).map_err(|error| refuse(error.to_string()))?;
    tokenizer.with_padding(None);
    // It adds special tokens, which no text gets here, and takes spaces off the offsets, by which texts are cut.
    tokenizer.with_post_processor(None::<PostProcessorWrapper>);
    Ok(tokenizer)
}
