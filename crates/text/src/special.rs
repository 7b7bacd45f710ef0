//! Special and added tokens: what `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say beyond
//! `tokenizer.json`, resolved in the order of transformers 5 (`PreTrainedTokenizerBase._from_pretrained` and
//! `TokenizersBackend.__init__`). It knows no model.

use crate::Error;
use crate::files::{self, ADDED_TOKENS, CONFIG, File, SPECIAL_TOKENS_MAP};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tokenizers::{AddedToken, PaddingParams};

/// The keys of the tokens that any tokenizer may name, in transformers' order.
const STANDARD: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

const EXTRA: &str = "extra_special_tokens";
/// The name of [`EXTRA`] before transformers 5.
const ADDITIONAL: &str = "additional_special_tokens";
const DECODER: &str = "added_tokens_decoder";
/// What `tokenizer_config.json` puts into an object to say that it is a token.
const TYPE: &str = "__type";

/// The special tokens that a folder names, as text: a chat template refers to them.
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
    /// Every other key that ends in `_token`, with its token: `mask_token`, or one of the model's own.
    pub others: BTreeMap<String, String>,
}

impl SpecialTokens {
    /// Key and text of each, as chat templates name them.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let Self { bos, eos, pad, unk, others } = self;
        let known = [("bos_token", bos), ("eos_token", eos), ("pad_token", pad), ("unk_token", unk)];
        let known = known.into_iter().filter_map(|(key, token)| Some((key, token.as_deref()?)));
        known.chain(others.iter().map(|(key, token)| (key.as_str(), token.as_str())))
    }

    fn set(&mut self, key: String, token: String) {
        match key.as_str() {
            "bos_token" => self.bos = Some(token),
            "eos_token" => self.eos = Some(token),
            "pad_token" => self.pad = Some(token),
            "unk_token" => self.unk = Some(token),
            _ => {
                self.others.insert(key, token);
            }
        }
    }
}

/// A token that a file states or names.
#[derive(Debug)]
pub(crate) struct Stated {
    pub(crate) token: AddedToken,
    /// The id that the file gives it, where it gives one.
    pub(crate) id: Option<u32>,
    /// The file.
    pub(crate) file: &'static str,
}

/// What the files say.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) special: SpecialTokens,
    /// Tokens in the order in which they get the next free id, where the tokenizer lacks them; of those that it has, the flags.
    pub(crate) tokens: Vec<Stated>,
    /// `split_special_tokens`: special tokens that are written out in a text are no tokens.
    pub(crate) splits_special: bool,
    /// The key `chat_template` of `tokenizer_config.json`.
    pub(crate) chat_template: Option<Value>,
}

