//! `tokenizer.json` to `tokenizer.ggml.*`: byte-level BPE whose splitting rule llama.cpp knows, and SentencePiece's BPE.
//! It refuses to encode text.

use super::ExportSource;
use super::error::ExportError;
use super::writer::Kv;
use crate::metadata::Strings;
use crate::pre_tokenizer::Rule;
use crate::tokenizer::pieces::{self, SPACE};
use crate::tokenizer::{Index, Kind, MERGES, SCORES, TEMPLATE, TOKEN_TYPES, TOKENS};
use serde_json::Value;

/// Of a piece that no merge makes: below all that merges make.
const NEVER: f32 = -1e9;

/// The keys of a tokenizer for a model with so many rows of its embedding.
pub(super) fn keys(source: &ExportSource, vocab_size: u64) -> Result<Vec<(String, Kv)>, ExportError> {
    let json = source.tokenizer;
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(wrong("model.type", &model["type"], "BPE, byte-level or SentencePiece's"));
    }
    for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[affix].as_str().is_some_and(|affix| !affix.is_empty()) {
            return Err(wrong("model", model, "BPE without affixes"));
        }
    }
    let byte_level = model["byte_fallback"] != Value::Bool(true);
    let Tokens { texts, mut kinds, numbers } = Tokens::read(source, vocab_size, !byte_level)?;
    let merges = merges(&model["merges"])?;
    let mut keys = Vec::new();
    let mut set = |key: &str, value: Kv| keys.push((key.to_owned(), value));
    if byte_level {
        let rule = Rule::name_of(&json["normalizer"], &json["pre_tokenizer"], &model["ignore_merges"]);
        let Some(rule) = rule else {
            let expected =
                "these rules for splitting text only: gpt-2, smollm, qwen2, deepseek-r1-qwen, llama-bpe";
            return Err(wrong("normalizer and pre_tokenizer", &json["pre_tokenizer"], expected));
        };
        set("tokenizer.ggml.model", Kv::Text("gpt2".to_owned()));
        set("tokenizer.ggml.pre", Kv::Text(rule.to_owned()));
        set(TOKENS, Kv::Texts(texts));
        set(TOKEN_TYPES, Kv::Integers(numbers));
        set(MERGES, Kv::Texts(merges.iter().map(|[left, right]| format!("{left} {right}")).collect()));
    } else {
        let prefix = prefix(json)?;
        let mut strings = Strings::default();
        for text in &texts {
            strings.push(text);
        }
        if let Some(unk) = source.unk {
            kinds[unk as usize] = Kind::Control;
        }
        let scores = scores(&strings, &kinds, &merges)?;
        set("tokenizer.ggml.model", Kv::Text("llama".to_owned()));
        set("tokenizer.ggml.pre", Kv::Text("default".to_owned()));
        set(TOKENS, Kv::Texts(texts));
        set(SCORES, Kv::Floats(scores));
        set(TOKEN_TYPES, Kv::Integers(numbers));
        set("tokenizer.ggml.add_space_prefix", Kv::Flag(prefix));
    }
    match source.ends.len() {
        // llama.cpp would take an id of its own.
        0 => return Err(ExportError::NoEnd),
        1..=3 => {}
        found => return Err(ExportError::Ends { found }),
    }
    let end = |place: usize| source.ends.get(place).copied();
    let [first, last] = template(&json["post_processor"], vocab_size)?;
    for (key, named, put) in [("bos_token", source.bos, first), ("eos_token", end(0), last)] {
        if let (Some(named), Some(put)) = (named, put)
            && named != put
        {
            let found = format!("a template with the token {put} where `{key}` has the id {named}");
            let expected = format!("`{key}` alone at that end of a text");
            return Err(ExportError::Tokenizer { part: "post_processor", found, expected });
        }
    }
    for (name, id) in [
        ("bos", source.bos.or(first)),
        ("eos", end(0)),
        ("eot", end(1)),
        ("eom", end(2)),
        ("padding", source.pad),
        ("unknown", source.unk),
    ] {
        if let Some(id) = id {
            set(&format!("tokenizer.ggml.{name}_token_id"), Kv::Unsigned(id));
        }
    }
    set("tokenizer.ggml.add_bos_token", Kv::Flag(first.is_some()));
    set("tokenizer.ggml.add_eos_token", Kv::Flag(last.is_some()));
    if let Some(template) = source.chat_template {
        set(TEMPLATE, Kv::Text(template.to_owned()));
    }
    Ok(keys)
}

