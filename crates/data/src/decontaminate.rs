//! Keeps evaluation texts out of training texts by shared word n-grams.
//!
//! DeepSeek-R1 (supplement, data decontamination) drops a training text that shares any 10-gram with an
//! evaluation question or reference solution. Paraphrases pass, as they do there. A word is a run of letters
//! and digits, in lower case; where a script writes no spaces, a whole clause is one word.

use crate::seed::stable_hash;
use std::collections::HashSet;
use std::num::NonZeroUsize;

/// R1's choice of n.
pub const R1_NGRAM: NonZeroUsize = NonZeroUsize::new(10).unwrap();

/// The n-grams of evaluation texts, as 64-bit hashes: among a billion lookups against a million n-grams a
/// collision has a chance of about 1 in 20,000, and costs one training text.
#[derive(Clone, Debug)]
pub struct Decontaminator {
    n: NonZeroUsize,
    ngrams: HashSet<u64>,
    short: HashSet<u64>,
}

impl Decontaminator {
    /// Remembers the `n`-grams of the evaluation texts. A text of fewer than `n` words has none; it is
    /// remembered whole, so that its copies are found, but not where it is a part of something longer.
    pub fn new<S: AsRef<str>>(eval_texts: impl IntoIterator<Item = S>, n: NonZeroUsize) -> Self {
        let mut this = Self { n, ngrams: HashSet::new(), short: HashSet::new() };
        for text in eval_texts {
            let words = words(text.as_ref());
            if words.len() < n.get() {
                this.short.extend((!words.is_empty()).then(|| hash(&words)));
            } else {
                this.ngrams.extend(words.windows(n.get()).map(hash));
            }
        }
        this
    }

    /// Whether a training text shares an n-gram with an evaluation text, or is a copy of a short one.
    pub fn overlaps(&self, text: &str) -> bool {
        let words = words(text);
        if words.len() < self.n.get() {
            return self.short.contains(&hash(&words));
        }
        words.windows(self.n.get()).any(|ngram| self.ngrams.contains(&hash(ngram)))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn hash(words: &[String]) -> u64 {
    stable_hash(words.iter().flat_map(|word| word.bytes().chain([b' '])))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Decontaminator, R1_NGRAM};
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use std::num::NonZeroUsize;

    const QUESTION: &str =
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May.";

    #[test]
    fn ten_shared_words_contaminate_and_nine_do_not() {
        let filter = Decontaminator::new([QUESTION], R1_NGRAM);
        assert!(
            filter.overlaps("Someone said: NATALIA sold clips - to 48 of her\nfriends (in April) and so on")
        );
        assert!(!filter.overlaps("Someone said: Natalia sold clips to 48 of her friends in school"));
        assert!(!filter.overlaps(""));
    }

    #[test]
    fn a_short_text_is_found_as_a_copy_only() {
        let filter = Decontaminator::new(["What is 2 + 2?", ""], R1_NGRAM);
        assert!(filter.overlaps("what is 2 + 2"));
        assert!(!filter.overlaps("what is 2 + 3"));
        assert!(!filter.overlaps("what is 2 + 2 when all of the numbers are taken modulo three"));
        assert!(!filter.overlaps("?!"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_text_around_an_evaluation_text_overlaps(before in any::<String>(), after in any::<String>()) {
            let filter = Decontaminator::new([QUESTION], R1_NGRAM);
            let text = format!("{before} {QUESTION} {after}");
            prop_assert!(filter.overlaps(&text));
        }

        #[test]
        fn overlap_is_a_shared_window(
            eval in proptest::collection::vec("[ab]", 0..12),
            text in proptest::collection::vec("[ab]", 0..12),
            n in 1..5_usize,
        ) {
            let filter = Decontaminator::new([eval.join(" ")], NonZeroUsize::new(n).unwrap());
            let shared = eval.windows(n).any(|a| text.windows(n).any(|b| a == b));
            let copy = eval == text && !eval.is_empty();
            prop_assert_eq!(filter.overlaps(&text.join(" ")), shared || copy);
        }
    }
}
