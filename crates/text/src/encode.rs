//! Text to token ids and back, and which ids a part of the text has. Does not load tokenizers.

use crate::chat::MarkedChat;
use crate::guard::{Failure, guarded};
use crate::tokenizer::SpecialText;
use crate::{Error, Tokenizer};

impl Tokenizer {
    /// Token ids of a text as it stands: no beginning or ending token is added, but special tokens that are
    /// written out in the text become their ids.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when no token covers a character, [`Error::NoEmbedding`] when a token has none.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        match guarded(|| self.inner.encode_fast(text, false)) {
            Ok(encoding) => self.all_embedded(encoding.get_ids().to_vec()),
            Err(failure) => Err(self.blame(text, failure)),
        }
    }

    /// Token ids of a prompt and of the completion after it, encoded as one text and cut at the border.
    ///
    /// A completion that is encoded by itself may begin otherwise: SentencePiece puts a space before every text. A
    /// token that spans the border is the completion's, as in TRL and in transformers' mask of the assistant's tokens:
    /// the completion keeps all its text, and the prompt ends before that token. An added token that strips the
    /// whitespace after it stays the prompt's when only that whitespace lies beyond the border.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); [`Error::NoBorder`] when one token takes the whole prompt and a part of the
    /// completion.
    pub fn encode_pair(&self, prompt: &str, completion: &str) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let text = [prompt, completion].concat();
        let encoding = self.encoding(&text)?;
        let (mut ids, border) = (encoding.get_ids().to_vec(), prompt.len());
        let in_prompt = |&(id, (start, end)): &(u32, (usize, usize))| {
            end <= border
                || (self.is_added(id)
                    && start + text.get(start..end).map_or(0, |text| text.trim_ascii_end().len()) <= border)
        };
        let offsets = encoding.get_offsets().iter().copied();
        let length = ids.iter().copied().zip(offsets).take_while(in_prompt).count();
        let completion_ids = ids.split_off(length);
        if ids.is_empty() && !prompt.is_empty() && !completion_ids.is_empty() {
            return Err(Error::NoBorder { token: completion_ids[0] });
        }
        Ok((ids, completion_ids))
    }

    /// Token ids of a chat, and which of them the assistant wrote: those that stand, if only in part, in its spans.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_marked(&self, chat: &MarkedChat) -> Result<(Vec<u32>, Vec<bool>), Error> {
        let encoding = self.encoding(&chat.text)?;
        let mut spans = chat.assistant.iter().peekable();
        let mask = encoding.get_offsets().iter().map(|&(start, end)| {
            while spans.next_if(|span| span.end <= start).is_some() {}
            spans.peek().is_some_and(|span| span.start < end)
        });
        Ok((encoding.get_ids().to_vec(), mask.collect()))
    }

    /// The tokens of a text with the bytes of it that each stands for.
    fn encoding(&self, text: &str) -> Result<tokenizers::Encoding, Error> {
        let encoding =
            guarded(|| self.inner.encode(text, false)).map_err(|failure| self.blame(text, failure))?;
        self.all_embedded(encoding.get_ids().to_vec())?;
        Ok(encoding)
    }

    /// The ids, where the model embeds them all.
    fn all_embedded(&self, ids: Vec<u32>) -> Result<Vec<u32>, Error> {
        match ids.iter().find(|id| **id as usize >= self.embedded_ids) {
            None => Ok(ids),
            Some(&id) => Err(Error::NoEmbedding {
                token: self.inner.id_to_token(id).unwrap_or_default(),
                id,
                vocab_size: self.embedded_ids,
            }),
        }
    }

    /// Whether a token is found in the text itself, before the model of the tokenizer splits the rest.
    fn is_added(&self, id: u32) -> bool {
        self.inner.get_added_vocabulary().simple_id_to_token(id).is_some()
    }

    /// The first character that fails on its own, else the library's reason.
    fn blame(&self, text: &str, Failure { reason, panicked }: Failure) -> Error {
        if panicked {
            return Error::Encode { bytes: text.len(), reason };
        }
        text.char_indices()
            .find(|(_, c)| {
                guarded(|| self.inner.encode_fast(c.encode_utf8(&mut [0; 4]) as &str, false)).is_err()
            })
            .map_or(Error::Encode { bytes: text.len(), reason }, |(byte, character)| {
                Error::UnknownCharacter { character, byte }
            })
    }

    /// The text of token ids. An id without a token (models pad their vocabulary, so a policy can sample one)
    /// reads as U+FFFD: it stays visible, and no verifier takes it for anything.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], special: SpecialText) -> Result<String, Error> {
        let skip = special == SpecialText::Skip;
        let known: Vec<&[u32]> = ids.split(|&id| self.inner.id_to_token(id).is_none()).collect();
        let parts: Result<Vec<String>, _> =
            known.iter().map(|part| guarded(|| self.inner.decode(part, skip))).collect();
        match parts {
            Ok(parts) => Ok(parts.join("\u{fffd}")),
            Err(Failure { reason, .. }) => Err(Error::Decode { tokens: ids.len(), reason }),
        }
    }

    /// The text that a verifier reads: everything that the policy wrote, tags and stray special tokens
    /// included, without the one token that ended it.
    ///
    /// Only a last id that is one of `end_ids` is dropped. A padding or ending token in the middle was sampled
    /// like any other, and leaving it out would let a policy write it for free.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn completion_text(&self, ids: &[u32], end_ids: &[u32]) -> Result<String, Error> {
        let written = match ids.split_last() {
            Some((last, rest)) if end_ids.contains(last) => rest,
            _ => ids,
        };
        self.decode(written, SpecialText::Keep)
    }
}
