//! The held-out loss of `sft` and `pretrain`: samples that training never sees, their loss before, during and after it, as rows
//! of `eval.jsonl` and as a table. It does not know where the samples come from.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_data::Sample;
use ruminate_model::Decoder;
use ruminate_run::RunFolder;
use ruminate_run::rows::ValidationLoss;
use ruminate_train::supervised;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

/// The set's name in `eval.jsonl`.
const SET: &str = "validation";

/// The key of a summary that has both measurements.
const SUMMARY: &str = "validation";

/// Its name in version 0.1.
const SUMMARY_0_1: &str = "held_out";

/// Samples to measure on.
pub(crate) struct Validation {
    samples: Vec<Sample>,
    settings: supervised::Config,
}

impl Validation {
    /// # Errors
    /// With exit code 3 where no sample has a token with loss.
    pub(crate) fn new(samples: Vec<Sample>, settings: &supervised::Config) -> Result<Self> {
        if !samples.iter().flat_map(|sample| &sample.loss_mask).any(|has_loss| *has_loss) {
            return Err(Refusal::input(
                "the held-out samples have no token with loss: expected at least one completion to measure on",
            ));
        }
        Ok(Self { samples, settings: settings.clone() })
    }

    /// Measures a policy that does not track gradients.
    ///
    /// # Errors
    /// A sample that is longer than a row.
    pub(crate) fn measure(&self, step: usize, policy: &Decoder) -> Result<ValidationLoss> {
        let measured = supervised::validation_loss(policy, &self.samples, &self.settings)?;
        let finite = |value: f64| value.is_finite().then_some(value);
        let loss = measured.and_then(|measured| finite(measured.loss));
        Ok(ValidationLoss {
            step: step as u64,
            set: SET.to_owned(),
            n: self.samples.len(),
            loss,
            tokens: measured.map_or(0, |measured| measured.tokens),
            perplexity: loss.and_then(|loss| finite(loss.exp())),
        })
    }

    /// Warns of samples that training sees as well.
    pub(crate) fn warn_of_trained(&self, training: &[Sample]) {
        let trained: HashSet<&[u32]> = training.iter().map(|sample| sample.ids.as_slice()).collect();
        let seen = self.samples.iter().filter(|sample| trained.contains(sample.ids.as_slice())).count();
        if seen > 0 {
            notice!(
                "warning: {seen} of {} held-out samples are trained on, too: their loss says nothing about new samples; take them \
                 out of `data.train` or of `data.eval`",
                self.samples.len()
            );
        }
    }

    /// Prints what is measured, and when.
    pub(crate) fn announce(&self, label: &str) {
        let every = match self.settings.eval_steps {
            0 => String::new(),
            1 => ", after every step,".to_owned(),
            steps => format!(", every {steps} steps,"),
        };
        notice!(
            "{label}: held-out loss before training{every} and after it, on {} samples",
            self.samples.len()
        );
    }
}

/// The row of a step, from an earlier process.
pub(crate) fn row_of_step(folder: &RunFolder, step: usize) -> Option<ValidationLoss> {
    let text = fs::read_to_string(folder.eval_path()).unwrap_or_default();
    let mut rows = text.lines().filter_map(|line| serde_json::from_str::<ValidationLoss>(line).ok());
    rows.rfind(|row| row.step == step as u64)
}

/// Adds both ends of a run to its summary, where they were measured.
pub(crate) fn summarise(summary: &mut Value, folder: &RunFolder, step: usize) {
    if let (Some(before), Some(after)) = (row_of_step(folder, 0), row_of_step(folder, step)) {
        summary[SUMMARY] = json!({ "before": before, "after": after });
    }
}

/// The table of a summary; empty where it has none.
pub(crate) fn text(summary: &Value) -> String {
    let measured = summary.get(SUMMARY).or_else(|| summary.get(SUMMARY_0_1)).unwrap_or(&Value::Null);
    let row = |at: &str| serde_json::from_value::<ValidationLoss>(measured[at].clone()).ok();
    match (row("before"), row("after")) {
        (Some(before), Some(after)) => table(&before, &after),
        _ => String::new(),
    }
}

fn table(before: &ValidationLoss, after: &ValidationLoss) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let mut text = format!("\n{:<22}{:>12}{:>12}\n", "validation", "before", "after");
    for (label, of) in [
        ("loss (nats per token)", (|row| row.loss) as fn(&ValidationLoss) -> Option<f64>),
        ("perplexity", |row| row.perplexity),
    ] {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{label:<22}{:>12}{:>12}", number(of(before)), number(of(after)));
    }
    let _ = writeln!(text, "{:<22}{:>12}{:>12}", "samples", before.n, after.n);
    if before.loss < after.loss && after.loss.is_some() {
        text += "the held-out loss has risen: the samples are memorised; train for fewer steps, or on more samples\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Validation, ValidationLoss, table};
    use ruminate_data::Sample;
    use ruminate_train::supervised;

    fn row(step: u64, loss: f64) -> ValidationLoss {
        ValidationLoss {
            step,
            set: "validation".to_owned(),
            n: 3,
            loss: Some(loss),
            tokens: 9,
            perplexity: Some(loss.exp()),
        }
    }

    #[test]
    fn the_table_has_both_ends_and_says_when_it_got_worse() {
        let better = table(&row(0, 2.0), &row(9, 1.0));
        assert!(
            better.contains("2.0000") && better.contains("7.3891") && !better.contains("risen"),
            "{better}"
        );
        assert!(table(&row(0, 1.0), &row(9, 2.0)).contains("has risen"));
    }

    #[test]
    fn samples_without_loss_are_refused() {
        let sample = Sample { ids: vec![1, 2], loss_mask: vec![false, false] };
        let error = Validation::new(vec![sample], &supervised::Config::default()).err().expect("refused");
        assert!(error.to_string().contains("no token with loss"), "{error}");
        assert!(
            Validation::new(vec![Sample::completion_only(&[1], &[2])], &supervised::Config::default())
                .is_ok()
        );
    }
}
