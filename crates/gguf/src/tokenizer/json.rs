//! Writes `tokenizer.json` as it walks a tokenizer. It refuses to check one.

use super::{Kind, Model, Tokenizer, pair, unigram};
use crate::metadata::Strings;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// `tokenizer.json`, in the order in which `tokenizers` writes it.
pub(super) struct Json<'a>(pub(super) &'a Tokenizer<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", "1.0")?;
        map.serialize_entry("truncation", &Value::Null)?;
        map.serialize_entry("padding", &Value::Null)?;
        map.serialize_entry("added_tokens", &AddedTokens(self.0))?;
        let [normalizer, pre_tokenizer, decoder] = match &self.0.model {
            Model::ByteLevel { rule, .. } => [rule.normalizer(), rule.pre_tokenizer(), byte_level(true)],
            Model::SentencePiece(pieces) => [pieces.normalizer(), Value::Null, pieces.decoder()],
            Model::Unigram(unigram) => [unigram.normalizer(), Value::Null, unigram.decoder()],
        };
        map.serialize_entry("normalizer", &normalizer)?;
        map.serialize_entry("pre_tokenizer", &pre_tokenizer)?;
        map.serialize_entry("post_processor", &post_processor(self.0))?;
        map.serialize_entry("decoder", &decoder)?;
        let bpe = |merges, ignore_merges, unk| Bpe { tokenizer: self.0, merges, ignore_merges, unk };
        match &self.0.model {
            Model::ByteLevel { merges, rule } => {
                map.serialize_entry("model", &bpe(Merges::Texts(merges), rule.ignore_merges, None))?;
            }
            Model::SentencePiece(pieces) => {
                let unk = self.0.special.unk.map(|id| self.0.text(id));
                map.serialize_entry("model", &bpe(Merges::Ids(self.0, &pieces.merges), false, unk))?;
            }
            Model::Unigram(unigram) => map.serialize_entry("model", &unigram::Json(self.0, unigram))?,
        }
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

struct Bpe<'a> {
    tokenizer: &'a Tokenizer<'a>,
    merges: Merges<'a>,
    ignore_merges: bool,
    /// What stands for unknown characters.
    unk: Option<&'a str>,
}

impl Serialize for Bpe<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let bytes = matches!(self.merges, Merges::Ids(..));
        map.serialize_entry("type", "BPE")?;
        map.serialize_entry("dropout", &Value::Null)?;
        map.serialize_entry("unk_token", &self.unk)?;
        map.serialize_entry("continuing_subword_prefix", &Value::Null)?;
        map.serialize_entry("end_of_word_suffix", &Value::Null)?;
        map.serialize_entry("fuse_unk", &bytes)?;
        map.serialize_entry("byte_fallback", &bytes)?;
        map.serialize_entry("ignore_merges", &self.ignore_merges)?;
        map.serialize_entry("vocab", &Vocabulary(self.tokenizer))?;
        map.serialize_entry("merges", &self.merges)?;
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

/// What is joined, the first pair first.
enum Merges<'a> {
    /// Two tokens with a space between them; checked.
    Texts(&'a Strings),
    /// Pieces of SentencePiece, by their ids.
    Ids(&'a Tokenizer<'a>, &'a [[u32; 2]]),
}

impl Serialize for Merges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Texts(merges) => serializer.collect_seq(merges.iter().filter_map(pair)),
            Self::Ids(tokenizer, merges) => {
                serializer.collect_seq(merges.iter().map(|parts| parts.map(|id| tokenizer.text(id))))
            }
        }
    }
}

fn byte_level(trim_offsets: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": trim_offsets, "use_regex": true })
}

/// `post_processor`: of byte-level tokens, and the beginning token where texts have one.
fn post_processor(tokenizer: &Tokenizer) -> Value {
    let byte_level = match &tokenizer.model {
        Model::ByteLevel { .. } => byte_level(false),
        Model::SentencePiece(_) | Model::Unigram(_) => Value::Null,
    };
    let Some(bos) = tokenizer.special.bos.filter(|_| tokenizer.adds_bos) else {
        return byte_level;
    };
    let text = tokenizer.text(bos);
    let special = |sequence: u8| json!({ "SpecialToken": { "id": text, "type_id": sequence } });
    let sequence = |id: &str, type_id: u8| json!({ "Sequence": { "id": id, "type_id": type_id } });
    let template = json!({
        "type": "TemplateProcessing",
        "single": [special(0), sequence("A", 0)],
        "pair": [special(0), sequence("A", 0), special(1), sequence("B", 1)],
        "special_tokens": { text: { "id": text, "ids": [bos], "tokens": [text] } },
    });
    if byte_level.is_null() {
        return template;
    }
    json!({ "type": "Sequence", "processors": [byte_level, template] })
}
