//! What a finished run prints, also when it is run again: tables, and a few completions with the thought dimmed.

use crate::evaluator::validation;
use crate::evaluator::{Evaluated, evaluations_of_step};
use crate::observer::{alarms, small};
use crate::printable::{self, harmless, harmless_line};
use crate::thoughts::{self, Look};
use anyhow::Result;
use ruminate_data::Outcome;
use ruminate_eval::{Evaluation, Slice, cut_off, slice_table, table};
use ruminate_run::RunFolder;
use ruminate_run::rows::{Alarm, Sample};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Problems whose samples are shown.
const SHOWN: usize = 3;

/// What is kept of a run's evaluations: the summary in `complete.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    columns: Vec<Column>,
    /// The alarms of the run, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<Alarm>,
}

/// One policy.
#[derive(Debug, Serialize, Deserialize)]
struct Column {
    heading: String,
    #[serde(alias = "reports")] // their name in version 0.1
    evaluations: Vec<Evaluation>,
    samples: Vec<Sample>,
    #[serde(default)]
    expert_load: Vec<Vec<f64>>,
}

impl Summary {
    /// Adds a policy's evaluation.
    pub(crate) fn add(&mut self, heading: &str, evaluated: Evaluated) {
        let Evaluated { evaluations, mut samples, expert_load } = evaluated;
        samples.truncate(SHOWN);
        self.columns.push(Column { heading: heading.to_owned(), evaluations, samples, expert_load });
    }

    /// Adds what was measured at a step of training; of an earlier process only the rows are left.
    pub(crate) fn add_step(
        &mut self,
        heading: &str,
        measured: Option<Evaluated>,
        folder: &RunFolder,
        step: usize,
    ) {
        let rows = || Evaluated { evaluations: evaluations_of_step(folder, step), ..Evaluated::default() };
        self.add(heading, measured.unwrap_or_else(rows));
    }

    /// Adds the alarms that the run's logs have.
    pub(crate) fn add_alarms(&mut self, folder: &RunFolder) {
        self.alarms = alarms::of_logs(folder);
    }

    /// The rows of all policies: one per policy and set of problems.
    pub fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.columns.iter().flat_map(|column| &column.evaluations)
    }

    /// For `complete.json`.
    ///
    /// # Errors
    /// None for finite numbers.
    pub(crate) fn to_value(&self) -> Result<Value> {
        Ok(serde_json::to_value(self)?)
    }

    /// Tables and samples, for people.
    pub fn text(&self, look: Look) -> String {
        let mut sets: Vec<&str> = Vec::new();
        for row in self.columns.iter().flat_map(|column| &column.evaluations) {
            if !sets.contains(&row.set.as_str()) {
                sets.push(&row.set);
            }
        }
        let mut text = String::new(); // writing to it cannot fail
        for set in sets {
            let columns: Vec<(&str, &Evaluation)> = self
                .columns
                .iter()
                .filter_map(|column| {
                    Some((column.heading.as_str(), column.evaluations.iter().find(|row| row.set == set)?))
                })
                .collect();
            text = text + "\n" + &harmless_line(set) + "\n" + &harmless(&table(&columns));
            let parts = |of: fn(&Evaluation) -> &BTreeMap<String, Slice>| -> Vec<_> {
                columns.iter().map(|(heading, row)| (*heading, of(row))).collect()
            };
            text += &harmless(&slice_table("pass@1 by task", &parts(|row| &row.tasks)));
            text += &harmless(&slice_table("pass@1 by difficulty", &parts(|row| &row.difficulties)));
            for line in cut_off(&columns) {
                let _ = writeln!(text, "{}", harmless(&printable::wrapped(&format!("warning: {line}"))));
            }
        }
        if !self.alarms.is_empty() {
            text += "\nalarms\n";
        }
        for raised in &self.alarms {
            let _ =
                writeln!(text, "{}", harmless(&printable::wrapped(&format!("  {}", alarms::line(raised)))));
        }
        for column in self.columns.iter().filter(|column| !column.expert_load.is_empty()) {
            let _ = writeln!(
                text,
                "\nexperts of {}: share of a layer's choices, %",
                harmless_line(&column.heading)
            );
            for (layer, shares) in column.expert_load.iter().enumerate() {
                let shares: Vec<String> =
                    shares.iter().map(|share| format!("{:5.1}", 100.0 * share)).collect();
                let _ = writeln!(text, "  MoE layer {layer:<2} {}", shares.join(" "));
            }
        }
        let shown = self.columns.iter().map(|column| column.samples.len()).max().unwrap_or(0);
        for i in 0..shown {
            let samples = self.columns.iter().filter_map(|c| Some((c.heading.as_str(), c.samples.get(i)?)));
            let width = self.columns.iter().map(|column| column.heading.len()).max().unwrap_or(0);
            for (at, (heading, sample)) in samples.enumerate() {
                if at == 0 {
                    text = text + "\n" + &harmless(&sample.prompt) + "\n";
                }
                let mark = match sample.verdict {
                    Outcome::Correct => "right",
                    Outcome::Wrong => "wrong",
                    Outcome::Unscored => "unscored",
                };
                let sample = thoughts::shown(&sample.text, look);
                let heading = harmless_line(heading);
                let _ = writeln!(text, "  {heading:<width$}  {sample}  ({mark})");
            }
        }
        text
    }
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    folder: PathBuf,
    summary: Value,
}

impl Finished {
    pub(crate) fn new(folder: &Path, summary: Value) -> Self {
        Self { folder: folder.to_owned(), summary }
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model folder, where the run leaves one: `final` of the run folder, in Hugging Face's layout.
    pub fn model_folder(&self) -> Option<PathBuf> {
        Some(self.folder.join("final")).filter(|model| model.is_dir())
    }

    /// What the run measured. Of a pipeline that evaluates nothing it is empty.
    pub fn summary(&self) -> Summary {
        serde_json::from_value(self.summary.clone()).unwrap_or_default()
    }

    /// Tables and samples, for people.
    pub fn text(&self, look: Look) -> String {
        self.summary().text(look) + &small::text(&self.summary) + &validation::text(&self.summary)
    }
}
