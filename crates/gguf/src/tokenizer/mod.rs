//! `tokenizer.ggml.*` to `tokenizer.json` and `tokenizer_config.json`: byte-level BPE (`gpt2`), SentencePiece's BPE
//! (`llama`) and its Unigram (`t5`). It refuses to encode text.
//!
//! Vocabularies are large and files hostile, so nothing is copied: the index is a list of ids sorted by token, and
//! `tokenizer.json` is written as it is walked.

mod json;
pub(crate) mod pieces;
pub(crate) mod unigram;

use crate::error::{Error, shown};
use crate::metadata::{Metadata, Strings};
use crate::pre_tokenizer::Rule;
use json::Json;
use pieces::Pieces;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use unigram::Unigram;

pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
pub(crate) const SCORES: &str = "tokenizer.ggml.scores";
pub(crate) const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
pub(crate) const TEMPLATE: &str = "tokenizer.chat_template";

/// The ids with a meaning of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialIds {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    /// Ends a turn, where this is another token than `eos`.
    pub(crate) eot: Option<u32>,
    /// Ends a message within a turn.
    pub(crate) eom: Option<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) unk: Option<u32>,
}

/// A checked tokenizer, borrowed from the metadata.
#[derive(Debug)]
pub(crate) struct Tokenizer<'a> {
    tokens: &'a Strings,
    kinds: Vec<Kind>,
    model: Model<'a>,
    adds_bos: bool,
    pub(crate) special: SpecialIds,
    pub(crate) chat_template: Option<&'a str>,
}

/// How a text becomes tokens.
#[derive(Debug)]
enum Model<'a> {
    /// Words of a splitting rule, their bytes as characters, joined by merges in the file's order.
    ByteLevel { merges: &'a Strings, rule: Rule },
    /// The whole text, joined to the pieces with the best scores; bytes where a character is no piece.
    SentencePiece(Pieces),
    /// The whole text, cut into the pieces whose scores add up to most.
    Unigram(Unigram<'a>),
}

/// What `tokenizer.ggml.token_type` says of a token (`enum llama_token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
        let model = metadata.text(MODEL)?;
        let usual = match model {
            Some("gpt2") => SpecialIds::default(),
            Some("llama") => pieces::USUAL_IDS,
            Some("t5") => unigram::USUAL_IDS,
            Some(other) => return Err(Error::TokenizerModel { found: shown(other) }),
            None => return Err(metadata.wrong(MODEL, "\"gpt2\", \"llama\" or \"t5\"")),
        };
        let tokens = metadata.texts(TOKENS)?.ok_or_else(|| metadata.wrong(TOKENS, "a list of texts"))?;
        if tokens.is_empty() || tokens.len() as u64 > vocab_size {
            let expected = format!("from 1 to {vocab_size} texts: the rows of the embedding");
            return Err(metadata.wrong(TOKENS, expected));
        }
        let special = special_ids(metadata, tokens, usual)?;
        let kinds = kinds(metadata, tokens, special)?;
        let index = Index::of(tokens)?;
        let (model, usually_bos) = match model {
            Some("llama") => (Model::SentencePiece(Pieces::read(metadata, tokens, &kinds, &index)?), true),
            Some("t5") => (Model::Unigram(Unigram::read(metadata, tokens, &index, special)?), false),
            _ => {
                let merges =
                    metadata.texts(MERGES)?.ok_or_else(|| metadata.wrong(MERGES, "a list of texts"))?;
                for (place, merge) in merges.iter().enumerate() {
                    if pair(merge).and_then(|parts| index.joined(tokens, parts)).is_none() {
                        return Err(Error::Merge { index: place, merge: shown(merge) });
                    }
                }
                let rule = Rule::of(metadata, pre)?;
                (Model::ByteLevel { merges, rule }, rule.adds_bos)
            }
        };
        let adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(usually_bos);
        let chat_template = metadata.text(TEMPLATE)?;
        Ok(Self { tokens, kinds, model, adds_bos, special, chat_template })
    }

    /// Writes `tokenizer.json`.
    pub(crate) fn write_json(&self, out: impl Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, &Json(self))?)
    }

    /// `tokenizer_config.json`. The class is the one that takes `tokenizer.json` as it is: those of the families
    /// build parts of it again. What the file does not name is null: absent, a class would take its own.
    pub(crate) fn config(&self, model_max_length: u64) -> Value {
        let mut config = Map::new();
        config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
        let SpecialIds { bos, eos, pad, unk, .. } = self.special;
        for (key, id) in [("bos_token", bos), ("eos_token", eos), ("pad_token", pad), ("unk_token", unk)] {
            config.insert(key.to_owned(), json!(id.map(|id| self.text(id))));
        }
        config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
        config.insert("model_max_length".to_owned(), json!(model_max_length));
        config.insert("model_input_names".to_owned(), json!(["input_ids", "attention_mask"]));
        Value::Object(config)
    }

    /// The table by which characters are replaced before a text is cut, where there is one.
    pub(crate) fn charsmap(&self) -> Option<&'a [u8]> {
        match &self.model {
            Model::Unigram(unigram) => Some(unigram.charsmap).filter(|charsmap| !charsmap.is_empty()),
            Model::ByteLevel { .. } | Model::SentencePiece(_) => None,
        }
    }

    fn text(&self, id: u32) -> &str {
        self.tokens.get(id as usize).unwrap_or_default()
    }
}

