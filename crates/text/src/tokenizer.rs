//! A tokenizer with the files it came from, over Hugging Face's `tokenizers`. Knows nothing of models but their vocabulary
//! size, and nothing of chats but where the template lies.

use crate::bytes::{self, Bytes};
use crate::files::{self, File};
use crate::guard::{Failure, guarded};
use crate::special::{self, Resolved, SpecialTokens, Stated};
use crate::templates::Templates;
use crate::untrusted::{self, MAX_ID};
use crate::{Error, embedded};
use std::path::Path;
use tokenizers::{ModelWrapper, PostProcessorWrapper};

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
    pub(crate) inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    eos_id: Option<u32>,
    pad_id: Option<u32>,
    highest_id: u32,
    /// Ids from this one on have no embedding, and no text may become one of them.
    pub(crate) embedded_ids: usize,
    /// Those that have a token, where it splits bytes.
    pub(crate) bytes: Option<Bytes>,
    templates: Templates,
    /// Name and content of each file, as read: saving a model that was fine-tuned gives back its tokenizer
    /// byte for byte.
    files: Vec<File>,
}

impl Tokenizer {
    /// The tokenizer of a model folder: `tokenizer.json`, with the tokens that `tokenizer_config.json`,
    /// `special_tokens_map.json` and `added_tokens.json` add and name, and the chat templates, wherever they lie.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, or a token cannot have the id that a file gives it.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Self::from_files(folder, files::load(folder)?)
    }

    /// The embedded tokenizer: printable ASCII by character; see [`embedded`].
    pub fn embedded() -> Self {
        Self::from_files(Path::new("embedded"), embedded::files())
            .expect("the embedded tokenizer is well formed")
    }

    /// Whether it is the embedded one, also where a model folder that ruminate wrote gives it back.
    pub fn is_embedded(&self) -> bool {
        let embedded = Self::embedded();
        self.files().eq(embedded.files())
    }

    fn from_files(folder: &Path, files: Vec<File>) -> Result<Self, Error> {
        let path = folder.join(files::TOKENIZER);
        let mut inner = parse(files::content(&files, files::TOKENIZER).unwrap_or_default(), &path)?;
        let known = inner.get_added_tokens_decoder().into_iter().collect();
        let padding = inner.get_padding().cloned();
        let Resolved { special, tokens, splits_special, chat_template } =
            special::resolve(folder, &files, known, padding.as_ref())?;
        add(&mut inner, &tokens, folder)?;
        make_plain(&mut inner, splits_special)
            .and_then(|()| tried(&inner))
            .map_err(|reason| Error::Tokenizer { path, reason })?;

        let id_of = |token: &Option<String>| inner.token_to_id(token.as_deref()?);
        let (eos_id, pad_id) = (id_of(&special.eos), id_of(&special.pad));
        let templates = Templates::find(folder, &files, chat_template.as_ref());
        let highest_id = inner.get_vocab(true).into_values().max().unwrap_or(0);
        let bytes = bytes::of(&inner);
        let embedded_ids = usize::MAX;
        Ok(Self { inner, special, eos_id, pad_id, highest_id, embedded_ids, bytes, templates, files })
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

    /// The tokenizer of a model with that `vocab_size`, and the added tokens that have no embedding in it, by id. Padding
    /// tokens often lie there, and no text of a user holds them; from here on a text that holds one is refused.
    ///
    /// # Errors
    /// [`Error::VocabularyTooLarge`] when ordinary text could become an id without an embedding.
    pub fn for_model(mut self, vocab_size: usize) -> Result<(Self, Vec<(u32, String)>), Error> {
        if self.vocab_size() <= vocab_size {
            return Ok((self, Vec::new()));
        }
        let added = self.inner.get_added_tokens_decoder();
        let of_model = self.inner.get_vocab(false).into_values().filter(|id| !added.contains_key(id)).max();
        if let Some(highest_id) = of_model.filter(|id| *id as usize >= vocab_size) {
            return Err(Error::VocabularyTooLarge { highest_id, vocab_size });
        }
        let beyond = added.into_iter().filter(|(id, _)| *id as usize >= vocab_size);
        let mut beyond: Vec<(u32, String)> = beyond.map(|(id, token)| (id, token.content)).collect();
        beyond.sort_unstable();
        self.embedded_ids = vocab_size;
        Ok((self, beyond))
    }

    /// The parts of `tokenizer.json`, however the file spells them, with the tokens that other files add.
    pub fn parts(&self) -> serde_json::Value {
        serde_json::to_value(&self.inner).unwrap_or_default()
    }

    /// Whether special tokens that are written out in a text are text like any other.
    pub(crate) fn splits_special(&self) -> bool {
        self.inner.get_encode_special_tokens()
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

    /// The source of the folder's chat template: the one called `default`, where there are several.
    pub fn chat_template(&self) -> Option<&str> {
        self.templates.for_chat()
    }

    /// A chat template by its name, such as `tool_use`.
    pub fn named_chat_template(&self, name: &str) -> Option<&str> {
        self.templates.get(name)
    }

    /// Why [`chat_template`](Self::chat_template) is none although the folder has something in its place.
    pub fn chat_template_problem(&self) -> Option<&str> {
        self.templates.problem.as_deref()
    }

    /// The file that holds the chat template, for messages.
    pub fn chat_template_path(&self) -> &str {
        &self.templates.path
    }

    /// Path within a model folder and content of the files that make up this tokenizer, byte for byte as loaded.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Writes [`files`](Self::files) into an existing folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        for (name, bytes) in self.files() {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
            written.map_err(|source| Error::Write { path, source })?;
        }
        Ok(())
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<tokenizers::Tokenizer, Error> {
    let refused = |reason| Error::Tokenizer { path: path.to_path_buf(), reason };
    untrusted::check(bytes).map_err(refused)?;
    let inner =
        guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(|failure| refused(failure.reason))?;
    let highest_id = inner.get_vocab(true).into_values().max().unwrap_or(0);
    if highest_id >= MAX_ID {
        return Err(refused(format!("the token id {highest_id}, where ids are below {MAX_ID}")));
    }
    Ok(inner)
}

/// A text of all sorts of characters, and a long word.
const TRIAL: &str = "The quick brown fox, 1+1=2.\n\t  \u{e9}e\u{301} \u{df}\u{2581}\u{fdfa}\u{4f60}\u{597d} \u{1f600}\0\u{fffd} \
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa<unk>";

/// Encodes and decodes a text, which shows some of what would make the library panic in the middle of a run. What no token
/// covers is no failure.
fn tried(inner: &tokenizers::Tokenizer) -> Result<(), String> {
    for text in TRIAL.split_inclusive(' ').chain([TRIAL, ""]) {
        let ids = match guarded(|| inner.encode(text, false)) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            Err(failure) if failure.panicked => return Err(failure.reason),
            Err(_) => continue,
        };
        if let Err(Failure { reason, panicked: true }) = guarded(|| inner.decode(&ids, false)) {
            return Err(reason);
        }
    }
    Ok(())
}

