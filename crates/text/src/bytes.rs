//! Whether a tokenizer splits bytes: then it takes every text whose bytes have a token, and how long it gets is known before
//! it is encoded. It encodes nothing.

use crate::Tokenizer;
use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

/// How many times as many bytes as before a text has in normal form C, at most (Unicode Standard Annex 15, section 9).
const GROWTH: usize = 3;

/// The bytes that have a token, of a tokenizer that splits bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    known: [bool; 256],
    /// Whether a text becomes normal form C first, whose bytes are others.
    is_normalized: bool,
}

impl Bytes {
    /// Whether this text can be encoded, seen from its bytes alone.
    fn cover(&self, text: &str) -> bool {
        if self.is_normalized {
            // Those that UTF-8 has.
            return (0..=0xf4)
                .filter(|byte| ![0xc0, 0xc1].contains(byte))
                .all(|byte: usize| self.known[byte]);
        }
        text.bytes().all(|byte| self.known[usize::from(byte)])
    }
}

impl Tokenizer {
    /// A number of tokens that this text does not exceed, where it is sure to be encoded: by byte-level BPE, whose tokens
    /// stand for a byte or more. None where that is not known of the text, and where a token has no embedding.
    pub fn most_tokens(&self, text: &str) -> Option<usize> {
        let bytes = self.bytes.as_ref().filter(|_| self.vocab_size() <= self.embedded_ids)?;
        bytes.cover(text).then_some(GROWTH * text.len())
    }
}

/// The bytes of byte-level BPE as GPT-2 has it, where nothing before it adds to the text but normal form C.
pub(crate) fn of(inner: &tokenizers::Tokenizer) -> Option<Bytes> {
    let ModelWrapper::BPE(model) = inner.get_model() else { return None };
    let bare = |affix: &Option<String>| affix.as_deref().unwrap_or_default().is_empty();
    let is_normalized = match inner.get_normalizer() {
        None => false,
        Some(NormalizerWrapper::NFC(_)) => true,
        Some(_) => return None,
    };
    let splits = inner.get_pre_tokenizer().is_some_and(ends_in_bytes);
    if !splits || !bare(&model.continuing_subword_prefix) || !bare(&model.end_of_word_suffix) {
        return None;
    }
    let mut known = [false; 256];
    for (byte, character) in (0..=u8::MAX).zip(characters()) {
        known[usize::from(byte)] = inner.token_to_id(&character.to_string()).is_some();
    }
    Some(Bytes { known, is_normalized })
}

/// GPT-2's character for each byte: that of Latin-1 where it is printed, else one of those from U+0100 on, in their order.
fn characters() -> impl Iterator<Item = char> {
    let mut other = '\u{100}'..;
    (0..=u8::MAX).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => other.next().unwrap_or_default(),
    })
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

#[cfg(test)]
mod tests {
    use super::characters;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn each_byte_has_a_character_of_the_alphabet() {
        let all: Vec<char> = characters().collect();
        assert_eq!(
            (all.len(), all[usize::from(b'A')], all[usize::from(b' ')], all[10]),
            (256, 'A', 'Ġ', 'Ċ')
        );
        let alphabet = ByteLevel::alphabet();
        assert!(alphabet.len() == 256 && all.iter().all(|character| alphabet.contains(character)));
    }
}