/// Resolves the files of a folder; `known` are the added tokens of its `tokenizer.json` by id, `padding` how that file pads.
///
/// # Errors
/// [`Error::Config`] for a file that is no JSON object, and for a value that is not what its key takes.
pub(crate) fn resolve(
    folder: &Path,
    files: &[File],
    known: BTreeMap<u32, AddedToken>,
    padding: Option<&PaddingParams>,
) -> Result<Resolved, Error> {
    let reader = Reader { folder, files };
    let mut config = reader.object(CONFIG)?.unwrap_or_default();
    let chat_template = config.remove("chat_template");
    let splits_special = config.get("split_special_tokens") == Some(&Value::Bool(true));
    if !is_given(config.get(EXTRA))
        && let Some(additional) = config.shift_remove(ADDITIONAL)
    {
        config.insert(EXTRA.to_owned(), additional);
    }
    let mut own = model_specific(&mut config);

    let known_texts: HashSet<String> = known.values().map(|token| token.content.clone()).collect();
    let mut stated: BTreeMap<u32, Stated> = BTreeMap::new();
    let mut overlaid = HashSet::new();
    let has_decoder = config.contains_key(DECODER);
    if let Some(decoder) = config.shift_remove(DECODER) {
        stated = reader.decoder(&decoder)?;
    } else if let Some(map) = reader.object(SPECIAL_TOKENS_MAP)? {
        overlaid.extend(map.keys().cloned());
        overlay(&mut config, map);
    }
    let mut extra_key = EXTRA;
    if !config.contains_key(EXTRA) && config.contains_key(ADDITIONAL) {
        extra_key = ADDITIONAL;
    }
    let file_of = |key: &str| if overlaid.contains(key) { SPECIAL_TOKENS_MAP } else { CONFIG };

    let mut named: Vec<(String, Given, &'static str)> = Vec::new();
    for key in STANDARD {
        if let Some(value) = config.shift_remove(key).filter(|value| !value.is_null()) {
            named.push((key.to_owned(), reader.given(file_of(key), key, &value)?, file_of(key)));
        } else if let ("pad_token", Some(padding)) = (key, padding) {
            named.push((key.to_owned(), Given::Text(padding.pad_token.clone()), files::TOKENIZER));
        }
    }
    let mut extra = Vec::new();
    match config.shift_remove(extra_key) {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => {
            for value in &list {
                extra.push((reader.given(file_of(extra_key), extra_key, value)?, file_of(extra_key)));
            }
        }
        Some(Value::Object(by_name)) => own.extend(by_name),
        Some(other) => {
            let wanted = "a list of tokens, or tokens by name";
            return Err(reader.mismatch(file_of(extra_key), extra_key, wanted, &other));
        }
    }
    // The configuration's own come behind those of the map, and win over them.
    for (key, value) in model_specific(&mut config).into_iter().chain(own) {
        named.retain(|(known, ..)| *known != key);
        let given = reader.given(file_of(&key), &key, &value)?;
        let file = file_of(&key);
        named.push((key, given, file));
    }
    if !has_decoder {
        let named = named.iter().map(|(_, given, _)| given.text());
        let special: HashSet<&str> = named.chain(extra.iter().map(|(given, _)| given.text())).collect();
        stated = reader.added_tokens(&special)?;
        // Where both know an id or a token, tokenizer.json wins.
        stated.retain(|id, added| !known.contains_key(id) && !known_texts.contains(&added.token.content));
        stated.extend(
            known.into_iter().map(|(id, token)| (id, Stated { token, id: Some(id), file: files::TOKENIZER })),
        );
    }

    let names: HashSet<String> = named.iter().map(|(_, given, _)| given.text().to_owned()).collect();
    let mut resolved = Resolved { splits_special, chat_template, ..Resolved::default() };
    let mut seen = known_texts;
    for mut token in stated.into_values() {
        token.token.special |= names.contains(&token.token.content);
        seen.insert(token.token.content.clone());
        resolved.tokens.push(token);
    }
    for (key, given, _) in &named {
        resolved.special.set(key.clone(), given.text().to_owned());
    }
    let named = named.into_iter().map(|(_, given, file)| (given, file));
    for (given, file) in named.chain(extra) {
        if !given.text().is_empty() && seen.insert(given.text().to_owned()) {
            let mut token = given.token();
            token.special |= names.contains(&token.content);
            resolved.tokens.push(Stated { token, id: None, file });
        }
    }
    Ok(resolved)
}

/// What Python takes for true.
fn is_given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(keys)) => !keys.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// Takes out the keys of tokens that are the model's own.
fn model_specific(settings: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let is_token = |value: &Value| value.is_string() || value.get(TYPE).is_some();
    let is_own = |(key, value): (&String, &Value)| {
        key.ends_with("_token") && !STANDARD.contains(&key.as_str()) && is_token(value)
    };
    let keys: Vec<String> =
        settings.iter().filter(|entry| is_own(*entry)).map(|(key, _)| key.clone()).collect();
    keys.into_iter().filter_map(|key| settings.shift_remove_entry(&key)).collect()
}

/// Puts `special_tokens_map.json` over the configuration; lists of extra tokens are joined.
fn overlay(config: &mut Map<String, Value>, map: Map<String, Value>) {
    for (key, value) in map {
        match (config.get_mut(&key), value) {
            (Some(Value::Array(known)), Value::Array(more)) if key == EXTRA => {
                let more: Vec<Value> = more.into_iter().filter(|token| !known.contains(token)).collect();
                known.extend(more);
            }
            (_, mut value) => {
                if let Value::Object(token) = &mut value
                    && key != EXTRA
                {
                    token.insert(TYPE.to_owned(), "AddedToken".into());
                }
                config.insert(key, value);
            }
        }
    }
}

/// A token as a file writes it.
#[derive(Debug)]
enum Given {
    Text(String),
    Token(AddedToken),
}