/// A token per row of the embedding.
struct Tokens {
    texts: Vec<String>,
    kinds: Vec<Kind>,
    /// `enum llama_token_type`.
    numbers: Vec<i32>,
}

impl Tokens {
    fn read(source: &ExportSource, vocab_size: u64, with_bytes: bool) -> Result<Self, ExportError> {
        let json = source.tokenizer;
        let mut texts: Vec<Option<(String, Kind, i32)>> = vec![None; vocab_size as usize];
        let mut place = |token: &str, id: u64, kind: Kind, number: i32| {
            let slot = usize::try_from(id).ok().and_then(|id| texts.get_mut(id));
            match slot {
                // An added token is one of the vocabulary, too.
                Some(slot) if slot.as_ref().is_none_or(|(known, ..)| known == token) => {
                    *slot = Some((token.to_owned(), kind, number));
                    Ok(())
                }
                _ => Err(ExportError::Id { token: token.chars().take(80).collect(), id, vocab_size }),
            }
        };
        for (token, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
            let byte = with_bytes && token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            let number = if byte { 6 } else { 1 };
            place(token, id.as_u64().unwrap_or(u64::MAX), Kind::Plain, number)?;
        }
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let (token, id) = (added["content"].as_str().unwrap_or_default(), added["id"].as_u64());
            let id = id.unwrap_or(u64::MAX);
            // Padding tokens often lie beyond the embedding, and no text holds them.
            if id >= vocab_size {
                continue;
            }
            let (kind, number) = match added["special"] == Value::Bool(true) {
                true if with_bytes && source.unk.map(u64::from) == Some(id) => (Kind::Control, 2),
                true => (Kind::Control, 3),
                false => (Kind::UserDefined, 4),
            };
            place(token, id, kind, number)?;
        }
        let mut all = Self { texts: Vec::new(), kinds: Vec::new(), numbers: Vec::new() };
        for (id, token) in texts.into_iter().enumerate() {
            let (text, kind, number) = token.unwrap_or_else(|| (format!("[PAD{id}]"), Kind::Filler, 5));
            all.texts.push(text);
            all.kinds.push(kind);
            all.numbers.push(number);
        }
        Ok(all)
    }
}

/// The merges in either spelling.
fn merges(list: &Value) -> Result<Vec<[&str; 2]>, ExportError> {
    let list = list.as_array().ok_or_else(|| wrong("model.merges", list, "a list of pairs"))?;
    let pair = |merge| of_merge(merge).ok_or_else(|| wrong("model.merges", merge, "pairs of tokens"));
    list.iter().map(pair).collect()
}

fn of_merge(merge: &Value) -> Option<[&str; 2]> {
    match merge {
        Value::String(text) => text.split_once(' ').map(|(left, right)| [left, right]),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(left), Value::String(right)] => Some([left, right]),
            _ => None,
        },
        _ => None,
    }
}

