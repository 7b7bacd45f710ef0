//! What texts ask of a completion, as token ids: texts that end it, words that it may not have, how it begins, and how long it
//! may think. Samplers know ids alone.

use crate::{Error, SpecialText, Tokenizer};
use ruminate_data::{Stop, ThinkingBudget};
use std::sync::Arc;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Tokens of a prompt's end in which its last `<think>` is looked for.
const PROMPT_END: usize = 32;

/// Texts that control completions. The default asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controls {
    /// Texts that end a completion. The one that ends it is part of it.
    pub stop: Vec<String>,
    /// Texts that no completion has, as they are written and with a space before them.
    pub bad_words: Vec<String>,
    /// Text that every completion begins with; it counts as part of the completion, and is not drawn.
    pub thought_prefix: String,
    /// Tokens of a completion after which an open thought is closed; 0 for no limit.
    pub thinking_budget: usize,
    /// The text that closes it; it has `</think>`.
    pub thought_end: String,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            stop: Vec::new(),
            bad_words: Vec::new(),
            thought_prefix: String::new(),
            thinking_budget: 0,
            thought_end: CLOSE.to_owned(),
        }
    }
}

impl Controls {
    /// Checks what can be checked without a tokenizer.
    ///
    /// # Errors
    /// [`Error::Control`] names the first value that cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let refused = |key, found: String, expected| Err(Error::Control { key, found, expected });
        for (key, texts) in [("stop", &self.stop), ("bad_words", &self.bad_words)] {
            if texts.iter().any(String::is_empty) {
                return refused(
                    key,
                    "an empty text".to_owned(),
                    "texts of at least one character".to_owned(),
                );
            }
        }
        if self.thinking_budget > 0 && !self.thought_end.contains(CLOSE) {
            let expected = format!("a text with {CLOSE} in it, which closes the thought");
            return refused("thought_end", format!("{:?}", self.thought_end), expected);
        }
        Ok(())
    }

    /// Whether completions are forced to say something.
    pub fn forces(&self) -> bool {
        !self.thought_prefix.is_empty() || self.thinking_budget > 0
    }

    /// The same without what is forced: for prompts that force something themselves.
    #[must_use]
    pub fn unforced(&self) -> Self {
        Self { thought_prefix: String::new(), thinking_budget: 0, ..self.clone() }
    }

    /// What they ask of a policy's completions, which end at `end_ids`, too, and have at most `max_new_tokens` tokens.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); a text that has no tokens, and a prefix or a budget that leaves no token to draw.
    pub fn stop(&self, tokenizer: &Tokenizer, end_ids: &[u32], max_new_tokens: usize) -> Result<Stop, Error> {
        self.validate()?;
        let mut stop = Stop::at(end_ids);
        if *self == Self::default() {
            return Ok(stop);
        }
        let shared = Arc::new(tokenizer.clone());
        if !self.stop.is_empty() {
            let (tokenizer, texts) = (Arc::clone(&shared), self.stop.clone());
            stop = stop.or_when(move |ids| ends_with_one(&tokenizer, &texts, ids));
        }
        stop = stop.without(self.bad_word_ids(tokenizer)?);
        let fits = |key, found: usize, least: usize| {
            if least < max_new_tokens {
                return Ok(());
            }
            let expected = format!(
                "room for a token to draw: {least} tokens are forced or spent by then, and the longest \
                                    completion has {max_new_tokens}; raise `max_new_tokens`"
            );
            Err(Error::Control { key, found: format!("{found} tokens"), expected })
        };
        let prefix = tokenizer.encode(&self.thought_prefix)?;
        fits("thought_prefix", prefix.len(), prefix.len())?;
        if self.thinking_budget > 0 {
            let (budget, close) = (self.thinking_budget, tokenizer.encode(&self.thought_end)?);
            if budget < prefix.len() {
                let expected = format!("at least the {} tokens of `thought_prefix`", prefix.len());
                return Err(Error::Control { key: "thinking_budget", found: budget.to_string(), expected });
            }
            fits("thinking_budget", budget, budget + close.len())?;
            let is_open = move |prompt: &[u32], ids: &[u32]| is_thinking(&shared, prompt, ids);
            stop = stop.thinking_within(ThinkingBudget::new(budget, &close, is_open));
        }
        Ok(if prefix.is_empty() { stop } else { stop.after(&prefix) })
    }

    /// The ids of each word as it is written, and with a space before it: most tokenizers have other tokens for a word within a
    /// text.
    fn bad_word_ids(&self, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, Error> {
        let mut words = Vec::new();
        for word in &self.bad_words {
            for text in [word.clone(), format!(" {word}")] {
                let ids = tokenizer.encode(&text)?;
                if !ids.is_empty() && !words.contains(&ids) {
                    words.push(ids);
                }
            }
        }
        Ok(words)
    }
}

