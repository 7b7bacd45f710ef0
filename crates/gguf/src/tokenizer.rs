//! `tokenizer.ggml.*` to `tokenizer.json` and `tokenizer_config.json`: byte-level BPE, which all three families use.
//! It refuses to encode text.
//!
//! Vocabularies are large and files hostile, so nothing is copied: the index is a list of ids sorted by token, and
//! `tokenizer.json` is written as it is walked.

use crate::error::{Error, shown};
use crate::metadata::{Metadata, Strings};
use crate::pre_tokenizer::Rule;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
pub(crate) const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const TEMPLATE: &str = "tokenizer.chat_template";

/// The ids with a meaning of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialIds {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    /// Ends a turn, where this is another token than `eos`.
    pub(crate) eot: Option<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) unk: Option<u32>,
}

/// A checked tokenizer, borrowed from the metadata.
#[derive(Debug)]
pub(crate) struct Tokenizer<'a> {
    tokens: &'a Strings,
    merges: &'a Strings,
    kinds: Vec<Kind>,
    rule: Rule,
    adds_bos: bool,
    pub(crate) special: SpecialIds,
    pub(crate) chat_template: Option<&'a str>,
}

/// What `tokenizer.ggml.token_type` says of a token (`enum llama_token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Matched in text before anything is split, and left out where special tokens are.
    Control,
    /// Matched in text before anything is split.
    UserDefined,
    /// `[PAD17]`: invented by a converter for a row of the embedding that has no token.
    Filler,
}

impl<'a> Tokenizer<'a> {
    /// Reads and checks what `tokenizers` would otherwise refuse, or panic at, when it loads the result.
    /// `pre` names the rule for splitting text of a file that names none.
    pub(crate) fn read(metadata: &'a Metadata, vocab_size: u64, pre: Option<&str>) -> Result<Self, Error> {
        const MODEL: &str = "tokenizer.ggml.model";
        match metadata.text(MODEL)? {
            Some("gpt2") => {}
            Some(other) => return Err(Error::TokenizerModel { found: shown(other) }),
            None => return Err(metadata.wrong(MODEL, "\"gpt2\"")),
        }
        let tokens = metadata.texts(TOKENS)?.ok_or_else(|| metadata.wrong(TOKENS, "a list of texts"))?;
        let merges = metadata.texts(MERGES)?.ok_or_else(|| metadata.wrong(MERGES, "a list of texts"))?;
        if tokens.is_empty() || tokens.len() as u64 > vocab_size {
            let expected = format!("from 1 to {vocab_size} texts: the rows of the embedding");
            return Err(metadata.wrong(TOKENS, expected));
        }
        let special = special_ids(metadata, tokens)?;
        let kinds = kinds(metadata, tokens, special)?;
        let index = Index::of(tokens)?;
        for (place, merge) in merges.iter().enumerate() {
            if pair(merge).and_then(|parts| index.joined(tokens, parts)).is_none() {
                return Err(Error::Merge { index: place, merge: shown(merge) });
            }
        }
        let rule = Rule::of(metadata, pre)?;
        let adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(rule.adds_bos);
        let chat_template = metadata.text(TEMPLATE)?;
        Ok(Self { tokens, merges, kinds, rule, adds_bos, special, chat_template })
    }

    /// Writes `tokenizer.json`.
    pub(crate) fn write_json(&self, out: impl Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, &Json(self))?)
    }

    /// `tokenizer_config.json`. The class is the one that takes `tokenizer.json` as it is: those of the families
    /// build parts of it again.
    pub(crate) fn config(&self, model_max_length: u64) -> Value {
        let mut config = Map::new();
        config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
        let SpecialIds { bos, eos, pad, unk, .. } = self.special;
        for (key, id) in [("bos_token", bos), ("eos_token", eos), ("pad_token", pad), ("unk_token", unk)] {
            if let Some(id) = id {
                config.insert(key.to_owned(), json!(self.text(id)));
            }
        }
        config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
        config.insert("model_max_length".to_owned(), json!(model_max_length));
        config.insert("model_input_names".to_owned(), json!(["input_ids", "attention_mask"]));
        Value::Object(config)
    }

    fn text(&self, id: u32) -> &str {
        self.tokens.get(id as usize).unwrap_or_default()
    }

    /// `post_processor`: byte-level, and the beginning token where texts have one.
    fn post_processor(&self) -> Value {
        let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true });
        let Some(bos) = self.special.bos.filter(|_| self.adds_bos) else {
            return byte_level;
        };
        let text = self.text(bos);
        let special = |sequence: u8| json!({ "SpecialToken": { "id": text, "type_id": sequence } });
        let sequence = |id: &str, type_id: u8| json!({ "Sequence": { "id": id, "type_id": type_id } });
        let template = json!({
            "type": "TemplateProcessing",
            "single": [special(0), sequence("A", 0)],
            "pair": [special(0), sequence("A", 0), special(1), sequence("B", 1)],
            "special_tokens": { text: { "id": text, "ids": [bos], "tokens": [text] } },
        });
        json!({ "type": "Sequence", "processors": [byte_level, template] })
    }
}

