//! The figures of a row of `eval.jsonl` by name, whatever was measured, and what a table calls them.

use super::{mismatch, set_name, step};
use ruminate_data::jsonl::Mismatch;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A row of `eval.jsonl` as its numbers. A measure goes by its own name, beside `pass@1`, `truncated`, `loss` and the others
/// of the row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The step of training after which they were measured.
    pub step: u64,
    /// The set of problems.
    pub set: String,
    /// The 95 % interval of pass@1.
    pub interval: Option<[f64; 2]>,
    /// Everything else that is a number.
    pub numbers: BTreeMap<String, f64>,
}

/// Whether a figure is a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0..=1, told in percent.
    Share,
    /// Any number, told as it is.
    Number,
}

/// What a table calls a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its heading.
    pub text: Cow<'a, str>,
    /// How its number is told.
    pub kind: Kind,
}

/// Figures that have a label of their own, in the order of tables. A measure that is not here is called by its name.
const LABELS: [(&str, &str, Kind); 12] = [
    ("pass@1_greedy", "greedy", Kind::Share),
    ("completion_length_mean", "length, tokens", Kind::Number),
    ("truncated", "cut off", Kind::Share),
    ("thought_length", "thought, tokens", Kind::Number),
    ("format", "well-formed", Kind::Share),
    ("all_steps", "all steps shown", Kind::Share),
    ("self_check", "takes a step back", Kind::Share),
    ("language_mixed", "mixes languages", Kind::Share),
    ("unscored", "unscored", Kind::Number),
    ("loss", "loss, nats per token", Kind::Number),
    ("perplexity", "perplexity", Kind::Number),
    ("tokens", "tokens with loss", Kind::Number),
];

/// Measures that had another key in version 0.1: the key, and the measure.
const RENAMED: [(&str, &str); 5] = [
    ("thought_length_mean", "thought_length"),
    ("well_formed", "format"),
    ("all_steps", "all_steps"),
    ("self_check", "self_check"),
    ("language_mixed", "language_mixed"),
];

/// The measure that a key of a row of version 0.1 is.
pub(super) fn renamed_measure(key: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == key).map(|(_, name)| *name)
}

/// What a table calls a figure.
///
/// ```
/// use ruminate_run::rows::{Kind, label};
///
/// assert_eq!(label("format").text, "well-formed");
/// assert_eq!((label("pass@16").kind, label("my_measure").text), (Kind::Share, "my_measure".into()));
/// ```
pub fn label(name: &str) -> Label<'_> {
    let known = LABELS.iter().find(|(known, ..)| *known == name);
    let is_at_k = name.starts_with("pass@") || name.starts_with("cons@");
    match known {
        Some((_, text, kind)) => Label { text: Cow::Borrowed(text), kind: *kind },
        None => Label { text: Cow::Borrowed(name), kind: if is_at_k { Kind::Share } else { Kind::Number } },
    }
}

/// Names without repetition in the order of tables: those with a label of their own, then the others by name.
pub fn in_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| {
        (LABELS.iter().position(|(known, ..)| known == name).unwrap_or(LABELS.len()), *name)
    });
    names.dedup();
    names
}

impl Figures {
    /// Of a row, also of one that has other numbers than the rows of this version.
    ///
    /// # Errors
    /// A row without its step or its set, and an interval that is not two numbers.
    pub fn of(row: &Map<String, Value>) -> Result<Self, Mismatch> {
        let set = row.get("set").and_then(Value::as_str).ok_or_else(|| mismatch("a text `set`", "none"))?;
        let interval = match row.get("pass@1_ci") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let pair = serde_json::from_value::<[f64; 2]>(value.clone());
                Some(pair.map_err(|_| mismatch("`pass@1_ci` to be two numbers", "something else"))?)
            }
        };
        let mut numbers = BTreeMap::new();
        for (name, value) in row.iter().filter(|(name, _)| *name != "step") {
            if let Some(number) = value.as_f64() {
                numbers.insert(renamed_measure(name).unwrap_or(name).to_owned(), number);
            }
        }
        for (name, value) in row.get("measures").and_then(Value::as_object).into_iter().flatten() {
            numbers.extend(value.as_f64().map(|number| (name.clone(), number)));
        }
        Ok(Self { step: step(row)?, set: set_name(set), interval, numbers })
    }

    /// A figure by its name, or by its name in version 0.1; `pass@k` and `cons@k` stand for whatever k above 1 there is.
    pub fn get(&self, name: &str) -> Option<f64> {
        let name = renamed_measure(name).unwrap_or(name);
        let Some(prefix) = name.strip_suffix("@k") else { return self.numbers.get(name).copied() };
        let of_k = |key: &str| key.strip_prefix(prefix)?.strip_prefix('@')?.parse::<u32>().ok();
        self.numbers.iter().find(|(key, _)| of_k(key).is_some_and(|k| k > 1)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, in_order};
    use serde_json::{Value, json};

    fn figures(row: &Value) -> Figures {
        Figures::of(row.as_object().expect("an object")).expect("figures")
    }

    #[test]
    fn measures_are_figures_in_this_version_and_in_0_1() {
        let now = json!({ "step": 1, "set": "test", "n": 3, "measures": { "format": 0.5, "mine": 2.0 } });
        let then = json!({ "step": 1, "set": "fresh", "n": 3, "well_formed": 0.5, "mine": 2.0 });
        assert_eq!(figures(&now), figures(&then));
        assert_eq!(
            figures(&now).get("well_formed"),
            Some(0.5),
            "a graph of version 0.1 asks by the old name"
        );
    }

    #[test]
    fn at_k_stands_for_whatever_k_there_is() {
        let row = json!({ "step": 0, "set": "s", "pass@1": 0.5, "pass@16": 0.9, "cons@16": 0.7, "n": 3 });
        let figures = figures(&row);
        assert_eq!(figures.get("pass@1"), Some(0.5));
        assert_eq!(figures.get("pass@k"), Some(0.9));
        assert_eq!(figures.get("cons@k"), Some(0.7));
        assert_eq!(figures.get("language_mixed"), None);
    }

    #[test]
    fn known_figures_come_first_and_each_once() {
        let names = ["zeta", "format", "thought_length", "alpha", "format"];
        assert_eq!(in_order(names), ["thought_length", "format", "alpha", "zeta"]);
    }
}
