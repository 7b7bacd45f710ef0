//! The words that a thought puts before its steps, in languages that share the Latin script and no word: so that mixing
//! languages is something that a policy can do, and a reward can tell.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A language's words for thinking aloud: ASCII, so that the embedded tokenizer has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tongue {
    /// ISO 639-1 code.
    pub code: &'static str,
    /// What a step begins with.
    pub steps: &'static [&'static str],
    /// What a step begins with that takes the one before back: the self-check.
    pub wait: &'static str,
}

const TONGUES: [Tongue; 2] = [
    Tongue { code: "de", steps: &["dann", "jetzt"], wait: "halt" },
    Tongue { code: "en", steps: &["then", "now"], wait: "wait" },
];

impl Tongue {
    /// The codes that [`by_code`](Self::by_code) knows.
    pub const CODES: &'static [&'static str] = &["de", "en"];

    /// The language of a code.
    pub fn by_code(code: &str) -> Option<Self> {
        TONGUES.into_iter().find(|tongue| tongue.code == code)
    }

    /// A word to begin a step with.
    pub(crate) fn step(&self, rng: &mut ChaCha8Rng) -> &'static str {
        self.steps[rng.random_range(0..self.steps.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::{TONGUES, Tongue};

    #[test]
    fn no_word_is_in_two_languages_and_all_are_ascii() {
        let words: Vec<&str> =
            TONGUES.iter().flat_map(|tongue| tongue.steps.iter().copied().chain([tongue.wait])).collect();
        let distinct: std::collections::HashSet<&str> = words.iter().copied().collect();
        assert_eq!(distinct.len(), words.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        assert!(TONGUES.iter().map(|tongue| tongue.code).eq(Tongue::CODES.iter().copied()));
    }
}