impl Given {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }

    fn token(self) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::from(text, true),
            Self::Token(token) => token,
        }
    }
}

/// Reads the files' values, and names file and key where one is wrong.
struct Reader<'a> {
    folder: &'a Path,
    files: &'a [File],
}

impl Reader<'_> {
    fn object(&self, file: &'static str) -> Result<Option<Map<String, Value>>, Error> {
        let Some(bytes) = files::content(self.files, file) else { return Ok(None) };
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(keys)) => Ok(Some(keys)),
            Ok(other) => Err(self.error(file, format!("expected a JSON object, found {}", sort(&other)))),
            Err(error) => Err(self.error(file, format!("expected a JSON object, found {error}"))),
        }
    }

    fn error(&self, file: &str, reason: String) -> Error {
        Error::Config { path: self.folder.join(file), reason }
    }

    fn mismatch(&self, file: &str, key: &str, wanted: &str, found: &Value) -> Error {
        self.error(file, format!("`{key}`: expected {wanted}, found {}", sort(found)))
    }

    fn given(&self, file: &'static str, key: &str, value: &Value) -> Result<Given, Error> {
        match value {
            Value::String(text) => Ok(Given::Text(text.clone())),
            Value::Object(keys) => Ok(Given::Token(self.token(file, key, keys)?)),
            other => Err(self.mismatch(file, key, "a token: a text, or an object with `content`", other)),
        }
    }

    /// A token that is an object, with the defaults of Python's `AddedToken`. In `special_tokens_map.json` all are special.
    fn token(&self, file: &'static str, key: &str, keys: &Map<String, Value>) -> Result<AddedToken, Error> {
        let content = match keys.get("content") {
            Some(Value::String(content)) => content.clone(),
            Some(other) => return Err(self.mismatch(file, key, "a token whose `content` is a text", other)),
            None => {
                return Err(self.error(file, format!("`{key}`: expected a token with `content`, found none")));
            }
        };
        let flag = |name: &str| match keys.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => {
                Err(self.mismatch(file, key, &format!("a token whose `{name}` is true or false"), other))
            }
        };
        let special = file == SPECIAL_TOKENS_MAP || flag("special")?.unwrap_or(false);
        Ok(AddedToken {
            content,
            single_word: flag("single_word")?.unwrap_or(false),
            lstrip: flag("lstrip")?.unwrap_or(false),
            rstrip: flag("rstrip")?.unwrap_or(false),
            normalized: flag("normalized")?.unwrap_or(!special),
            special,
        })
    }

    /// `added_tokens_decoder`: tokens by id.
    fn decoder(&self, decoder: &Value) -> Result<BTreeMap<u32, Stated>, Error> {
        let Value::Object(entries) = decoder else {
            return Err(self.mismatch(CONFIG, DECODER, "tokens by id", decoder));
        };
        let mut stated = BTreeMap::new();
        for (key, value) in entries {
            let Ok(id) = key.parse::<u32>() else {
                let reason = format!("`{DECODER}`: expected the id of a token, found {key:?}");
                return Err(self.error(CONFIG, reason));
            };
            let Value::Object(keys) = value else {
                return Err(self.mismatch(
                    CONFIG,
                    &format!("{DECODER}.{key}"),
                    "an object with `content`",
                    value,
                ));
            };
            let token = self.token(CONFIG, &format!("{DECODER}.{key}"), keys)?;
            stated.insert(id, Stated { token, id: Some(id), file: CONFIG });
        }
        Ok(stated)
    }

    /// `added_tokens.json`: ids by token.
    fn added_tokens(&self, special: &HashSet<&str>) -> Result<BTreeMap<u32, Stated>, Error> {
        let mut stated = BTreeMap::new();
        for (text, id) in self.object(ADDED_TOKENS)?.unwrap_or_default() {
            let Some(number) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                return Err(self.mismatch(ADDED_TOKENS, &text, "the id of a token", &id));
            };
            let token = AddedToken::from(text.clone(), special.contains(text.as_str()));
            stated.insert(number, Stated { token, id: Some(number), file: ADDED_TOKENS });
        }
        Ok(stated)
    }
}

/// What sort of value it is, and which, where it is short.
fn sort(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