/// What each token is. Files without the list have control tokens, too: what begins and ends texts is one anyway.
fn kinds(metadata: &Metadata, tokens: &Strings, special: SpecialIds) -> Result<Vec<Kind>, Error> {
    let numbers = metadata.integers(TOKEN_TYPES)?;
    if numbers.is_some_and(|numbers| numbers.len() != tokens.len()) {
        return Err(metadata.wrong(TOKEN_TYPES, format!("{} numbers, one a token", tokens.len())));
    }
    let limits = [special.bos, special.eos, special.eot, special.eom];
    let kind = |(id, token): (usize, &str)| match numbers.map_or(1, |numbers| numbers[id]) {
        // Without a text there is nothing to match.
        _ if token.is_empty() => Kind::Plain,
        // What stands for no token is matched in text as control tokens are.
        2 | 3 => Kind::Control,
        4 => Kind::UserDefined,
        5 if token == format!("[PAD{id}]") => Kind::Filler,
        _ if limits.contains(&Some(id as u32)) => Kind::Control,
        _ => Kind::Plain,
    };
    Ok(tokens.iter().enumerate().map(kind).collect())
}

fn special_ids(metadata: &Metadata, tokens: &Strings, usual: SpecialIds) -> Result<SpecialIds, Error> {
    let id = |name: &str, usual: Option<u32>| {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match metadata.unsigned(&key)? {
            None => Ok(usual.filter(|&id| (id as usize) < tokens.len())),
            Some(id) if id < tokens.len() as u64 => Ok(Some(id as u32)),
            Some(_) => Err(metadata.wrong(&key, format!("an id below {}", tokens.len()))),
        }
    };
    Ok(SpecialIds {
        bos: id("bos", usual.bos)?,
        eos: id("eos", usual.eos)?,
        eot: id("eot", usual.eot)?,
        eom: id("eom", usual.eom)?,
        pad: id("padding", usual.pad)?,
        unk: id("unknown", usual.unk)?,
    })
}

/// The two tokens of a merge. A token may begin with a space, so the one that parts them is looked for after that.
fn pair(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = merge[first..].find(' ')? + first;
    Some((&merge[..space], &merge[space + 1..]))
}

/// Ids by token.
pub(crate) struct Index(Vec<u32>);

impl Index {
    /// Of tokens that must all differ.
    pub(crate) fn of(tokens: &Strings) -> Result<Self, Error> {
        let mut ids: Vec<u32> = (0..tokens.len() as u32).collect();
        ids.sort_by_key(|&id| tokens.get(id as usize));
        let same = |ids: &&[u32]| tokens.get(ids[0] as usize) == tokens.get(ids[1] as usize);
        if let Some(twins) = ids.windows(2).find(same) {
            let token = shown(tokens.get(twins[0] as usize).unwrap_or_default());
            return Err(Error::DuplicateToken { token, first: twins[0] as usize, second: twins[1] as usize });
        }
        Ok(Self(ids))
    }

    pub(crate) fn id(&self, tokens: &Strings, token: &str) -> Option<u32> {
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
