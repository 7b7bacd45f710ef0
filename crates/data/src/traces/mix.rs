//! How often each sort of attempt is written, and in which languages.

use super::Kind;
use super::step_words::StepWords;
use crate::Error;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often each sort of attempt is written. The first five are weights: only their ratios matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceMix {
    /// Weight of attempts with an empty thought and a guess. Only the ratios of the first five keys matter.
    pub direct: f64,
    /// Weight of attempts with the first steps, correct, and then a guess.
    pub partial: f64,
    /// Weight of attempts with all steps, one of them wrong, and what follows from it.
    pub slip: f64,
    /// Weight of attempts with all steps, a wrong one among them that is corrected at once after a word of
    /// doubt.
    pub corrected: f64,
    /// Weight of attempts with all steps, correct.
    pub correct: f64,
    /// Share of attempts of every kind, from 0 to 1, that end in the bare answer without `<answer>` tags, so
    /// that there is a format to learn.
    pub untagged: f64,
    /// For `chain_sum`: standard deviation of a guess around the right total, before it is clamped to the
    /// range of totals; not negative.
    pub guess_sigma: f64,
    /// Weights of the languages that put a word before every step: `en`, `de`. With `{}` steps have no words.
    pub languages: BTreeMap<String, f64>,
    /// Share of attempts whose steps are each in a language of their own, from 0 to 1; the others keep to
    /// one.
    pub mixed: f64,
}

impl Default for TraceMix {
    fn default() -> Self {
        Self {
            direct: 0.62,
            partial: 0.08,
            slip: 0.04,
            corrected: 0.06,
            correct: 0.20,
            untagged: 0.05,
            guess_sigma: 4.0,
            languages: BTreeMap::new(),
            mixed: 0.0,
        }
    }
}

impl TraceMix {
    /// Checks that the weights are weights and the languages known.
    ///
    /// # Errors
    /// [`Error::Params`] for a negative or non-finite number, no positive weight, a share above 1, or a language
    /// without step words.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(code) = self.languages.keys().find(|code| StepWords::by_code(code).is_none()) {
            let known = StepWords::CODES.join(", ");
            let problem = format!("expected languages of {known}, found `{code}`");
            return Err(Error::Params { of: "mix", problem });
        }
        let kinds: Vec<f64> = self.kinds().iter().map(|(_, weight)| *weight).collect();
        let languages: Vec<f64> = self.languages.values().copied().collect();
        let shares = [self.untagged, self.mixed];
        let mut all = kinds.iter().chain(&languages).chain(&shares).chain([&self.guess_sigma]);
        let good = all.all(|x| x.is_finite() && *x >= 0.0) && shares.iter().all(|share| *share <= 1.0);
        let some = |weights: &[f64]| weights.iter().sum::<f64>() > 0.0;
        if good && some(&kinds) && (languages.is_empty() || some(&languages)) {
            return Ok(());
        }
        let expected =
            "expected numbers of at least 0, a positive weight among them, and untagged and mixed <= 1";
        Err(Error::Params { of: "mix", problem: format!("{expected}, found {self:?}") })
    }

    /// The sorts with their weights.
    pub(super) fn kinds(&self) -> [(Kind, f64); 5] {
        [
            (Kind::Direct, self.direct),
            (Kind::Partial, self.partial),
            (Kind::Slip, self.slip),
            (Kind::Corrected, self.corrected),
            (Kind::Correct, self.correct),
        ]
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Kind {
        weighted(self.kinds(), rng).unwrap_or(Kind::Correct)
    }

    /// The words for each of `steps` steps; none where steps have no words.
    pub(super) fn step_words(&self, steps: usize, rng: &mut ChaCha8Rng) -> Vec<Option<StepWords>> {
        let draw = |rng: &mut ChaCha8Rng| {
            let languages = self.languages.iter().map(|(code, &weight)| (code.as_str(), weight));
            weighted(languages, rng).and_then(StepWords::by_code)
        };
        if rng.random_bool(self.mixed) {
            return (0..steps).map(|_| draw(rng)).collect();
        }
        vec![draw(rng); steps]
    }

    /// The answer in its tags, or bare as often as the mix says.
    pub(super) fn tagged(&self, answer: &str, rng: &mut ChaCha8Rng) -> String {
        if rng.random_bool(self.untagged) { answer.to_owned() } else { format!("<answer>{answer}</answer>") }
    }
}

/// One of the choices, by weight; `None` of nothing, and where rounding leaves a crumb above the last weight.
fn weighted<T>(choices: impl IntoIterator<Item = (T, f64)> + Clone, rng: &mut ChaCha8Rng) -> Option<T> {
    let total: f64 = choices.clone().into_iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0.0..1.0) * total;
    for (choice, weight) in choices {
        if left < weight {
            return Some(choice);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::TraceMix;
    use crate::Seed;

    fn languages(weights: &[(&str, f64)]) -> TraceMix {
        let languages = weights.iter().map(|(code, weight)| ((*code).to_owned(), *weight)).collect();
        TraceMix { languages, ..TraceMix::default() }
    }

    #[test]
    fn unknown_languages_and_weights_of_nothing_are_refused() {
        let message = languages(&[("xx", 1.0)]).validate().unwrap_err().to_string();
        assert!(message.contains("`xx`") && message.contains("de, en"), "{message}");
        for mix in [
            languages(&[("en", 0.0)]),
            languages(&[("en", -1.0), ("de", 2.0)]),
            TraceMix { mixed: 1.1, ..languages(&[("en", 1.0)]) },
        ] {
            assert!(mix.validate().is_err(), "{mix:?}");
        }
        assert!(languages(&[("en", 1.0), ("de", 0.0)]).validate().is_ok());
    }

    #[test]
    fn an_attempt_keeps_to_one_language_unless_it_mixes() {
        let mut rng = Seed::new(0).rng();
        let one = languages(&[("en", 1.0), ("de", 1.0)]);
        let mixing = TraceMix { mixed: 1.0, ..one.clone() };
        let (mut german, mut mixed) = (0, 0);
        for _ in 0..1_000 {
            let words = one.step_words(5, &mut rng);
            assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
            german += usize::from(words[0].unwrap().code == "de");
            let words = mixing.step_words(5, &mut rng);
            mixed += usize::from(words.iter().any(|word| *word != words[0]));
        }
        assert!((450..550).contains(&german), "{german}");
        assert!((900..970).contains(&mixed), "{mixed}"); // 1 - 2 / 2^5 of 1,000
        assert_eq!(TraceMix::default().step_words(2, &mut rng), [None, None]);
    }
}
