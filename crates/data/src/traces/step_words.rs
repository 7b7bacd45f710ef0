//! The words that a thought puts before its steps, in languages that share the Latin script and no word: so that mixing
//! languages is something that a policy can do and a reward can measure.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A language's words for thinking aloud: ASCII, so that the embedded tokenizer has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepWords {
    /// ISO 639-1 code.
    pub code: &'static str,
    /// Words that a step begins with.
    pub steps: &'static [&'static str],
    /// The word before a step that corrects the one before: the self-check.
    pub wait: &'static str,
}

const LANGUAGES: [StepWords; 2] = [
    StepWords { code: "de", steps: &["dann", "jetzt"], wait: "halt" },
    StepWords { code: "en", steps: &["then", "now"], wait: "wait" },
];

impl StepWords {
    /// The codes that [`by_code`](Self::by_code) knows.
    pub const CODES: &'static [&'static str] = &["de", "en"];

    /// The language of a code.
    pub fn by_code(code: &str) -> Option<Self> {
        LANGUAGES.into_iter().find(|language| language.code == code)
    }

    /// A word to begin a step with.
    pub(crate) fn step(&self, rng: &mut ChaCha8Rng) -> &'static str {
        self.steps[rng.random_range(0..self.steps.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::{LANGUAGES, StepWords};

    #[test]
    fn no_word_is_in_two_languages_and_all_are_ascii() {
        let words: Vec<&str> = LANGUAGES
            .iter()
            .flat_map(|language| language.steps.iter().copied().chain([language.wait]))
            .collect();
        let distinct: std::collections::HashSet<&str> = words.iter().copied().collect();
        assert_eq!(distinct.len(), words.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        assert!(LANGUAGES.iter().map(|language| language.code).eq(StepWords::CODES.iter().copied()));
    }
}
