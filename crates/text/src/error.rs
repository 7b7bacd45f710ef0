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
    /// The model has no chat template, and the prompt needs one.
    #[error(
        "the prompt is a list of messages, but the model has no chat template; expected \
         chat_template.jinja, or `chat_template` in tokenizer_config.json"
    )]
    NoTemplate,
    /// The folder has something in the place of a chat template, and it is none.
    #[error("{problem}")]
    UnusableTemplate {
        /// What was expected of which file, and what was found.
        problem: String,
    },
    /// A variable of the chat template has a name that none can have.
    #[error("{key}: {error}")]
    Kwargs {
        /// The recipe key or the flag that sets it.
        key: String,
        /// What is wrong with the name. Its text is part of this error's.
        error: Box<Error>,
    },
    /// A variable is set, and there is no chat template that could read it.
    #[error(
        "{key} sets `{name}` for the chat template, and the model has none; expected a model with a \
         chat_template.jinja, or no {key}"
    )]
    KwargsWithoutTemplate {
        /// The recipe key or the flag that sets it.
        key: String,
        /// The variable.
        name: String,
    },
    /// A variable is set that the chat template does not read.
    #[error("{key} sets `{name}`, and the chat template of {path} does not read it: it would change nothing")]
    KwargsUnread {
        /// The recipe key or the flag that sets it.
        key: String,
        /// The variable.
        name: String,
        /// The file of the template.
        path: String,
    },
    /// A row gives the chat template something that it does not read.
    #[error(
        "the row gives `{name}` to the chat template, and that of {path} does not read it: it would change \
         nothing; leave it out, or choose a model whose template reads it"
    )]
    UnreadInput {
        /// The column, or the variable in `chat_template_kwargs`.
        name: String,
        /// The file of the template.
        path: String,
    },
    /// Something is given to the chat template beside a prompt that is put without it.
    #[error(
        "`{name}` is for the chat template, and the prompt is a text that is put without it; expected a list \
         of messages, or `data.prompt` = \"chat\""
    )]
    BesideText {
        /// The column, or the variable.
        name: String,
    },
    /// A file of a model folder names an ending token that is none.
    #[error(
        "{}: `eos_token_id`: expected token ids below the model's vocab_size of {vocab_size}, found {found}",
        path.display()
    )]
    EndToken {
        /// The file.
        path: PathBuf,
        /// The model's `vocab_size`.
        vocab_size: usize,
        /// What the file has, as JSON.
        found: String,
    },
    /// The tokenizer's own ending token has no embedding.
    #[error(
        "{}: the tokenizer's `eos_token` is {token:?}, whose id {id} has no embedding: the model's \
         vocab_size is {vocab_size}; take tokenizer and weights from the same model folder", folder.display()
    )]
    EosWithoutEmbedding {
        /// The model folder.
        folder: PathBuf,
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// The model's `vocab_size`.
        vocab_size: usize,
    },
    /// A text that is to control completions cannot.
    #[error("`{key}` is {found}; expected {expected}")]
    Control {
        /// The control, by its name in [`Controls`](crate::Controls).
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// An error with the file, or the model folder, that it comes from.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file or folder.
        path: PathBuf,
        /// The error. Its text is part of this error's, so it is no [`source`](std::error::Error::source).
        error: Box<Error>,
    },
}

impl Error {
    /// Whether the caller's options are wrong (the variables that it sets for the chat template), not a file or
    /// a text.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Kwargs { .. }
            | Self::KwargsWithoutTemplate { .. }
            | Self::KwargsUnread { .. }
            | Self::Control { .. } => true,
            Self::InFile { error, .. } => error.is_usage(),
            _ => false,
        }
    }

    /// The same with the file that it comes from.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::InFile { path: path.into(), error: Box::new(self) }
    }
}
