//! The stage table: a row per model, figures as means over seeds, read from `eval.jsonl` and `complete.json` like any user
//! would.

use super::graph::{COMPLETE, Graph, evaluation_of};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The evaluations of a graph's models, one of each a seed.
pub(crate) struct Table {
    /// Rows of `eval.jsonl` by model, in the order of the seeds' folders.
    rows: BTreeMap<String, Vec<Value>>,
    /// Models in the order of the graph.
    models: Vec<String>,
    seeds: usize,
}

impl Table {
    /// Reads the evaluations of pipelines, each of the same graph with another seed.
    ///
    /// # Errors
    /// A model without its evaluation.
    pub(crate) fn read(graph: &Graph, outs: &[PathBuf]) -> Result<Self> {
        let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for out in outs {
            for model in &graph.evaluate.models {
                let row = row(&out.join(evaluation_of(model)), &graph.evaluate.set)?;
                rows.entry(model.clone()).or_default().push(row);
            }
        }
        Ok(Self { rows, models: graph.evaluate.models.clone(), seeds: outs.len() })
    }

    /// A model's figure, the mean over seeds; `None` where its evaluation has no such figure.
    pub(crate) fn figure(&self, model: &str, metric: &str) -> Option<f64> {
        let figures: Option<Vec<f64>> = self.rows.get(model)?.iter().map(|row| figure(row, metric)).collect();
        figures.map(|figures| figures.iter().sum::<f64>() / figures.len() as f64)
    }

    pub(crate) fn models(&self) -> &[String] {
        &self.models
    }

    /// The table for people, in Markdown: shares in percent; the interval is one seed's, or the range over seeds.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "| model | pass@1, % | {} | cons@k, % | length | thought | self-check, % | mixed, % |\n|---|---|---|---|---|---|---|---|\n",
            if self.seeds == 1 { "95 % interval" } else { "range over seeds" }
        );
        for model in &self.models {
            let share = |metric: &str| cell(self.figure(model, metric).map(|share| 100.0 * share));
            let count = |metric: &str| cell(self.figure(model, metric));
            let cells = [
                model.clone(),
                share("pass@1"),
                self.interval(model),
                share("cons@k"),
                count("completion_length_mean"),
                count("thought_length_mean"),
                share("self_check"),
                share("language_mixed"),
            ];
            text = text + "| " + &cells.join(" | ") + " |\n";
        }
        text
    }

    fn interval(&self, model: &str) -> String {
        let rows = self.rows.get(model).map(Vec::as_slice).unwrap_or_default();
        let ends = match rows {
            [row] => row["pass@1_ci"][0].as_f64().zip(row["pass@1_ci"][1].as_f64()),
            rows => {
                let figures = || rows.iter().filter_map(|row| figure(row, "pass@1"));
                Some((figures().fold(f64::INFINITY, f64::min), figures().fold(f64::NEG_INFINITY, f64::max)))
            }
        };
        ends.map_or("-".to_owned(), |(low, high)| format!("{:.1}-{:.1}", 100.0 * low, 100.0 * high))
    }
}

/// A row's figure. `cons@k` and `pass@k` stand for whatever k the row has.
fn figure(row: &Value, metric: &str) -> Option<f64> {
    let Some(name) = metric.strip_suffix("@k") else { return row.get(metric)?.as_f64() };
    let of_k =
        |key: &str| key.strip_prefix(name).and_then(|rest| rest.strip_prefix('@')?.parse::<u32>().ok());
    row.as_object()?
        .iter()
        .find(|(key, _)| of_k(key).is_some_and(|k| k > 1))
        .and_then(|(_, value)| value.as_f64())
}

fn cell(number: Option<f64>) -> String {
    number.map_or("-".to_owned(), |number| format!("{number:.1}"))
}

/// The row of a set in an evaluation's `eval.jsonl`.
fn row(run: &Path, set: &str) -> Result<Value> {
    let path = run.join("eval.jsonl");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run the pipeline to its end first", path.display()))?;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        if row["set"] == set {
            return Ok(row);
        }
    }
    anyhow::bail!("{}: expected a row of the set `{set}`, found none", path.display())
}

/// What a stage took: tokens times active parameters, once for a forward pass and three times for a training step, which
/// runs backward, too. Reinforcement samples everything and trains on the groups whose rewards differ, step by step.
///
/// # Errors
/// A stage that is not complete, or does not say.
pub(crate) fn compute(out: &Path, stage: &str, command: &str) -> Result<f64> {
    let run = out.join(stage);
    let path = run.join(COMPLETE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let complete: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let taken = &complete["summary"]["compute"];
    let number = |key: &str| {
        taken[key].as_f64().with_context(|| format!("{}: expected `summary.compute.{key}`", path.display()))
    };
    let (tokens, parameters) = (number("num_tokens")?, number("active_parameters")?);
    let passes = match command {
        "distill" | "eval" => tokens,
        "train-rl" => reinforced(&run)?,
        _ => 3.0 * tokens,
    };
    Ok(passes * parameters)
}

/// Tokens of a GRPO run, each as often as it passed the model.
fn reinforced(run: &Path) -> Result<f64> {
    let path = run.join("metrics.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut passes, mut before) = (0.0, 0.0);
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        let number = |key: &str| {
            row[key].as_f64().with_context(|| format!("{}: expected `{key}` in every row", path.display()))
        };
        let so_far = number("num_tokens")?;
        // Null where nothing was scored: then no group trained.
        let is_unscored = row.get("frac_reward_zero_std").is_some_and(Value::is_null);
        let trained = if is_unscored { 0.0 } else { 1.0 - number("frac_reward_zero_std")? };
        passes += (so_far - before) * (1.0 + 3.0 * trained);
        before = so_far;
    }
    Ok(passes)
}

#[cfg(test)]
mod tests {
    use super::{figure, reinforced};
    use serde_json::json;
    use std::fs;

    #[test]
    fn a_step_without_verdicts_trains_on_no_token() {
        let run = tempfile::tempdir().expect("a folder");
        let write = |rows: &str| fs::write(run.path().join("metrics.jsonl"), rows).expect("written");
        let first = r#"{"num_tokens": 10, "frac_reward_zero_std": 0.5}"#;
        write(&format!("{first}\n{{\"num_tokens\": 30, \"frac_reward_zero_std\": null}}\n"));
        assert_eq!(reinforced(run.path()).expect("numbers"), 10.0 * 2.5 + 20.0);
        write(&format!("{first}\n{{\"num_tokens\": 30}}\n"));
        assert!(reinforced(run.path()).is_err(), "a row without the key");
    }

    #[test]
    fn at_k_stands_for_whatever_k_there_is() {
        let row = json!({ "pass@1": 0.5, "pass@16": 0.9, "cons@16": 0.7, "n": 3 });
        assert_eq!(figure(&row, "pass@1"), Some(0.5));
        assert_eq!(figure(&row, "pass@k"), Some(0.9));
        assert_eq!(figure(&row, "cons@k"), Some(0.7));
        assert_eq!(figure(&row, "language_mixed"), None);
    }
}
