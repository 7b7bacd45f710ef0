//! Metrics of a thought that no reward pays for: whether it takes a step back, and whether it mixes
//! languages.

use ruminate_data::Task;
use ruminate_reward::tags::{Opening, thoughts};
use ruminate_reward::{LanguageId, Response, Verifier};

/// What to look for in thoughts.
///
/// ```
/// use ruminate_data::Task;
/// use ruminate_env::TextMetrics;
///
/// let metrics = TextMetrics::new(&["wait".to_owned()], &[]);
/// let task = Task::new("1+1=", "2");
/// let measured = metrics.measures(&task, "1+1=", "<think>3? wait, 2</think><answer>2</answer>");
/// assert_eq!(measured, [(TextMetrics::SELF_CHECK.to_owned(), 1.0)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TextMetrics {
    /// In lower case.
    phrases: Vec<String>,
    languages: Vec<LanguageId>,
}

impl TextMetrics {
    /// The metric of a thought that takes a step back.
    pub const SELF_CHECK: &'static str = "self_check";

    /// The metric of a thought in more than one language.
    pub const LANGUAGE_MIXED: &'static str = "language_mixed";

    /// `phrases` are those by which a thought takes a step back, in any case; `languages` those that a
    /// thought may be in, by ISO 639-1 code; a code that [`LanguageId::codes`] lacks is ignored. Without
    /// phrases [`SELF_CHECK`](Self::SELF_CHECK) is not measured, with fewer than two languages
    /// [`LANGUAGE_MIXED`](Self::LANGUAGE_MIXED) is not.
    pub fn new(phrases: &[String], languages: &[String]) -> Self {
        Self {
            phrases: phrases.iter().map(|phrase| phrase.to_lowercase()).collect(),
            languages: languages.iter().filter_map(|code| LanguageId::new(code)).collect(),
        }
    }

    /// The metrics of a completion by name, 1 for yes and 0 for no. `prompt` is the rendered one: it may
    /// have opened the thought.
    pub fn measures(&self, task: &Task, prompt: &str, text: &str) -> Vec<(String, f64)> {
        let measure = |name: &str, yes: bool| (name.to_owned(), f64::from(u8::from(yes)));
        let mut measures = Vec::new();
        if !self.phrases.is_empty() {
            let thoughts = thoughts(text, Opening::of(prompt));
            let found = thoughts.iter().any(|thought| {
                let thought = thought.to_lowercase();
                self.phrases.iter().any(|phrase| holds(&thought, phrase))
            });
            measures.push(measure(Self::SELF_CHECK, found));
        }
        if self.languages.len() > 1 {
            let response = Response { prompt, ..Response::finished(text) };
            let found = self.languages.iter().filter(|language| language.verify(task, &response).score > 0.0);
            measures.push(measure(Self::LANGUAGE_MIXED, found.count() > 1));
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
    use super::TextMetrics;
    use ruminate_data::Task;

    fn metrics(phrases: &[&str], languages: &[&str]) -> TextMetrics {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        TextMetrics::new(&owned(phrases), &owned(languages))
    }

    #[test]
    fn a_step_back_and_a_second_language_are_seen_in_thoughts_only() {
        let metrics = metrics(&["wait", "halt"], &["en", "de"]);
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
            let measured = metrics.measures(&Task::new("1+1=", ""), "1+1=", text);
            let values: Vec<f64> = measured.into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, expected, "{text}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_measured() {
        let task = Task::new("", "");
        assert!(metrics(&[], &["en"]).measures(&task, "", "<think>wait</think>").is_empty());
        assert!(metrics(&[], &["en", "xx"]).measures(&task, "", "<think>wait</think>").is_empty());
    }
}