/// Whether the last token has completed one of the texts. Every token of a text's characters adds at least one byte, so no more
/// tokens than the longest text has bytes can be part of it; the one before them tells how the first of these reads.
fn ends_with_one(tokenizer: &Tokenizer, texts: &[String], ids: &[u32]) -> bool {
    let longest = texts.iter().map(String::len).max().unwrap_or(0);
    let end = &ids[ids.len().saturating_sub(longest + 1)..];
    let Ok(read) = tokenizer.decode(end, SpecialText::Keep) else { return false };
    texts.iter().any(|text| read.contains(text.as_str()))
}

/// Whether a thought is open: the completion has opened one, or the prompt has, and nothing has closed it.
fn is_thinking(tokenizer: &Tokenizer, prompt: &[u32], ids: &[u32]) -> bool {
    let read = |ids: &[u32]| tokenizer.decode(ids, SpecialText::Keep).unwrap_or_default();
    let written = read(ids);
    if written.contains(CLOSE) {
        return false;
    }
    let end = &prompt[prompt.len().saturating_sub(PROMPT_END)..];
    written.contains(OPEN) || read(end).trim_end().ends_with(OPEN)
}

#[cfg(test)]
mod tests {
    use super::Controls;
    use crate::Tokenizer;

    fn ids(text: &str) -> Vec<u32> {
        Tokenizer::embedded().encode(text).expect("printable")
    }

    #[test]
    fn a_text_ends_a_completion_with_its_last_token_wherever_it_stands() {
        let texts = ["</answer>".to_owned(), " Q:".to_owned()];
        let stop = Controls { stop: texts.to_vec(), ..Controls::default() }
            .stop(&Tokenizer::embedded(), &[1], 100)
            .expect("valid");
        // A tag is a token, every other character is one.
        for (text, end) in [
            ("<answer>12</answer>, and so on", Some(4)),
            ("</answer>", Some(1)),
            ("</answer", None),
            ("ab Q: c", Some(5)),
            (" Q :", None),
        ] {
            let ids = ids(text);
            let found = (1..=ids.len()).find(|&count| stop.ends(&ids[..count]));
            assert_eq!(found, end, "{text:?}");
        }
        assert!(stop.ends(&[5, 1]), "ending tokens still end it");
    }

    #[test]
    fn a_bad_word_is_forbidden_with_and_without_a_space() {
        let controls = Controls { bad_words: vec!["no".to_owned(), "x".to_owned()], ..Controls::default() };
        let stop = controls.stop(&Tokenizer::embedded(), &[1], 100).expect("valid");
        let words: Vec<Vec<u32>> = stop.bad_words().iter().map(|word| word.to_vec()).collect();
        assert_eq!(words, [ids("no"), ids(" no"), ids("x"), ids(" x")]);
        assert!(!stop.forces() && !stop.has_test());
    }

    #[test]
    fn a_thought_is_closed_at_the_end_of_its_budget_where_it_is_open() {
        let controls =
            Controls { thinking_budget: 6, thought_end: ".</think>".to_owned(), ..Controls::default() };
        let stop = controls.stop(&Tokenizer::embedded(), &[1], 100).expect("valid");
        let close = ids(".</think>");
        assert_eq!(close.len(), 2);
        for (prompt, text, closed) in [
            ("7+5=", "<think>abcde", true),
            ("7+5=", "<think></thi", true),
            ("7+5=<think>", "abcdef", true),
            ("7+5=", "abcdef", false),
            ("<think></think>7+5=", "abcdef", false),
            ("7+5=<think>", "abc</think>de", false),
        ] {
            let (prompt, mut written) = (ids(prompt), ids(text));
            assert_eq!(written.len(), 6, "{text}");
            assert_eq!(stop.forced(&prompt, &written[..5]), None);
            for &id in &close {
                assert_eq!(stop.forced(&prompt, &written), closed.then_some(id), "{text:?}");
                written.push(id);
            }
            assert_eq!(stop.forced(&prompt, &written), None);
        }
        let begun = Controls { thought_prefix: "<think>".to_owned(), ..controls };
        let stop = begun.stop(&Tokenizer::embedded(), &[1], 100).expect("valid");
        assert_eq!(stop.forced(&[], &[]), Some(ids("<think>")[0]));
        assert!(begun.forces() && !begun.unforced().forces());
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        let text = str::to_owned;
        for (controls, key) in [
            (Controls { stop: vec![text("")], ..Controls::default() }, "`stop`"),
            (Controls { bad_words: vec![text("")], ..Controls::default() }, "`bad_words`"),
            (
                Controls { thinking_budget: 3, thought_end: text("so"), ..Controls::default() },
                "`thought_end` is \"so\"",
            ),
            (
                Controls { thought_prefix: "x".repeat(20), ..Controls::default() },
                "`thought_prefix` is 20 tokens",
            ),
            (Controls { thinking_budget: 19, ..Controls::default() }, "`thinking_budget` is 19 tokens"),
            (
                Controls { thinking_budget: 3, thought_prefix: text("<think>abcdef"), ..Controls::default() },
                "`thinking_budget` is 3; expected at least the 7",
            ),
        ] {
            let error = controls.stop(&Tokenizer::embedded(), &[1], 20).expect_err(key);
            assert!(error.is_usage() && error.to_string().contains(key), "{error}");
        }
    }
}