/// Gives the tokenizer the tokens that other files state, and their flags.
fn add(inner: &mut tokenizers::Tokenizer, stated: &[Stated], folder: &Path) -> Result<(), Error> {
    let known = inner.get_added_tokens_decoder();
    let is_known = |stated: &&Stated| stated.id.is_some_and(|id| known.get(&id) == Some(&stated.token));
    if stated.iter().all(|stated| is_known(&stated)) {
        return Ok(());
    }
    let lacking: Vec<&Stated> =
        stated.iter().filter(|stated| inner.token_to_id(&stated.token.content).is_none()).collect();
    guarded(|| inner.add_tokens(stated.iter().map(|stated| stated.token.clone()))).map_err(|failure| {
        Error::Tokenizer { path: folder.join(files::TOKENIZER), reason: failure.reason }
    })?;
    for Stated { token, id, file } in lacking {
        let given = inner.token_to_id(&token.content);
        if let (Some(stated), Some(given)) = (*id, given)
            && stated != given
        {
            let (path, token) = (folder.join(file), token.content.clone());
            return Err(Error::TokenClash { path, token, stated, given });
        }
    }
    Ok(())
}

/// Takes off what makes ids depend on more than the text.
fn make_plain(inner: &mut tokenizers::Tokenizer, splits_special: bool) -> Result<(), String> {
    // Truncation and padding would cut prompts silently.
    inner.with_truncation(None).map_err(|error| error.to_string())?;
    inner.with_padding(None);
    // It adds special tokens, which no text gets here, and takes spaces off the offsets, by which texts are cut.
    inner.with_post_processor(None::<PostProcessorWrapper>);
    inner.set_encode_special_tokens(splits_special);
    // Dropout leaves out merges at random, from a generator that no seed reaches.
    if let ModelWrapper::BPE(bpe) = inner.get_model()
        && bpe.dropout.is_some()
    {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        inner.with_model(bpe);
    }
    Ok(())
}
