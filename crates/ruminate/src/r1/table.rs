//! The stage table: a row per model, figures as means over seeds, read from `eval.jsonl` and `complete.json` like any user
//! would.

use super::graph::{COMPLETE, Graph, evaluation_of};
use anyhow::{Context, Result};
use ruminate_run::rows::{Figures, Kind, Label, in_order, label};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Figures that have no column: what every row says alike, or what is a warning elsewhere.
const APART: [&str; 3] = ["n", "truncated", "unscored"];

/// The evaluations of a graph's models, one of each a seed.
pub(crate) struct Table {
    /// Rows of `eval.jsonl` by model, in the order of the seeds' folders.
    rows: BTreeMap<String, Vec<Figures>>,
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
        let mut rows: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
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
        let figures: Option<Vec<f64>> = self.rows.get(model)?.iter().map(|row| row.get(metric)).collect();
        figures.map(|figures| figures.iter().sum::<f64>() / figures.len() as f64)
    }

    pub(crate) fn models(&self) -> &[String] {
        &self.models
    }

    /// The table for people, in Markdown: shares in percent; the interval is one seed's, or the range over seeds. Every
    /// measure is a column.
    pub(crate) fn text(&self) -> String {
        let range = if self.seeds == 1 { "95 % interval" } else { "range over seeds" };
        let columns = self.columns();
        let headings = columns.iter().map(|name| match label(name) {
            Label { text, kind: Kind::Share } => format!("{text}, %"),
            Label { text, .. } => text.into_owned(),
        });
        let headings: Vec<String> =
            ["model", "pass@1, %", range].into_iter().map(str::to_owned).chain(headings).collect();
        let rule = "|---".repeat(headings.len());
        let mut text = format!("| {} |\n{rule}|\n", headings.join(" | "));
        for model in &self.models {
            let told = |name: &str| {
                let scale = if label(name).kind == Kind::Share { 100.0 } else { 1.0 };
                self.figure(model, name).map_or("-".to_owned(), |figure| format!("{:.1}", scale * figure))
            };
            let fixed = [model.clone(), told("pass@1"), self.interval(model)];
            let cells: Vec<String> = fixed.into_iter().chain(columns.iter().map(|name| told(name))).collect();
            text = text + "| " + &cells.join(" | ") + " |\n";
        }
        text
    }

    /// The figures beside pass@1, in their order.
    fn columns(&self) -> Vec<&str> {
        let rows = || self.rows.values().flatten();
        let names = rows().flat_map(|row| row.numbers.keys().map(String::as_str));
        let is_told = |name: &&str| !APART.contains(name) && !name.contains('@');
        let measures = in_order(names.filter(is_told));
        let at_k = rows().any(|row| row.get("cons@k").is_some()).then_some("cons@k");
        at_k.into_iter().chain(measures).collect()
    }

    fn interval(&self, model: &str) -> String {
        let rows = self.rows.get(model).map(Vec::as_slice).unwrap_or_default();
        let ends = match rows {
            [row] => row.interval.map(|[low, high]| (low, high)),
            rows => {
                let figures = || rows.iter().filter_map(|row| row.get("pass@1"));
                Some((figures().fold(f64::INFINITY, f64::min), figures().fold(f64::NEG_INFINITY, f64::max)))
            }
        };
        ends.map_or("-".to_owned(), |(low, high)| format!("{:.1}-{:.1}", 100.0 * low, 100.0 * high))
    }
}

/// The row of a set in an evaluation's `eval.jsonl`.
fn row(run: &Path, set: &str) -> Result<Figures> {
    let path = run.join("eval.jsonl");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run the pipeline to its end first", path.display()))?;
    for line in text.lines() {
        let row: Map<String, Value> =
            serde_json::from_str(line).with_context(|| path.display().to_string())?;
        let figures = Figures::of(&row).map_err(|wrong| {
            anyhow::anyhow!("{}: expected {}, found {}", path.display(), wrong.expected, wrong.found)
        })?;
        if figures.set == set {
            return Ok(figures);
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
    use super::{Table, reinforced};
    use ruminate_run::rows::Figures;
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
    fn every_measure_of_the_rows_is_a_column() {
        let row = json!({
            "step": 0, "set": "test", "n": 3, "pass@1": 0.5, "pass@1_ci": [0.4, 0.6], "pass@16": 0.9, "cons@16": 0.75,
            "completion_length_mean": 12.0, "truncated": 0.0, "unscored": 0, "measures": { "self_check": 0.25, "mine": 2.0 },
        });
        let figures = Figures::of(row.as_object().expect("an object")).expect("figures");
        let rows = [("zero".to_owned(), vec![figures])].into();
        let table = Table { rows, models: vec!["zero".to_owned()], seeds: 1 };
        assert_eq!(
            table.text(),
            "| model | pass@1, % | 95 % interval | cons@k, % | length, tokens | takes a step back, % | mine |\n\
             |---|---|---|---|---|---|---|\n\
             | zero | 50.0 | 40.0-60.0 | 75.0 | 12.0 | 25.0 | 2.0 |\n"
        );
    }
}
