//! The rows of `eval.jsonl`: what a policy did on a set of problems, or its loss on samples that training never sees.

use super::figures::renamed_measure;
use super::set_name;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What an evaluation found. Shares lie in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Evaluation {
    /// The step of training after which it was taken; 0 is before training.
    pub step: u64,
    /// The set's name: `validation`, ...
    pub set: String,
    /// Number of problems.
    pub n: usize,
    /// The chance that one sample solves a problem: the mean over problems of the mean over their samples. None where
    /// every completion was cut off at the length limit: then the limit was measured, and not the policy.
    #[serde(rename = "pass@1")]
    pub pass_at_1: Option<f64>,
    /// The 95 % confidence interval of `pass_at_1`, low and high, by bootstrap over problems.
    #[serde(rename = "pass@1_ci")]
    pub pass_at_1_ci: Option<[f64; 2]>,
    /// pass@1 of greedy decoding, where it was asked for and not every such completion was cut off.
    #[serde(rename = "pass@1_greedy", skip_serializing_if = "Option::is_none")]
    pub pass_at_1_greedy: Option<f64>,
    /// Measures of more than one sample per problem; absent with one.
    #[serde(flatten)]
    pub at_k: Option<AtK>,
    /// Mean length of a completion in tokens, the ending token included.
    pub completion_length_mean: f64,
    /// Share of completions that reached the length limit.
    pub truncated: f64,
    /// The mean of every component of the reward and of every measure, by its name, over the scored completions that have
    /// it: `format`, `thought_length` (tokens), ...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
    /// Completions, greedy ones included, that no verifier could judge: they are in none of the means.
    pub unscored: usize,
    /// The same by task, where there is more than one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, Slice>,
    /// The same by difficulty, where there is more than one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub difficulties: BTreeMap<String, Slice>,
}

/// The metrics over `k` samples per problem: the keys `pass@{k}` and `cons@{k}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtK {
    /// Samples per problem, at least 2.
    pub k: usize,
    /// The chance that at least one of `k` samples is correct; `None` when no problem has all of them scored.
    pub pass: Option<f64>,
    /// Share of problems whose majority answer is correct; `None` where every completion was cut off.
    pub cons: Option<f64>,
}

/// What an evaluation found on the problems of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Number of problems.
    pub n: usize,
    /// The mean over problems of the mean over their samples.
    #[serde(rename = "pass@1")]
    pub pass_at_1: f64,
    /// Its 95 % confidence interval, by bootstrap over these problems.
    #[serde(rename = "pass@1_ci")]
    pub pass_at_1_ci: [f64; 2],
    /// Share of problems whose majority answer is correct.
    pub cons: f64,
    /// Mean length of a completion in tokens.
    pub completion_length_mean: f64,
}

/// The loss of a policy on samples that training never sees: what supervised runs measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationLoss {
    /// The step of training after which it was taken; 0 is before training.
    pub step: u64,
    /// The set's name.
    pub set: String,
    /// Number of samples.
    pub n: usize,
    /// Mean over the tokens with loss, in nats; null where it is not finite.
    pub loss: Option<f64>,
    /// Tokens with loss.
    pub tokens: usize,
    /// e to the loss.
    pub perplexity: Option<f64>,
}

/// A row as it stands in the file, of this version or of 0.1.
#[derive(Deserialize)]
struct Stored {
    step: u64,
    set: String,
    n: usize,
    #[serde(rename = "pass@1")]
    pass_at_1: Option<f64>,
    #[serde(rename = "pass@1_ci")]
    pass_at_1_ci: Option<[f64; 2]>,
    #[serde(rename = "pass@1_greedy")]
    pass_at_1_greedy: Option<f64>,
    completion_length_mean: f64,
    truncated: f64,
    #[serde(default)]
    measures: BTreeMap<String, f64>,
    unscored: usize,
    #[serde(default)]
    tasks: BTreeMap<String, Slice>,
    #[serde(default)]
    difficulties: BTreeMap<String, Slice>,
    /// `pass@K` and `cons@K`, and in version 0.1 a key a measure.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl From<Stored> for Evaluation {
    fn from(stored: Stored) -> Self {
        let Stored { mut measures, rest, .. } = stored;
        for (name, value) in &rest {
            if let (Some(name), Some(value)) = (renamed_measure(name), value.as_f64()) {
                measures.entry(name.to_owned()).or_insert(value);
            }
        }
        Self {
            step: stored.step,
            set: set_name(&stored.set),
            n: stored.n,
            pass_at_1: stored.pass_at_1,
            pass_at_1_ci: stored.pass_at_1_ci,
            pass_at_1_greedy: stored.pass_at_1_greedy,
            at_k: AtK::of(&rest),
            completion_length_mean: stored.completion_length_mean,
            truncated: stored.truncated,
            measures,
            unscored: stored.unscored,
            tasks: stored.tasks,
            difficulties: stored.difficulties,
        }
    }
}

impl AtK {
    /// Of the keys of a row.
    fn of(row: &Map<String, Value>) -> Option<Self> {
        let k = row.keys().find_map(|name| name.strip_prefix("cons@")?.parse::<usize>().ok())?;
        let number = |name: &str| row.get(&format!("{name}@{k}")).and_then(Value::as_f64);
        Some(Self { k, pass: number("pass"), cons: number("cons") })
    }
}

impl Serialize for AtK {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(&format!("pass@{}", self.k), &self.pass)?;
        map.serialize_entry(&format!("cons@{}", self.k), &self.cons)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{AtK, Evaluation};
    use serde_json::json;

    #[test]
    fn a_row_of_version_0_1_has_the_names_of_today() {
        let row = json!({
            "step": 60, "set": "held_out", "n": 200, "pass@1": 0.5, "pass@1_ci": [0.4, 0.6], "pass@1_greedy": 0.75,
            "pass@16": 0.9, "cons@16": 0.8, "completion_length_mean": 30.5, "thought_length_mean": 21.0, "truncated": 0.0,
            "well_formed": 0.97, "all_steps": 0.9, "self_check": 0.1, "unscored": 0,
        });
        let evaluation: Evaluation = serde_json::from_value(row).expect("a row of version 0.1");
        assert_eq!(evaluation.set, "validation");
        assert_eq!(evaluation.at_k, Some(AtK { k: 16, pass: Some(0.9), cons: Some(0.8) }));
        let measures: Vec<(&str, f64)> =
            evaluation.measures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            measures,
            [("all_steps", 0.9), ("format", 0.97), ("self_check", 0.1), ("thought_length", 21.0)]
        );
        let written = serde_json::to_value(&evaluation).expect("plain data");
        assert_eq!(written["measures"]["format"], 0.97);
        assert_eq!(serde_json::from_value::<Evaluation>(written).expect("its own row"), evaluation);
    }
}
