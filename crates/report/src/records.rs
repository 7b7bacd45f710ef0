//! What a line of each log of a run folder says. It refuses to know where the logs lie, and which are read.

use crate::lines::{ALARMS, mismatch, step};
use ruminate_data::jsonl::Mismatch;
use ruminate_data::{FinishReason, Outcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A row of `eval.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The step of training after which it was taken.
    pub step: u64,
    /// The set of problems.
    pub set: String,
    /// The 95 % interval of pass@1.
    pub interval: Option<[f64; 2]>,
    /// Everything else that is a number.
    pub numbers: BTreeMap<String, f64>,
}

/// An alarm of a row of `metrics.jsonl` or `eval.jsonl`: a step at which the run looked like one that learns nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The step that raised it.
    pub step: u64,
    /// Its name, which is its key in the recipe's `[alarms]`.
    pub name: String,
    /// What was found, and what to do.
    pub advice: String,
}

/// A row of `moe.jsonl`: tokens by expert.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Load {
    /// The step.
    pub step: u64,
    /// `[moe layers][experts]`
    pub load: Vec<Vec<u64>>,
}

/// A row of `samples/step-000000.jsonl`: what was written on a problem of an evaluation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sample {
    /// The step of the evaluation.
    pub step: u64,
    /// The set of problems.
    pub set: String,
    /// The problem's place in it.
    pub index: u64,
    /// The problem.
    pub prompt: String,
    /// Its right answer, where there is one to show.
    #[serde(default)]
    pub answer: String,
    /// The completion.
    pub text: String,
    /// The verdict.
    pub verdict: Outcome,
    /// Its reason.
    #[serde(default)]
    pub why: String,
}

/// A row of `completions/step-000010.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Completion {
    /// The step that it was sampled for.
    pub step: u64,
    /// The problem's index.
    pub index: u64,
    /// Which of its siblings.
    pub sample: u64,
    /// The prompt as the policy saw it.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
    /// Log-probabilities of its tokens when they were sampled.
    #[serde(default)]
    pub logprobs: Vec<Option<f64>>,
    /// Better than its siblings, or worse.
    pub advantage: Option<f64>,
    /// The verdict.
    pub verdict: Outcome,
    /// Its reason.
    #[serde(default)]
    pub why: String,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// A row of `tokens/step-000010.jsonl`: a completion token by token, looked at again after the step's update.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TokenRow {
    /// The step.
    pub step: u64,
    /// The problem's index.
    pub index: u64,
    /// Which of its siblings.
    pub sample: u64,
    /// The tokens as text.
    pub tokens: Vec<String>,
    /// Probability after the update over that when sampled.
    #[serde(default)]
    pub ratio: Vec<Option<f64>>,
    /// Entropy of the distribution that each was drawn from, after the update, in nats.
    #[serde(default)]
    pub entropy: Vec<Option<f64>>,
    /// `[moe layers][tokens][chosen]`: the experts that compute each token.
    #[serde(default)]
    pub experts: Vec<Vec<Vec<u32>>>,
}

pub(crate) fn typed<T: DeserializeOwned>(row: Map<String, Value>) -> Result<T, Mismatch> {
    serde_json::from_value(Value::Object(row))
        .map_err(|error| Mismatch { expected: "the keys of such a row".to_owned(), found: error.to_string() })
}

/// The alarms of a row; none where it has no such key.
pub(crate) fn alarms(row: &Map<String, Value>) -> Result<Vec<Alarm>, Mismatch> {
    let Some(alarms) = row.get(ALARMS) else { return Ok(Vec::new()) };
    let expected =
        || mismatch("`alarms` to be a list of objects with texts `name` and `advice`", "something else");
    let step = step(row)?;
    let alarm = |alarm: &Value| {
        let text = |key: &str| alarm.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(expected);
        Ok(Alarm { step, name: text("name")?, advice: text("advice")? })
    };
    alarms.as_array().ok_or_else(expected)?.iter().map(alarm).collect()
}

pub(crate) fn evaluation(row: Map<String, Value>) -> Result<Evaluation, Mismatch> {
    let set = row.get("set").and_then(Value::as_str);
    let set = set.ok_or_else(|| mismatch("a text `set`", "none"))?.to_owned();
    let interval = match row.get("pass@1_ci") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let pair = serde_json::from_value::<[f64; 2]>(value.clone());
            Some(pair.map_err(|_| mismatch("`pass@1_ci` to be two numbers", "something else"))?)
        }
    };
    let step = step(&row)?;
    let number = |(name, value): (String, Value)| Some((name, value.as_f64()?));
    let numbers = row.into_iter().filter(|(name, _)| name != "step").filter_map(number).collect();
    Ok(Evaluation { step, set, interval, numbers })
}
