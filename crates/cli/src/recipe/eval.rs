//! The small tables: `[distill]`, `[eval]`.

use super::Model;
use anyhow::Result;
use ruminate_rollout::{Sampling, SamplingError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Teacher, student, and how many traces are sampled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Distill {
    /// The teacher's folder; without it the final policy of `train-rl`, which is run first where it is missing.
    pub(crate) teacher: Option<PathBuf>,
    /// The student: a folder, or the `config.json` of one to be made.
    pub(crate) student: Option<Model>,
    /// Steps of `[pretrain]` that a student made anew gets before; 0 starts from random weights.
    pub(crate) pretrain_steps: usize,
    /// Problems that the teacher is asked.
    pub(crate) prompts: usize,
    /// Samples a problem, and which of them are learned.
    #[serde(flatten)]
    pub(crate) traces: ruminate_distill::Config,
}

impl Default for Distill {
    fn default() -> Self {
        let traces = ruminate_distill::Config::default();
        Self { teacher: None, student: None, pretrain_steps: 0, prompts: 1000, traces }
    }
}

impl Distill {
    pub(crate) fn validate(&self) -> Result<()> {
        from_one("prompts", self.prompts)?;
        Ok(self.traces.validate()?)
    }
}

/// What is measured before and after, on problems that training never sees.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Eval {
    /// Problems of a set.
    pub(crate) n: usize,
    /// Samples a problem; greedy decoding comes on top.
    pub(crate) num_samples: usize,
    /// Divides the logits.
    pub(crate) temperature: f64,
    /// Nucleus.
    pub(crate) top_p: f64,
    /// Whether the held-out problems are also asked with an empty thought put into the policy's mouth.
    pub(crate) empty_thought: bool,
    /// Steps between two files of completions; 0 writes none.
    pub(crate) completions_steps: usize,
}

impl Default for Eval {
    fn default() -> Self {
        Self {
            n: 200,
            num_samples: 16,
            temperature: 1.0,
            top_p: 1.0,
            empty_thought: true,
            completions_steps: 10,
        }
    }
}

impl Eval {
    pub(crate) fn validate(&self) -> Result<()> {
        from_one("n", self.n)?;
        from_one("num_samples", self.num_samples)?;
        Ok(self.sampling(1).validate()?)
    }

    /// Sampling of an evaluation; the length limit is training's.
    pub(crate) fn sampling(&self, max_new_tokens: usize) -> Sampling {
        Sampling { temperature: self.temperature, top_p: self.top_p, max_new_tokens, ..Sampling::default() }
    }
}

fn from_one(key: &'static str, count: usize) -> Result<()> {
    if count == 0 {
        return Err(SamplingError { key, found: 0.0, expected: "a whole number from 1" }.into());
    }
    Ok(())
}
