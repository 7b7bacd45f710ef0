//! Rows about what a policy wrote, and about its experts; alarms, which stand in the rows of other logs.

use super::{mismatch, step};
use ruminate_data::jsonl::Mismatch;
use ruminate_data::{FinishReason, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The key of a row under which the step's alarms lie, where it raised some.
pub const ALARMS: &str = "alarms";

/// A step at which the run looked like one that learns nothing, or the wrong thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The step, where the row around does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Its name, which is its key in the recipe's `[alarms]`.
    pub name: String,
    /// The metric that raised it.
    #[serde(default)]
    pub metric: String,
    /// Its value; none where it is not finite.
    #[serde(default)]
    pub value: Option<f64>,
    /// What was found, and what to do.
    pub advice: String,
}

/// The alarms of a row, with its step; none where it has no such key.
///
/// # Errors
/// A key [`ALARMS`] that holds something else.
pub fn alarms(row: &Map<String, Value>) -> Result<Vec<Alarm>, Mismatch> {
    let Some(alarms) = row.get(ALARMS) else { return Ok(Vec::new()) };
    let step = Some(step(row)?);
    let alarms: Vec<Alarm> = serde_json::from_value(alarms.clone()).map_err(|_| {
        mismatch("`alarms` to be a list of objects with texts `name` and `advice`", "something else")
    })?;
    Ok(alarms.into_iter().map(|alarm| Alarm { step, ..alarm }).collect())
}

/// A row of `moe.jsonl`: tokens by expert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpertLoad {
    /// The step.
    pub step: u64,
    /// `[moe layers][experts]`
    pub load: Vec<Vec<u64>>,
}

/// A row of `samples/step-000000.jsonl`: what was written on a problem of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The step of the evaluation.
    #[serde(default)]
    pub step: u64,
    /// The set of problems.
    #[serde(default)]
    pub set: String,
    /// The problem's place in it.
    #[serde(default)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The same as token ids.
    #[serde(default)]
    pub completion_ids: Vec<u32>,
    /// Log-probabilities of its tokens when they were sampled, natural logarithm.
    #[serde(default)]
    pub logprobs: Vec<Option<f32>>,
    /// The unweighted components of its reward, by name.
    #[serde(default)]
    pub rewards: Map<String, Value>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
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
    pub ratio: Vec<Option<f32>>,
    /// Entropy of the distribution that each was drawn from, after the update, in nats.
    #[serde(default)]
    pub entropy: Vec<Option<f32>>,
    /// `[moe layers][tokens][chosen]`: the experts that compute each token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experts: Vec<Vec<Vec<u32>>>,
}
