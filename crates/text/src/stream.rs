//! Text of token ids that come one by one. A character may take several tokens: it is held back until it is whole.
//! What the text means is for who reads it.

use crate::{Error, SpecialText, Tokenizer};

/// Decodes a completion while it is being written.
///
/// A token's text may depend on the one before it (a decoder may drop the first space of a text), so each piece is
/// what the last tokens read as together, without what they read as before the newest.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens from the last piece on, and those of the piece before it, which they are decoded with.
    ids: Vec<u32>,
    /// How many of `ids` have been read out.
    read: usize,
}

/// Tokens after which text is read out although its last character is not whole. No character has that many: they are
/// stray bytes, and holding back more of them would take time quadratic in their number.
const MAX_HELD: usize = 64;

impl<'a> TextStream<'a> {
    /// At the start of a completion. Special tokens are kept, as [`Tokenizer::completion_text`] keeps them.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), read: 0 }
    }

    /// The text that this token completes; empty while a character is not whole.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        let text = self.decode(self.ids.len())?;
        if text.ends_with('\u{fffd}') && self.ids.len() - self.read < MAX_HELD {
            return Ok(String::new());
        }
        self.take(&text)
    }

    /// What was held back: the rest of a character that never came reads as U+FFFD.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(mut self) -> Result<String, Error> {
        let text = self.decode(self.ids.len())?;
        self.take(&text)
    }

    /// What is new in the text of all ids.
    fn take(&mut self, text: &str) -> Result<String, Error> {
        let before = self.decode(self.read)?;
        // A decoder with byte fallback may read a whole stretch differently because of one stray byte behind it.
        let piece = text.strip_prefix(before.as_str()).unwrap_or("\u{fffd}").to_owned();
        self.ids.drain(..self.read);
        self.read = self.ids.len();
        Ok(piece)
    }

    fn decode(&self, count: usize) -> Result<String, Error> {
        self.tokenizer.decode(&self.ids[..count], SpecialText::Keep)
    }
}
