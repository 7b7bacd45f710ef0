//! The tokenizer's files of a model folder: which they are, and their bytes. Does not parse them.

use crate::Error;
use ruminate_files::MAX_TEXT_BYTES;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const CONFIG: &str = "tokenizer_config.json";
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";

/// The folder of chat templates that have a name.
pub(crate) const NAMED_TEMPLATES: &str = "additional_chat_templates";

/// What is read first, and in this order.
const READ: [&str; 5] = [TOKENIZER, CONFIG, CHAT_TEMPLATE, SPECIAL_TOKENS_MAP, ADDED_TOKENS];

/// What transformers reads where `tokenizer.json` is missing, and what other programs read: kept, not used.
const KEPT: [&str; 12] = [
    "chat_template.json",
    "merges.txt",
    "qwen.tiktoken",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tekken.json",
    "tiktoken.model",
    "tokenizer.model",
    "tokenizer.model.v3",
    "vocab.bpe",
    "vocab.json",
    "vocab.txt",
];

/// Whether a file of a model folder, named by its path in the folder, belongs to the tokenizer.
pub fn is_tokenizer_file(name: &str) -> bool {
    match name.split_once('/') {
        Some((folder, template)) => {
            folder == NAMED_TEMPLATES
                && template.strip_suffix(".jinja").is_some_and(|name| !name.contains('/'))
        }
        None => READ.contains(&name) || KEPT.contains(&name),
    }
}

/// Name and content of a file.
pub(crate) type File = (String, Vec<u8>);

/// The tokenizer's files of a folder; without `tokenizer.json` there is no tokenizer.
///
/// # Errors
/// [`Error::Read`] for a file that cannot be read.
pub(crate) fn load(folder: &Path) -> Result<Vec<File>, Error> {
    let mut found = vec![(TOKENIZER.to_owned(), read(folder, TOKENIZER)?)];
    for name in READ[1..].iter().chain(&KEPT) {
        found.extend(read_optional(folder, name)?.map(|bytes| ((*name).to_owned(), bytes)));
    }
    for name in named_templates(folder)? {
        let bytes = read(folder, &name)?;
        found.push((name, bytes));
    }
    Ok(found)
}

/// The content of one of them.
pub(crate) fn content<'a>(files: &'a [File], name: &str) -> Option<&'a [u8]> {
    files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice())
}

/// The paths of named templates in their folder, sorted.
fn named_templates(folder: &Path) -> Result<Vec<String>, Error> {
    let path = folder.join(NAMED_TEMPLATES);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    // A name that is not UTF-8 cannot be asked for.
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.map(|name| format!("{NAMED_TEMPLATES}/{name}")).collect();
    names.retain(|name| is_tokenizer_file(name));
    names.sort();
    Ok(names)
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Error> {
    ruminate_files::read(folder, name, MAX_TEXT_BYTES).map_err(unread)
}

/// Reads `folder/name` where it exists.
fn read_optional(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    ruminate_files::read_optional(folder, name, MAX_TEXT_BYTES).map_err(unread)
}

pub(crate) fn unread(error: ruminate_files::Error) -> Error {
    match error {
        ruminate_files::Error::Read { path, source } => Error::Read { path, source },
        other => Error::File(other),
    }
}

#[cfg(test)]
mod tests {
    use super::is_tokenizer_file;

    #[test]
    fn what_belongs_to_a_tokenizer_is_known_by_its_path() {
        for name in
            ["tokenizer.json", "added_tokens.json", "merges.txt", "additional_chat_templates/rag.jinja"]
        {
            assert!(is_tokenizer_file(name), "{name}");
        }
        for name in
            ["config.json", "model.safetensors", "additional_chat_templates/a/b.jinja", "other/rag.jinja"]
        {
            assert!(!is_tokenizer_file(name), "{name}");
        }
    }
}
