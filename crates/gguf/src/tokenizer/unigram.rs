//! SentencePiece's Unigram (Kudo, arXiv 1804.10959, section 3.2), `tokenizer.ggml.model` = `t5`: of all cuts of a text into
//! pieces the one whose scores add up to most. `tokenizer.json` has the same scores.

use super::pieces::{SPACE, decoder, scores};
use super::{Index, Kind, SpecialIds, Tokenizer};
use crate::error::Error;
use crate::metadata::{Metadata, Strings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// What llama.cpp takes for ids that a file does not state.
pub(super) const USUAL_IDS: SpecialIds =
    SpecialIds { bos: None, eos: Some(1), eot: None, eom: None, pad: Some(0), unk: Some(2) };

/// The table by which characters are replaced before a text is cut.
pub(crate) const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// The scores, and what happens to a text before it is cut.
#[derive(Debug)]
pub(super) struct Unigram<'a> {
    scores: &'a [f32],
    pub(super) charsmap: &'a [u8],
    /// Whether a text begins with a space.
    prefix: bool,
    /// Whether of several spaces one is left, and none at the ends.
    merges_spaces: bool,
    /// Whether a character that is no piece becomes bytes: there is a token for each.
    bytes: bool,
}

impl<'a> Unigram<'a> {
    pub(super) fn read(
        metadata: &'a Metadata,
        tokens: &Strings,
        index: &Index,
        special: SpecialIds,
    ) -> Result<Self, Error> {
        if special.unk.is_none() {
            let expected = "the id of what stands for unknown characters";
            return Err(metadata.wrong("tokenizer.ggml.unknown_token_id", expected));
        }
        let flag = |key| Ok::<_, Error>(metadata.flag(key)?.unwrap_or(false));
        Ok(Self {
            scores: scores(metadata, tokens)?,
            charsmap: metadata.bytes(CHARSMAP)?.unwrap_or_default(),
            prefix: flag("tokenizer.ggml.add_space_prefix")?,
            merges_spaces: flag("tokenizer.ggml.remove_extra_whitespaces")?,
            bytes: (0..=u8::MAX).all(|byte| index.id(tokens, &token_of(byte)).is_some()),
        })
    }

    /// `normalizer` of `tokenizer.json`. The space goes before every text between special tokens, as in llama.cpp.
    pub(super) fn normalizer(&self) -> Value {
        let replace =
            |pattern: Value, content| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let mut steps = Vec::new();
        if !self.charsmap.is_empty() {
            let charsmap = STANDARD.encode(self.charsmap);
            steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": charsmap }));
        }
        if self.merges_spaces {
            steps.push(replace(json!({ "Regex": r"\A +| +\z" }), ""));
            steps.push(replace(json!({ "Regex": " +" }), " "));
        }
        if self.prefix {
            steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
        }
        steps.push(replace(json!({ "String": " " }), SPACE));
        json!({ "type": "Sequence", "normalizers": steps })
    }

    /// `decoder` of `tokenizer.json`.
    pub(super) fn decoder(&self) -> Value {
        decoder(self.prefix)
    }
}

/// The token of a byte.
fn token_of(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn is_of_a_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.is_some_and(|byte| token == token_of(byte))
}

/// `model` of `tokenizer.json`.
pub(super) struct Json<'a>(pub(super) &'a Tokenizer<'a>, pub(super) &'a Unigram<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "Unigram")?;
        map.serialize_entry("unk_id", &self.0.special.unk)?;
        map.serialize_entry("vocab", &Vocabulary(self))?;
        map.serialize_entry("byte_fallback", &self.1.bytes)?;
        map.end()
    }
}

struct Vocabulary<'a>(&'a Json<'a>);

impl Serialize for Vocabulary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json(Tokenizer { tokens, kinds, .. }, unigram) = *self.0;
        // The place is the id, so that only what is invented behind all tokens can be left out.
        let count = kinds.iter().rposition(|kind| *kind != Kind::Filler).map_or(0, |last| last + 1);
        let is_piece =
            |(token, kind): (&str, &Kind)| *kind == Kind::Plain && !(unigram.bytes && is_of_a_byte(token));
        let pieces =
            || tokens.iter().zip(kinds).map(is_piece).zip(unigram.scores.iter().copied().map(f64::from));
        let least = pieces().filter(|(is_piece, _)| *is_piece).map(|(_, score)| score).fold(0.0, f64::min);
        // Text that looks like a byte's token, `<0x41>`, is cut into its characters, as long as they are pieces: any six are
        // better.
        let never = 8.0 * least - 10.0;
        let scores = pieces().map(|(is_piece, score)| if is_piece { score } else { never });
        serializer.collect_seq(tokens.iter().zip(scores).take(count))
    }
}
