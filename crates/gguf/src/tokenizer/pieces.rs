//! SentencePiece's BPE, as llama.cpp runs it for `tokenizer.ggml.model` = `llama`: of all neighbours that join to a piece
//! the pair whose piece has the best score is joined first. `tokenizer.json` has merges in order instead of scores, as
//! transformers' conversion makes them (`generate_merges`).

use super::{Index, Kind, SCORES, SpecialIds, TOKENS};
use crate::error::Error;
use crate::metadata::{Metadata, Strings};
use serde_json::{Value, json};

/// What llama.cpp takes for ids that a file does not state.
pub(super) const USUAL_IDS: SpecialIds =
    SpecialIds { bos: Some(1), eos: Some(2), eot: None, eom: None, pad: None, unk: Some(0) };

/// The largest published vocabularies, of 262,144 pieces, have 580,000.
const MAX_MERGES: usize = 1 << 20;

/// Sum of the squared lengths of all pieces, in bytes: the work of looking for merges. 262,144 pieces of 32 bytes have it.
const MAX_SQUARES: usize = 1 << 28;

/// What stands for a space in pieces.
pub(crate) const SPACE: &str = "\u{2581}";

/// The pairs that join, and whether a text begins with a space.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Ids of the left and of the right part, the best pair first.
    pub(super) merges: Vec<[u32; 2]>,
    prefix: bool,
}

impl Pieces {
    pub(super) fn read(
        metadata: &Metadata,
        tokens: &Strings,
        kinds: &[Kind],
        index: &Index,
    ) -> Result<Self, Error> {
        let scores = scores(metadata, tokens)?;
        let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let merges =
            merges(tokens, kinds, index, scores).map_err(|expected| metadata.wrong(TOKENS, expected))?;
        Ok(Self { merges, prefix })
    }

    /// `normalizer` of `tokenizer.json`. The space goes before every text between special tokens, as in llama.cpp.
    pub(super) fn normalizer(&self) -> Value {
        let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
        if self.prefix {
            let prepend = json!({ "type": "Prepend", "prepend": SPACE });
            json!({ "type": "Sequence", "normalizers": [prepend, spaces] })
        } else {
            spaces
        }
    }

    /// `decoder` of `tokenizer.json`.
    pub(super) fn decoder(&self) -> Value {
        decoder(self.prefix)
    }
}

/// A finite score of each token.
pub(super) fn scores<'a>(metadata: &'a Metadata, tokens: &Strings) -> Result<&'a [f32], Error> {
    let scores = metadata.floats(SCORES)?;
    let fits = |scores: &&[f32]| scores.len() == tokens.len() && scores.iter().all(|score| score.is_finite());
    let expected = || format!("{} finite numbers, one per token", tokens.len());
    scores.filter(fits).ok_or_else(|| metadata.wrong(SCORES, expected()))
}

/// `decoder` of `tokenizer.json` for pieces, where a text begins with a space or not.
pub(super) fn decoder(prefix: bool) -> Value {
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}

/// The pairs of pieces that join to another one, that with the best score first.
///
/// # Errors
/// What pieces are expected, where these are too many or too long.
pub(crate) fn merges(
    tokens: &Strings,
    kinds: &[Kind],
    index: &Index,
    scores: &[f32],
) -> Result<Vec<[u32; 2]>, String> {
    let plain = || tokens.iter().enumerate().filter(|(id, _)| kinds[*id] == Kind::Plain);
    // Every cut of a piece compares its parts with others.
    if plain().map(|(_, token)| token.len().saturating_pow(2)).fold(0, usize::saturating_add) > MAX_SQUARES {
        return Err(format!("pieces whose squared lengths add up to at most {MAX_SQUARES}"));
    }
    let mut found = Vec::new();
    for (id, token) in plain() {
        let before = found.len();
        for (cut, _) in token.char_indices().skip(1) {
            let parts = [&token[..cut], &token[cut..]].map(|part| index.id(tokens, part));
            let [Some(left), Some(right)] = parts else { continue };
            if [left, right].iter().all(|&part| kinds[part as usize] == Kind::Plain) {
                found.push((id as u32, [left, right]));
            }
        }
        found[before..].sort_by_key(|(_, parts)| *parts);
        if found.len() > MAX_MERGES {
            return Err(format!("pieces with at most {MAX_MERGES} pairs that join"));
        }
    }
    let characters = |id: u32| tokens.get(id as usize).unwrap_or_default().chars().count();
    // Of pieces with one score, the pair with the longer left part first.
    found.sort_by(|(one, [left, right]), (other, [other_left, other_right])| {
        let score = |id: &u32| scores[*id as usize];
        score(other)
            .total_cmp(&score(one))
            .then_with(|| characters(*other_left).cmp(&characters(*left)))
            .then_with(|| characters(*other_right).cmp(&characters(*right)))
    });
    Ok(found.into_iter().map(|(_, parts)| parts).collect())
}
