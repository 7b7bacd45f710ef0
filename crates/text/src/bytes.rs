//! Whether a tokenizer splits bytes: then it takes every text, and how long it gets is known before it is encoded. It encodes
//! nothing.

use crate::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

/// How many times as many bytes as before a text has in normal form C, at most (Unicode Standard Annex 15, section 9).
const GROWTH: usize = 3;

impl Tokenizer {
    /// A number of tokens that this text does not exceed, where every text can be encoded: of byte-level BPE, whose tokens
    /// stand for a byte or more. None of other tokenizers, and where a token has no embedding.
    pub fn most_tokens(&self, text: &str) -> Option<usize> {
        (self.of_bytes && self.vocab_size() <= self.embedded_ids).then_some(GROWTH * text.len())
    }
}

/// Whether it is byte-level BPE as GPT-2 has it: the model's vocabulary has a token for each byte, and nothing before it adds
/// to the text but normal form C.
pub(crate) fn of_bytes(inner: &tokenizers::Tokenizer) -> bool {
    let has_bytes = match inner.get_model() {
        ModelWrapper::BPE(model) => {
            let bare = |affix: &Option<String>| affix.as_deref().unwrap_or_default().is_empty();
            bare(&model.continuing_subword_prefix)
                && bare(&model.end_of_word_suffix)
                && ByteLevel::alphabet()
                    .into_iter()
                    .all(|byte| inner.token_to_id(&byte.to_string()).is_some())
        }
        _ => false,
    };
    let adds_nothing = matches!(inner.get_normalizer(), None | Some(NormalizerWrapper::NFC(_)));
    has_bytes && adds_nothing && inner.get_pre_tokenizer().is_some_and(ends_in_bytes)
}

/// Whether texts are split at most, and their parts become bytes.
fn ends_in_bytes(pre: &PreTokenizerWrapper) -> bool {
    match pre {
        PreTokenizerWrapper::ByteLevel(bytes) => !bytes.add_prefix_space,
        PreTokenizerWrapper::Sequence(parts) => {
            let splits = |part: &PreTokenizerWrapper| {
                matches!(part, PreTokenizerWrapper::Split(_) | PreTokenizerWrapper::Digits(_))
            };
            parts.as_ref().split_last().is_some_and(|(last, before)| {
                matches!(last, PreTokenizerWrapper::ByteLevel(_))
                    && ends_in_bytes(last)
                    && before.iter().all(splits)
            })
        }
        _ => false,
    }
}
