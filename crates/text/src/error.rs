//! What can be wrong with a model folder's text files, or with a text that they are asked to encode.

use std::path::PathBuf;

/// Everything in this crate that can fail. Files are untrusted: whatever they hold ends here, never in a panic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is none that is read: a pipe, a device, a link out of the folder, or too large.
    #[error(transparent)]
    File(ruminate_files::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `tokenizer.json` does not describe a tokenizer.
    #[error("{}: expected the `tokenizer.json` of Hugging Face's `tokenizers`, found {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        reason: String,
    },
    /// A file beside `tokenizer.json` does not have the expected form.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was expected of which key, and what was found.
        reason: String,
    },
    /// A file gives an id to a token that `tokenizer.json` lacks, and the token cannot have it.
    #[error(
        "{}: {token:?} has the id {stated} there, and `tokenizer.json`, which lacks this token, has {given} as its next \
         free id: expected {given}; take both files from the same model folder", path.display()
    )]
    TokenClash {
        /// The file that states the id.
        path: PathBuf,
        /// The token.
        token: String,
        /// The id there.
        stated: u32,
        /// The id that the token would get, in transformers too.
        given: u32,
    },
    /// The tokenizer can produce ids that the model has no embedding for.
    #[error(
        "the tokenizer has ids up to {highest_id}, but the model's vocab_size is {vocab_size}: expected a \
         vocab_size of at least {}; take tokenizer and weights from the same model folder", u64::from(*highest_id) + 1
    )]
    VocabularyTooLarge {
        /// The tokenizer's highest id.
        highest_id: u32,
        /// The model's `vocab_size`.
        vocab_size: usize,
    },
    /// A text holds an added token that the model has no embedding for.
    #[error(
        "the text holds {token:?}, whose id {id} has no embedding: the model's vocab_size is {vocab_size}; leave it out, or \
         take tokenizer and weights from the same model folder"
    )]
    NoEmbedding {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// The model's `vocab_size`.
        vocab_size: usize,
    },
    /// The text holds a character that no token covers.
    #[error(
        "character {character:?} (U+{:04X}) at byte {byte} has no token; the embedded tokenizer knows printable \
         ASCII, the newline and its tags: set `model` to a model folder whose tokenizer covers this text",
        u32::from(*character)
    )]
    UnknownCharacter {
        /// The first such character.
        character: char,
        /// Its position in the text, in bytes from 0.
        byte: usize,
    },
    /// The tokenizer failed on a text for another reason.
    #[error("the tokenizer cannot encode this text of {bytes} bytes: {reason}")]
    Encode {
        /// Length of the text.
        bytes: usize,
        /// The library's reason.
        reason: String,
    },
    /// A prompt and its completion cannot be told apart in token ids.
    #[error(
        "the tokenizer joins the whole prompt with the start of the completion in the token {token}: expected a \
         prompt with a token of its own; make it longer, or give token ids"
    )]
    NoBorder {
        /// The id of the token that takes both.
        token: u32,
    },
    /// The tokenizer's decoder failed.
    #[error("the tokenizer cannot decode these {tokens} token ids: {reason}")]
    Decode {
        /// Number of ids.
        tokens: usize,
        /// The library's reason.
        reason: String,
    },
    /// The chat template is not valid Jinja.
    #[error("the chat template does not parse: {reason}")]
    TemplateSyntax {
        /// The engine's reason, with the line.
        reason: String,
    },
    /// The chat template refused the messages through `raise_exception`.
    #[error("the chat template refuses these messages: {message}")]
    TemplateRefused {
        /// The template's own words.
        message: String,
    },
    /// The chat template failed, or did not end within its budget of steps.
    #[error("the chat template fails on these messages: {reason}")]
    TemplateRender {
        /// The engine's reason, with the line.
        reason: String,
    },
    /// What a row or a recipe gives to the chat template beside the messages is not what it must be.
    #[error("expected {expected}, found {found}")]
    Inputs {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The chat template leaves out something of a turn that is to be trained.
    #[error(
        "the chat template leaves out of an assistant's turn {what}: it would not be trained; put {{% generation %}} and \
         {{% endgeneration %}} around the assistant's turns in the template, or give rows of `prompt` and `completion`"
    )]
    TurnCut {
        /// What it leaves out.
        what: &'static str,
    },
}
