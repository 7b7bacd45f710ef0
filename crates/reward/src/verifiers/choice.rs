//! Multiple choice: one letter, whatever it stands for.

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};

/// Correct when the response commits to the answer's letter and to no other; score 1 or 0.
///
/// The content of `<answer>`, or what follows the thought, is a letter (`C`, `(c)`, `**C**`, `\boxed{C}`), a letter
/// with its text (`C. Paris`, `C) Paris`), or has such a letter behind `answer is` or `answer:`, where several must
/// agree. A letter that merely occurs is no answer, and `A or C` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipleChoice {
    /// How many letters there are to choose from, from A.
    pub choices: u8,
}

impl Default for MultipleChoice {
    fn default() -> Self {
        Self { choices: 4 }
    }
}

impl Verifier for MultipleChoice {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let Some(gold) = self.letter(&task.answer) else {
            let last = (b'A' + self.choices.clamp(1, 26) - 1) as char;
            return Verdict::unscored(format!(
                "the task's answer {:?} is no letter from A to {last}",
                task.answer
            ));
        };
        let text = match tags::final_text(response.text, response.opening()) {
            Ok(text) => text,
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        match self.committed(text) {
            Ok(letter) => {
                let outcome = if letter == gold { Outcome::Correct } else { Outcome::Wrong };
                let why = if letter == gold {
                    "equal to the answer".to_owned()
                } else {
                    format!("expected {gold}")
                };
                verdict(
                    outcome,
                    f64::from(u8::from(letter == gold)),
                    Some(letter.encode_utf8(&mut [0; 4])),
                    why,
                )
            }
            Err(why) => verdict(Outcome::Wrong, 0.0, None, why),
        }
    }
}

impl MultipleChoice {
    /// The letter that a whole text chooses.
    fn committed(self, text: &str) -> Result<char, &'static str> {
        let text = text.trim();
        if let Some(letter) = self.letter(text).or_else(|| self.lettered_text(text)) {
            return Ok(letter);
        }
        let mut chosen = None;
        for behind in behind_anchors(text) {
            let behind = behind.trim_start_matches([' ', ':', '*']);
            let word = behind.split(char::is_whitespace).next().unwrap_or_default();
            // `the answer is a number` has an article in it.
            let letter = self.letter(word).filter(|_| !word.starts_with(|c: char| c.is_ascii_lowercase()));
            let Some(letter) = letter else { continue };
            let line = behind[word.len()..].lines().next().unwrap_or_default();
            if self.names_another(line, letter) || chosen.is_some_and(|other| other != letter) {
                return Err("more than one letter is given as the answer");
            }
            chosen = Some(letter);
        }
        chosen.ok_or("no letter is given as the answer")
    }

    /// A text that is nothing but a letter, whatever its markup.
    fn letter(self, text: &str) -> Option<char> {
        let text = text.trim();
        let text = text.strip_suffix(['.', ',']).unwrap_or(text);
        let text = text.trim_start_matches(['$', '*', '(', '[', '`', '"', '\'']);
        let text = text.trim_start_matches("\\boxed{").trim_start_matches("\\text{");
        let text = text.trim_end_matches(['$', '*', ')', ']', '`', '"', '\'', '}', '.', ':']);
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(letter), None) => self.known(letter),
            _ => None,
        }
    }

    /// `C. Paris`, `C) Paris`, `(C) Paris`, `C: Paris`.
    fn lettered_text(self, text: &str) -> Option<char> {
        let (head, rest) = text.split_once(char::is_whitespace)?;
        let letter = head.ends_with(['.', ')', ':']).then(|| self.letter(head))??;
        (!self.names_another(rest, letter)).then_some(letter)
    }

    /// Whether a text has another letter standing by itself.
    fn names_another(self, text: &str, chosen: char) -> bool {
        text.split(|c: char| !c.is_alphanumeric()).any(|word| {
            let mut characters = word.chars();
            match (characters.next(), characters.next()) {
                // In lower case it is a word of the language, or a variable.
                (Some(letter), None) if letter.is_ascii_uppercase() => {
                    self.known(letter).is_some_and(|letter| letter != chosen)
                }
                _ => false,
            }
        })
    }

    fn known(self, letter: char) -> Option<char> {
        let upper = letter.to_ascii_uppercase();
        let last = b'A' + self.choices.clamp(1, 26) - 1;
        (upper.is_ascii_uppercase() && upper as u32 <= u32::from(last)).then_some(upper)
    }
}

/// What stands behind each `answer is` and `answer:`, up to the next one: together no more than the text.
fn behind_anchors(text: &str) -> Vec<&str> {
    const ANCHOR: &str = "answer";
    let lower = text.to_ascii_lowercase(); // keeps every byte's place
    let mut behind = Vec::new();
    let mut end = text.len();
    for (at, _) in lower.rmatch_indices(ANCHOR) {
        let rest = &text[at + ANCHOR.len()..end];
        let gap = rest.trim_start_matches('*').trim_start_matches(' ');
        if let Some(meant) = gap.strip_prefix("is").or_else(|| gap.strip_prefix(':')) {
            behind.push(meant);
            end = at;
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::MultipleChoice;

    #[test]
    fn one_letter_is_a_choice() {
        for text in [
            "C",
            " c ",
            "(C)",
            "C.",
            "C)",
            "**C**",
            "\\boxed{C}",
            "$\\boxed{\\text{C}}$",
            "C. Paris",
            "(C) Paris",
            "C: a rainbow",
            "The answer is C.",
            "Final answer: (C)",
            "**Answer:** C",
            "A is wrong. The answer is C",
            "Answer: C\nso the answer is C.",
        ] {
            assert_eq!(MultipleChoice::default().committed(text), Ok('C'), "{text}");
        }
    }

    #[test]
    fn several_letters_or_none_are_no_choice() {
        for text in [
            "",
            "A B C D",
            "A, C",
            "A or C",
            "C. or D",
            "A. B. C. D.",
            "C) yes, D) no",
            "CD",
            "E",
            "Paris",
            "The answer is C or D",
            "The answer is C. The answer is D.",
            "the answer is a number",
            "I like C",
            "The answer is not D but C",
            "\u{421}",
            "C#",
            "Answer: A/B/C",
        ] {
            assert!(MultipleChoice::default().committed(text).is_err(), "{text}");
        }
        assert_eq!(MultipleChoice { choices: 5 }.committed("E"), Ok('E'));
    }
}
