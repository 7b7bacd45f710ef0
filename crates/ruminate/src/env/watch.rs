//! Measures of a thought that no reward pays for: whether it takes a step back, and whether it mixes languages.

use crate::recipe::Eval;
use ruminate_data::Task;
use ruminate_reward::tags::{Opening, thoughts};
use ruminate_reward::{LanguageId, Response, Verifier};

/// The measure of a thought that takes a step back.
pub(crate) const SELF_CHECK: &str = "self_check";

/// The measure of a thought in more than one language.
pub(crate) const LANGUAGE_MIXED: &str = "language_mixed";

/// Phrases and languages to look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// In lower case.
    phrases: Vec<String>,
    languages: Vec<LanguageId>,
}

impl Watch {
    /// What an evaluation asks for.
    pub(crate) fn new(eval: &Eval) -> Self {
        Self {
            phrases: eval.self_check.iter().map(|phrase| phrase.to_lowercase()).collect(),
            languages: eval.languages.iter().filter_map(|code| LanguageId::new(code)).collect(),
        }
    }

    /// The measures of a completion, 1 for yes and 0 for no.
    pub(crate) fn measures(&self, task: &Task, prompt: &str, text: &str) -> Vec<(String, f64)> {
        let told = |name: &str, yes: bool| (name.to_owned(), f64::from(u8::from(yes)));
        let mut measures = Vec::new();
        if !self.phrases.is_empty() {
            let thoughts = thoughts(text, Opening::of(prompt));
            let found = thoughts.iter().any(|thought| {
                let thought = thought.to_lowercase();
                self.phrases.iter().any(|phrase| holds(&thought, phrase))
            });
            measures.push(told(SELF_CHECK, found));
        }
        if self.languages.len() > 1 {
            let response = Response { prompt, ..Response::finished(text) };
            let spoken =
                self.languages.iter().filter(|language| language.verify(task, &response).score > 0.0);
            measures.push(told(LANGUAGE_MIXED, spoken.count() > 1));
        }
        measures
    }
}

/// Whether the phrase stands in the text with no letter on either side.
fn holds(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use crate::recipe::Eval;
    use ruminate_data::{Prompt, Task};

    fn measured(text: &str) -> Vec<f64> {
        let eval: Eval =
            toml::from_str("self_check = ['wait', 'halt']\nlanguages = ['en', 'de']").expect("valid");
        let task = Task {
            prompt: Prompt::Text("1+1=".into()),
            answer: String::new(),
            columns: serde_json::Map::new(),
        };
        Watch::new(&eval).measures(&task, "1+1=", text).into_iter().map(|(_, yes)| yes).collect()
    }

    #[test]
    fn a_step_back_and_a_second_language_are_seen_in_thoughts_only() {
        for (text, expected) in [
            ("<think>now 1+1=02;then 2+1=03</think>03", [0.0, 0.0]),
            ("<think>now 1+1=03;wait 1+1=02</think>02", [1.0, 0.0]),
            ("<think>jetzt 1+1=03;halt 1+1=02;dann 2+1=03</think>03", [1.0, 0.0]),
            ("<think>now 1+1=02;dann 2+1=03</think>03", [0.0, 1.0]),
            ("<think>dann 1+1=03;wait 1+1=02</think>02", [1.0, 1.0]),
            ("<think>now awaited 1+1=02</think>wait, dann 02", [0.0, 0.0]),
            ("<think></think>02", [0.0, 0.0]),
            ("<think>Wait", [1.0, 0.0]), // cut off while thinking
        ] {
            assert_eq!(measured(text), expected, "{text}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_measured() {
        let eval: Eval = toml::from_str("self_check = []").expect("valid");
        let task = Task {
            prompt: Prompt::Text(String::new()),
            answer: String::new(),
            columns: serde_json::Map::new(),
        };
        assert!(Watch::new(&eval).measures(&task, "", "<think>wait</think>").is_empty());
    }
}
