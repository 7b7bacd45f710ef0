//! Words to be spelled backward. reasoning-gym draws from a book; ours are pronounceable inventions, so that
//! there are enough of them to hold some out and none that a policy knows by heart.

use super::{DIFFICULTY, Family, Mistake, Wording, Work, Worked, require, task, to_json};
use crate::{Error, Task};
use rand::{RngExt, seq::IndexedRandom, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "spell_backward";
const KIND: &str = "exact";

/// Ranges of a problem; the defaults are reasoning-gym's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Fewest letters.
    pub min_word_len: usize,
    /// Most letters.
    pub max_word_len: usize,
    /// A sentence, or `rev garod=`, of at most 9 letters.
    pub wording: Wording,
}

impl Default for Params {
    fn default() -> Self {
        Self { min_word_len: 3, max_word_len: 10, wording: Wording::Sentence }
    }
}

/// The family. The answer is judged as text (`exact`).
#[derive(Clone, Debug)]
pub struct SpellBackward {
    params: Params,
}

impl SpellBackward {
    /// The family at this difficulty.
    ///
    /// # Errors
    /// [`Error::Params`] for an empty or oversized range.
    pub fn new(params: Params) -> Result<Self, Error> {
        let Params { min_word_len, max_word_len, wording } = params;
        let longest = if wording == Wording::Bare { 9 } else { 100 };
        let good = (1..=max_word_len).contains(&min_word_len) && max_word_len <= longest;
        let found = || format!("min_word_len = {min_word_len}, max_word_len = {max_word_len}");
        require(NAME, good, "1 <= min_word_len <= max_word_len <= 100 (9 for the bare wording)", found)?;
        Ok(Self { params })
    }
}

impl Family for SpellBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verifier_kind(&self) -> &'static str {
        KIND
    }

    fn params(&self) -> Value {
        to_json(&self.params)
    }

    fn generate(&self, rng: &mut ChaCha8Rng) -> Result<Task, Error> {
        let length = rng.random_range(self.params.min_word_len..=self.params.max_word_len);
        let word = word(length, rng);
        let backward: String = word.chars().rev().collect();
        let prompt = match self.params.wording {
            Wording::Sentence => format!("Spell this word backward (sun becomes nus): {word}"),
            Wording::Bare => format!("rev {word}="),
        };
        let columns = [(DIFFICULTY, Value::from(length)), ("word", Value::from(word))];
        Ok(task(prompt, backward, KIND, columns))
    }

    fn shows_all_steps(&self, task: &Task, completion: &str) -> Option<bool> {
        Some(spelled(self.backward(task)?).is_shown_in(completion))
    }

    fn worked(&self) -> Option<&dyn Worked> {
        Some(self)
    }
}

impl Worked for SpellBackward {
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
        let mut letters = self.backward(task)?;
        if let Mistake::At(at) = mistake {
            // Another letter of the word.
            let others: Vec<char> =
                letters.iter().copied().filter(|other| Some(other) != letters.get(at)).collect();
            if let (Some(letter), Some(other)) = (letters.get_mut(at), others.choose(rng)) {
                *letter = *other;
            }
        }
        Some(spelled(letters))
    }

    /// The letters in any order.
    fn guess(&self, task: &Task, _sigma: f64, rng: &mut ChaCha8Rng) -> Option<String> {
        let mut letters = self.backward(task)?;
        letters.shuffle(rng);
        Some(letters.into_iter().collect())
    }
}

impl SpellBackward {
    /// The letters of a bare task's answer.
    fn backward(&self, task: &Task) -> Option<Vec<char>> {
        let bare = self.params.wording == Wording::Bare;
        let word = task.columns.get("word").and_then(Value::as_str).filter(|_| bare)?;
        Some(word.chars().rev().collect())
    }
}

/// The letters one by one, each with its place: `1d`, `2o`, `3r`.
fn spelled(letters: Vec<char>) -> Work {
    Work {
        steps: letters.iter().zip(1..).map(|(letter, place)| format!("{place}{letter}")).collect(),
        answer: letters.into_iter().collect(),
    }
}

/// Consonants and vowels in turn.
fn word(length: usize, rng: &mut ChaCha8Rng) -> String {
    let first = rng.random_range(0..2_usize);
    let letters = (first..first + length).map(|place| {
        let alphabet: &[u8] = if place % 2 == 0 { b"bcdfghjklmnpqrstvwxyz" } else { b"aeiou" };
        alphabet.choose(rng).map_or('a', |&letter| char::from(letter))
    });
    letters.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Params, SpellBackward};
    use crate::Seed;
    use crate::procedural::Family;
    use std::collections::HashSet;

    #[test]
    fn the_answer_is_the_word_from_its_end() {
        let family = SpellBackward::new(Params::default()).unwrap();
        let mut lengths = HashSet::new();
        for index in 0..1_000 {
            let task = family.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let text = task.prompt.text();
            let (_, word) = text.rsplit_once(' ').unwrap();
            assert_eq!(word.chars().rev().collect::<String>(), task.answer);
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()));
            lengths.insert(word.len());
        }
        assert_eq!(lengths, (3..=10).collect());
    }

    #[test]
    fn ranges_that_hold_nothing_are_refused() {
        use crate::procedural::Wording::{Bare, Sentence};
        for (min_word_len, max_word_len, wording) in
            [(0, 3, Sentence), (4, 3, Sentence), (1, 101, Sentence), (3, 10, Bare)]
        {
            assert!(SpellBackward::new(Params { min_word_len, max_word_len, wording }).is_err());
        }
    }
}
