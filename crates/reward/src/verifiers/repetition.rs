//! Repeated n-grams, whatever they mean.

use crate::verifier::{Response, Tokens, Verifier, verdict};
use crate::verifiers::language::WITHOUT_SPACES;
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use unicode_script::UnicodeScript;

/// Of the rolling hash: odd, with bits all over.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What an n-gram is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// The policy's tokens, as in the paper and TRL: text without spaces repeats itself in them, too.
    #[default]
    Tokens,
    /// Words between white space in lower case, as in open-r1; characters where a script has no spaces.
    Words,
}

/// The penalty on repeated n-grams (arXiv 2502.03373, appendix C.2; TRL's `get_repetition_penalty_reward`):
/// `(1 - unique / total) * max_penalty`, and 0 where there are fewer than `ngram_size` tokens. Correct when nothing is
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repetition {
    /// Units of an n-gram.
    pub ngram_size: usize,
    /// The score of a response that only repeats itself, in the limit; not above 0.
    pub max_penalty: f64,
    /// What an n-gram is made of.
    pub unit: Unit,
}

impl Default for Repetition {
    fn default() -> Self {
        Self { ngram_size: 3, max_penalty: -1.0, unit: Unit::Tokens }
    }
}

impl Verifier for Repetition {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        let (unique, total) = match (self.unit, response.tokens) {
            (Unit::Tokens, Tokens::Ids(ids)) => count(ids, self.ngram_size),
            (Unit::Tokens, _) => {
                return Verdict::unscored(
                    "needs the tokens themselves (`completion_ids`), or `unit` = \"words\"",
                );
            }
            (Unit::Words, _) => {
                let text = response.text.to_lowercase();
                count(&numbered(&words(&text)), self.ngram_size)
            }
        };
        let repeated = total - unique;
        let score = if repeated == 0 { 0.0 } else { repeated as f64 / total as f64 * self.max_penalty };
        let outcome = if repeated == 0 { Outcome::Correct } else { Outcome::Wrong };
        verdict(outcome, score, None, format!("{repeated} of {total} {}-grams are repeated", self.ngram_size))
    }
}

/// Words between white space, and characters of scripts that put none between words.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let mut start = 0;
        for (at, c) in word.char_indices() {
            if WITHOUT_SPACES.contains(&c.script()) {
                if start < at {
                    out.push(&word[start..at]);
                }
                start = at + c.len_utf8();
                out.push(&word[at..start]);
            }
        }
        if start < word.len() {
            out.push(&word[start..]);
        }
    }
    out
}

/// A number for each different word.
fn numbered(words: &[&str]) -> Vec<u32> {
    let mut known = HashMap::new();
    let number = |word| {
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        *known.entry(word).or_insert(next)
    };
    words.iter().copied().map(number).collect()
}

/// Different n-grams, and all of them.
///
/// A rolling hash finds the n-gram of its kind that came first, so that long n-grams cost no more than short ones. It decides
/// nothing: n-grams are compared, and those that share a hash with another one are kept whole.
fn count(units: &[u32], size: usize) -> (usize, usize) {
    let size = size.max(1);
    let oldest = (1..size).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let (mut first, mut others) = (HashMap::new(), HashSet::new());
    let (mut unique, mut total, mut hash) = (0, 0, 0_u64);
    for (at, unit) in units.iter().enumerate() {
        if at >= size {
            hash = hash.wrapping_sub(oldest.wrapping_mul(u64::from(units[at - size])));
        }
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*unit));
        let Some(start) = (at + 1).checked_sub(size) else { continue };
        total += 1;
        let ngram = &units[start..=at];
        unique += usize::from(match first.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(start);
                true
            }
            Entry::Occupied(entry) => {
                let known = *entry.get();
                units[known..known + size] != *ngram && others.insert(ngram)
            }
        });
    }
    (unique, total)
}

#[cfg(test)]
mod tests {
    use super::{Repetition, Unit};
    use crate::verifier::{Response, Tokens, Verifier};
    use ruminate_data::{Outcome, Prompt, Task};
    use std::collections::HashSet;

    #[test]
    fn ngrams_are_counted_as_a_set_of_all_of_them_would() {
        // Thue and Morse's sequence has the most collisions of such a hash.
        let thue_morse: Vec<u32> = (0..5000_u32).map(|at| at.count_ones() % 2).collect();
        let mixed: Vec<u32> = (0..5000_u32).map(|at| at.wrapping_mul(at) % 7).collect();
        for units in [&thue_morse[..], &mixed, &[1, 1, 1], &[1], &[]] {
            for size in [0, 1, 2, 3, 64, 1024] {
                let ngrams = units.windows(size.max(1));
                let expected = (ngrams.clone().collect::<HashSet<_>>().len(), ngrams.len());
                assert_eq!(super::count(units, size), expected, "{size}");
            }
        }
    }

    fn score(repetition: Repetition, text: &str, tokens: Tokens<'_>) -> Option<f64> {
        let task = Task {
            prompt: Prompt::Text(String::new()),
            answer: String::new(),
            columns: serde_json::Map::new(),
        };
        let verdict = repetition.verify(&task, &Response { tokens, ..Response::finished(text) });
        (verdict.outcome != Outcome::Unscored).then_some(verdict.score)
    }

    #[test]
    fn the_penalty_is_the_share_of_repeated_n_grams() {
        // TRL's documented example: four 2-grams, one of them unique.
        let pairs = Repetition { ngram_size: 2, ..Repetition::default() };
        assert_eq!(score(pairs, "", Tokens::Ids(&[1, 2, 3, 4])), Some(0.0));
        assert_eq!(score(pairs, "", Tokens::Ids(&[5, 5, 5, 5, 5])), Some(-0.75));
        assert_eq!(score(pairs, "", Tokens::Ids(&[5])), Some(0.0));
        // a b, b a, a b, b a: half of four
        let words = Repetition { unit: Unit::Words, max_penalty: -0.5, ..pairs };
        assert_eq!(score(words, "A b a\nB a", Tokens::Unknown), Some(-0.25));
        // Chinese has no spaces: six pairs of characters, two of them unique.
        let text = "\u{4f60}\u{597d}\u{4f60}\u{597d}\u{4f60}\u{597d}\u{4f60}";
        assert!(score(words, text, Tokens::Unknown).is_some_and(|score| score < -0.3));
    }

    #[test]
    fn without_tokens_nobody_can_say() {
        assert_eq!(score(Repetition::default(), "a a a a", Tokens::Unknown), None);
        assert_eq!(score(Repetition::default(), "a a a a", Tokens::Count(4)), None);
    }
}