/// What each token is. Files without the list have control tokens, too: what begins and ends texts is one anyway.
fn kinds(metadata: &Metadata, tokens: &Strings, special: SpecialIds) -> Result<Vec<Kind>, Error> {
    let numbers = metadata.integers(TOKEN_TYPES)?;
    if numbers.is_some_and(|numbers| numbers.len() != tokens.len()) {
        return Err(metadata.wrong(TOKEN_TYPES, format!("{} numbers, one a token", tokens.len())));
    }
    let limits = [special.bos, special.eos, special.eot];
    let kind = |(id, token): (usize, &str)| match numbers.map_or(1, |numbers| numbers[id]) {
        // Without a text there is nothing to match.
        _ if token.is_empty() => Kind::Plain,
        3 => Kind::Control,
        4 => Kind::UserDefined,
        5 if token == format!("[PAD{id}]") => Kind::Filler,
        _ if limits.contains(&Some(id as u32)) => Kind::Control,
        _ => Kind::Plain,
    };
    Ok(tokens.iter().enumerate().map(kind).collect())
}

fn special_ids(metadata: &Metadata, tokens: &Strings) -> Result<SpecialIds, Error> {
    let id = |name: &str| {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match metadata.unsigned(&key)? {
            None => Ok(None),
            Some(id) if id < tokens.len() as u64 => Ok(Some(id as u32)),
            Some(_) => Err(metadata.wrong(&key, format!("an id below {}", tokens.len()))),
        }
    };
    Ok(SpecialIds {
        bos: id("bos")?,
        eos: id("eos")?,
        eot: id("eot")?,
        pad: id("padding")?,
        unk: id("unknown")?,
    })
}

/// The two tokens of a merge. A token may begin with a space, so the one that parts them is looked for after that.
fn pair(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = merge[first..].find(' ')? + first;
    Some((&merge[..space], &merge[space + 1..]))
}

/// Ids by token.
struct Index(Vec<u32>);

impl Index {
    /// Of tokens that must all differ.
    fn of(tokens: &Strings) -> Result<Self, Error> {
        let mut ids: Vec<u32> = (0..tokens.len() as u32).collect();
        ids.sort_by_key(|&id| tokens.get(id as usize));
        let same = |ids: &&[u32]| tokens.get(ids[0] as usize) == tokens.get(ids[1] as usize);
        if let Some(twins) = ids.windows(2).find(same) {
            let token = shown(tokens.get(twins[0] as usize).unwrap_or_default());
            return Err(Error::DuplicateToken { token, first: twins[0] as usize, second: twins[1] as usize });
        }
        Ok(Self(ids))
    }

    fn id(&self, tokens: &Strings, token: &str) -> Option<u32> {
        let place = self.0.binary_search_by_key(&Some(token), |&id| tokens.get(id as usize)).ok()?;
        Some(self.0[place])
    }

    /// The token that a merge makes, where both parts and the whole are tokens.
    fn joined(&self, tokens: &Strings, (left, right): (&str, &str)) -> Option<u32> {
        self.id(tokens, left)?;
        self.id(tokens, right)?;
        self.id(tokens, &[left, right].concat())
    }
}

/// `tokenizer.json`, in the order in which `tokenizers` writes it.
struct Json<'a>(&'a Tokenizer<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", "1.0")?;
        map.serialize_entry("truncation", &Value::Null)?;
        map.serialize_entry("padding", &Value::Null)?;
        map.serialize_entry("added_tokens", &AddedTokens(self.0))?;
        map.serialize_entry("normalizer", &self.0.rule.normalizer())?;
        map.serialize_entry("pre_tokenizer", &self.0.rule.pre_tokenizer())?;
        map.serialize_entry("post_processor", &self.0.post_processor())?;
        let decoder =
            json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
        map.serialize_entry("decoder", &decoder)?;
        map.serialize_entry("model", &Model(self.0))?;
        map.end()
    }
}

struct AddedTokens<'a>(&'a Tokenizer<'a>);

impl Serialize for AddedTokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (id, (token, kind)) in self.0.tokens.iter().zip(&self.0.kinds).enumerate() {
            let special = match kind {
                Kind::Control => true,
                Kind::UserDefined => false,
                Kind::Plain | Kind::Filler => continue,
            };
            list.serialize_element(&json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": special,
            }))?;
        }
        list.end()
    }
}

struct Model<'a>(&'a Tokenizer<'a>);

impl Serialize for Model<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "BPE")?;
        for key in ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
            map.serialize_entry(key, &Value::Null)?;
        }
        map.serialize_entry("fuse_unk", &false)?;
        map.serialize_entry("byte_fallback", &false)?;
        map.serialize_entry("ignore_merges", &self.0.rule.ignore_merges)?;
        map.serialize_entry("vocab", &Vocabulary(self.0))?;
        map.serialize_entry("merges", &Merges(self.0.merges))?;
        map.end()
    }
}

struct Vocabulary<'a>(&'a Tokenizer<'a>);

impl Serialize for Vocabulary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tokens = self.0.tokens.iter().zip(&self.0.kinds).enumerate();
        let real = tokens.filter(|(_, (_, kind))| **kind != Kind::Filler);
        serializer.collect_map(real.map(|(id, (token, _))| (token, id)))
    }
}

struct Merges<'a>(&'a Strings);

impl Serialize for Merges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Checked: every merge is a pair.
        serializer.collect_seq(self.0.iter().filter_map(pair))
    }
}
