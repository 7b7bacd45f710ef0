//! `samples.jsonl`: every completion of an evaluation with its verdict, to be read by people, judged again, and compared
//! without sampling. It knows no model.

use crate::error::Refusal;
use crate::evaluator::Measured;
use anyhow::{Context, Result};
use ruminate_data::jsonl::{self, BadLines};
use ruminate_data::{Completion, FinishReason, Group, Outcome, Task, Verdict};
use ruminate_run::rows::set_name;
use ruminate_text::Renderer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// A completion of a problem. The problem's own columns stand in `task`.
#[derive(Serialize, Deserialize)]
struct Row {
    set: String,
    /// What the policy was made to begin with.
    forced: String,
    /// Place of the problem in its set.
    index: usize,
    /// Place among the problem's samples; absent of the greedy completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<usize>,
    task: Task,
    prompt_ids: Vec<u32>,
    completion_ids: Vec<u32>,
    text: String,
    finish_reason: FinishReason,
    verdict: Outcome,
    score: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extracted: Option<String>,
    why: String,
    rewards: Map<String, Value>,
}

/// Appends a set's completions.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write(out: &mut impl Write, measured: &Measured, renderer: &Renderer) -> Result<()> {
    let rows = |greedy: bool| {
        let groups = if greedy { &measured.greedy } else { &measured.sampled };
        measured.tasks.iter().zip(groups).enumerate().flat_map(move |(index, (task, group))| {
            let judged = group.completions.iter().zip(&group.verdicts).enumerate();
            judged.map(move |(sample, (completion, verdict))| Row {
                set: measured.set.clone(),
                forced: measured.forced.clone(),
                index,
                sample: (!greedy).then_some(sample),
                task: task.clone(),
                prompt_ids: completion.prompt_ids.clone(),
                completion_ids: completion.ids.clone(),
                text: renderer.text(&completion.ids),
                finish_reason: completion.finish_reason,
                verdict: verdict.outcome,
                score: verdict.score,
                extracted: verdict.extracted.clone(),
                why: verdict.why.clone(),
                rewards: verdict
                    .rewards
                    .iter()
                    .map(|(name, score)| (name.clone(), Value::from(*score)))
                    .collect(),
            })
        })
    };
    Ok(jsonl::write(out, rows(false).chain(rows(true)))?)
}

/// The sets of a file, in its order.
///
/// # Errors
/// With exit code 3: no such file, a bad line, problems out of their order.
pub(crate) fn read(path: &Path) -> Result<Vec<Measured>> {
    let rows = jsonl::objects(path, BadLines::Refuse).with_context(|| {
        format!("{}: expected the samples of an evaluation that `ruminate eval` made", path.display())
    })?;
    let mut sets: Vec<Measured> = Vec::new();
    for jsonl::Row { line, value } in rows.rows {
        let mut row: Row = serde_json::from_value(Value::Object(value)).map_err(|error| {
            Refusal::line(path, line, format!("expected a sample of an evaluation: {error}"))
        })?;
        row.set = set_name(&row.set);
        if sets.last().is_none_or(|set| set.set != row.set) {
            sets.push(Measured {
                set: row.set.clone(),
                forced: row.forced.clone(),
                tasks: Vec::new(),
                sampled: Vec::new(),
                greedy: Vec::new(),
            });
        }
        let Some(set) = sets.last_mut() else { continue };
        row.add_to(set).map_err(|reason| Refusal::line(path, line, reason))?;
    }
    Ok(sets)
}

impl Row {
    fn add_to(self, set: &mut Measured) -> Result<(), String> {
        let groups = if self.sample.is_some() { &mut set.sampled } else { &mut set.greedy };
        if self.index == groups.len() {
            groups.push(Group { task: self.index, completions: Vec::new(), verdicts: Vec::new() });
        }
        let count = groups.len();
        let Some(group) = groups.get_mut(self.index).filter(|_| self.index + 1 == count) else {
            return Err(format!("expected problem {count} or the one before, found {}", self.index));
        };
        let logprobs = vec![0.0; self.completion_ids.len()];
        group.completions.push(Completion::new(
            self.prompt_ids,
            self.completion_ids,
            logprobs,
            self.finish_reason,
        ));
        group.verdicts.push(Verdict {
            outcome: self.verdict,
            score: self.score,
            extracted: self.extracted,
            why: self.why,
            rewards: self
                .rewards
                .into_iter()
                .filter_map(|(name, score)| Some((name, score.as_f64()?)))
                .collect(),
        });
        if self.index == set.tasks.len() {
            set.tasks.push(self.task);
        }
        Ok(())
    }
}

/// The solve rate of each problem of a set, by its prompt; problems of which nothing was scored are left out.
pub(crate) fn solve_rates(set: &Measured) -> BTreeMap<String, f64> {
    let rates = set.tasks.iter().zip(&set.sampled);
    rates
        .filter_map(|(task, group)| Some((task.prompt.text(), ruminate_eval::metrics::solve_rate(group)?)))
        .collect()
}
