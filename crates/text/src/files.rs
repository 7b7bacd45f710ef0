//! The text files of a model folder: where they lie, and what of `tokenizer_config.json` matters here.

use crate::Error;
use serde::Deserialize;
use std::path::Path;

pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const CONFIG: &str = "tokenizer_config.json";
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The special tokens that `tokenizer_config.json` names, as text: a chat template refers to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `bos_token`: begins a text.
    pub bos: Option<String>,
    /// `eos_token`: ends a turn.
    pub eos: Option<String>,
    /// `pad_token`: fills a batch.
    pub pad: Option<String>,
    /// `unk_token`: stands for what has no token.
    pub unk: Option<String>,
}

/// The part of `tokenizer_config.json` that is used. Unknown keys are ignored: the format is not ours.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    bos_token: Option<TokenField>,
    eos_token: Option<TokenField>,
    pad_token: Option<TokenField>,
    unk_token: Option<TokenField>,
    chat_template: Option<TemplateField>,
}

/// A token is written as a string, or as an `AddedToken` object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenField {
    Text(String),
    Added { content: String },
}

/// A folder has one template, or a list of named ones of which `default` is meant for chat.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TemplateField {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl Config {
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::Config { path: path.to_path_buf(), reason: error.to_string() })
    }

    pub(crate) fn special_tokens(&self) -> SpecialTokens {
        let text = |field: &Option<TokenField>| match field {
            Some(TokenField::Text(content) | TokenField::Added { content }) => Some(content.clone()),
            None => None,
        };
        SpecialTokens {
            bos: text(&self.bos_token),
            eos: text(&self.eos_token),
            pad: text(&self.pad_token),
            unk: text(&self.unk_token),
        }
    }

    pub(crate) fn chat_template(&self) -> Option<&str> {
        match self.chat_template.as_ref()? {
            TemplateField::One(source) => Some(source),
            TemplateField::Named(list) => {
                list.iter().find(|t| t.name == "default").map(|t| t.template.as_str())
            }
        }
    }
}

/// Reads `folder/name`.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let path = folder.join(name);
    std::fs::read(&path).map_err(|source| Error::Read { path, source })
}

/// Reads `folder/name` where it exists.
pub(crate) fn read_optional(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    match read(folder, name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