/// A score per piece with which llama.cpp joins the same pairs in the same order.
fn scores(texts: &Strings, kinds: &[Kind], merges: &[[&str; 2]]) -> Result<Vec<f32>, ExportError> {
    let unlike = |found: String| ExportError::Tokenizer {
        part: "model.merges",
        found,
        expected: "pieces that join in the order of a score each, as SentencePiece's do".to_owned(),
    };
    let index = Index::of(texts).map_err(|error| unlike(error.to_string()))?;
    let mut scores = vec![NEVER; texts.len()];
    let mut rank = 0.0;
    for [left, right] in merges {
        let whole = [*left, *right].concat();
        let id =
            index.id(texts, &whole).ok_or_else(|| unlike(format!("one that makes no token, {whole:?}")))?;
        let score = &mut scores[id as usize];
        if *score == NEVER {
            *score = -rank;
            rank += 1.0;
        }
    }
    let made = pieces::merges(texts, kinds, &index, &scores).map_err(|expected| ExportError::Tokenizer {
        part: "model.vocab",
        found: "too large to export".to_owned(),
        expected,
    })?;
    let text = |id: u32| texts.get(id as usize).unwrap_or_default();
    let same =
        made.len() == merges.len() && made.iter().zip(merges).all(|(ids, merge)| ids.map(text) == *merge);
    if same { Ok(scores) } else { Err(unlike("a list in another order, or of other pairs".to_owned())) }
}

/// Whether a space is put before each text of a tokenizer of pieces.
fn prefix(json: &Value) -> Result<bool, ExportError> {
    const EXPECTED: &str = "spaces as ▁, before every text between special tokens or before none";
    let (normalizer, words) = (&json["normalizer"], &json["pre_tokenizer"]);
    let spaces = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == SPACE
    };
    let prepends = |step: &Value| step["type"] == "Prepend" && step["prepend"] == SPACE;
    if words.is_null() {
        let steps = normalizer["normalizers"].as_array().map(Vec::as_slice);
        return match steps {
            None if spaces(normalizer) => Ok(false),
            Some([only]) if spaces(only) => Ok(false),
            Some([first, second]) if prepends(first) && spaces(second) => Ok(true),
            _ => Err(wrong("normalizer", normalizer, EXPECTED)),
        };
    }
    let whole =
        words["type"] == "Metaspace" && words["replacement"] == SPACE && words["split"] == Value::Bool(false);
    match words["prepend_scheme"].as_str() {
        Some("always") if whole && normalizer.is_null() => Ok(true),
        Some("never") if whole && normalizer.is_null() => Ok(false),
        _ => Err(wrong("pre_tokenizer", words, EXPECTED)),
    }
}

/// The ids of the special tokens that are put before a text and after it.
fn template(post_processor: &Value, vocab_size: u64) -> Result<[Option<u32>; 2], ExportError> {
    const EXPECTED: &str = "at most one special token of the embedding before a text, and one after it";
    let processors = post_processor["processors"].as_array();
    let mut all = processors.into_iter().flatten().chain([post_processor]);
    let Some(template) = all.find(|processor| processor["type"] == "TemplateProcessing") else {
        return Ok([None, None]);
    };
    let refused = || wrong("post_processor", template, EXPECTED);
    let id = |items: &[Value]| match items {
        [] => Ok(None),
        [item] => {
            let name = item["SpecialToken"]["id"].as_str().unwrap_or_default();
            let ids = template["special_tokens"][name]["ids"].as_array().map(Vec::as_slice);
            let Some([id]) = ids else { return Err(refused()) };
            let id = id.as_u64().filter(|id| *id < vocab_size);
            id.map(|id| Some(id as u32)).ok_or_else(refused)
        }
        _ => Err(refused()),
    };
    let single = template["single"].as_array().ok_or_else(refused)?;
    let text = single.iter().position(|item| item.get("Sequence").is_some()).ok_or_else(refused)?;
    Ok([id(&single[..text])?, id(&single[text + 1..])?])
}

fn wrong(part: &'static str, found: &Value, expected: &str) -> ExportError {
    let found = match found {
        Value::Null => "absent".to_owned(),
        found => found.to_string().chars().take(160).collect(),
    };
    ExportError::Tokenizer { part, found, expected: expected.to_owned() }
}
