//! The small validation during training: its row, the best checkpoint, and the early end. It does not know how completions
//! are sampled and judged.

use super::Observer;
use crate::evaluator::Sets;
use crate::observer::best::{Criterion, Track};
use crate::printable::harmless_line;
use crate::recipe::Eval;
use anyhow::Result;
use ruminate_data::{FinishReason, Group, Outcome};
use ruminate_model::Decoder;
use ruminate_run::rows::Validation;
use ruminate_run::{Best, JsonlAppender, RunFolder};
use ruminate_train::{Wish, is_due};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;

/// When a run validates, on how many problems, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    steps: usize,
    /// Problems that are asked.
    n: usize,
    criterion: Criterion,
}

/// The validations of a run.
pub(crate) struct Small {
    settings: Settings,
    log: JsonlAppender,
    track: Track,
    /// The step after which the run stops early.
    stopped: Option<usize>,
}

impl Settings {
    /// What a recipe says of a run with so many validation problems; none where it does without.
    pub(crate) fn new(eval: &Eval, problems: usize) -> Option<Self> {
        let (steps, n) = (eval.validation_steps(), eval.validation_n().min(problems));
        (steps > 0 && n > 0).then(|| Self { steps, n, criterion: Criterion::new(eval) })
    }

    /// What is said of it before a run whose steps sample so many completions each.
    pub(crate) fn announcement(&self, eval: &Eval, a_step: usize) -> String {
        let Self { steps, n, .. } = self;
        let share = 100.0 * *n as f64 / (steps * a_step).max(1) as f64;
        let stop = match eval.early_stopping_patience() {
            0 => String::new(),
            patience => format!("; {patience} of them without a rise end the run"),
        };
        format!(
            "validate every {steps} steps on {n} of these problems, 1 sample each ({share:.1} % more completions; \
             `eval.validation_steps = 0` does without): the checkpoint with the best {} is kept{stop}",
            eval.metric_for_best_model().name()
        )
    }
}

impl Small {
    /// Opens the log, with what earlier processes wrote into it.
    ///
    /// # Errors
    /// With exit code 7 when it cannot be opened.
    pub(crate) fn open(settings: Settings, folder: &RunFolder, done: usize) -> Result<Self> {
        let text = fs::read_to_string(folder.validation_path()).unwrap_or_default();
        let rows: Vec<Validation> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(|_| done > 0).collect();
        let log = folder.log(&folder.validation_path())?;
        let small = Self { settings, log, track: Track::new(settings.criterion, &rows), stopped: None };
        small.name_best(folder)?;
        Ok(small)
    }

    /// Makes `best.json` name the best checkpoint of the rows, as far as it is there.
    fn name_best(&self, folder: &RunFolder) -> Result<()> {
        let named = self.track.best().filter(|(step, _)| folder.checkpoint_path(*step as u64).is_dir());
        let best = named.map(|(step, value)| Best {
            step: step as u64,
            metric: self.track.metric().to_owned(),
            value,
        });
        match (best, Best::read(folder.path()).ok().flatten()) {
            (Some(best), found) if found.as_ref() != Some(&best) => best.write(folder)?,
            // What it names is ahead of where the run goes on, or gone, or the best by another measure.
            (None, Some(found)) if !self.is_behind(&found) || found.metric != self.track.metric() => {
                Best::forget(folder)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a named checkpoint is of the steps that this run has validated.
    fn is_behind(&self, named: &Best) -> bool {
        self.track.best().is_some_and(|(step, _)| named.step <= step as u64)
    }

    /// Makes the log durable.
    ///
    /// # Errors
    /// With exit code 7.
    pub(crate) fn sync(&self) -> Result<(), ruminate_run::Error> {
        self.log.sync()
    }

    /// The last measure.
    pub(crate) fn latest(&self) -> Option<f64> {
        self.track.latest()
    }

    /// Whether the run stops early after this step.
    pub(crate) fn stops(&self, step: usize) -> bool {
        self.stopped == Some(step)
    }

    /// What the summary of a run has of it.
    pub(crate) fn summarise(&self, summary: &mut Value, folder: &RunFolder) {
        if let Some(best) = Best::read(folder.path()).ok().flatten() {
            summary["best"] = json!(best);
        }
        if let Some(step) = self.stopped {
            summary["stopped_early"] = json!({ "step": step, "reason": self.track.reason() });
        }
    }
}

/// What a summary says of the best checkpoint and of an early end, for people; empty where it says nothing.
pub(crate) fn text(summary: &Value) -> String {
    let mut text = String::new(); // writing to it cannot fail
    if let Ok(Best { step, metric, value }) = serde_json::from_value(summary["best"].clone()) {
        let metric = harmless_line(&metric);
        let _ = writeln!(
            text,
            "\nbest checkpoint: step {step}, {metric} {value:.3} at its small validation; eval and generate take it by \
             --model RUN --checkpoint best"
        );
    }
    if let (Some(step), Some(reason)) =
        (summary["stopped_early"]["step"].as_u64(), summary["stopped_early"]["reason"].as_str())
    {
        let _ = writeln!(text, "stopped early after step {step}: {}", harmless_line(reason));
    }
    text
}

impl Observer<'_> {
    /// Whether a small validation is due.
    pub(super) fn is_validated(&self, step: usize) -> bool {
        let due = |small: &Small| step == 0 || step == self.total || is_due(step, small.settings.steps);
        self.small.as_ref().is_some_and(due)
    }

    /// Problems of a small validation that is still to be made after this step.
    pub(super) fn wanted(&self, step: usize) -> Option<usize> {
        let small = self.small.as_ref().filter(|small| self.is_validated(step) && !small.track.has(step))?;
        Some(small.settings.n)
    }

    /// Takes in a small validation: `groups`, where a whole evaluation has sampled it, else what is sampled now. Where it is
    /// the last straw, the run is evaluated as after its last step.
    pub(super) fn validate(&mut self, step: usize, policy: &Decoder, groups: Option<Vec<Group>>) {
        let Some(evaluator) = self.settings.evaluator else { return };
        if let Some(n) = self.wanted(step) {
            let groups = if let Some(groups) = groups {
                Ok(groups)
            } else {
                self.progress.pause();
                evaluator.first(step, policy, n)
            };
            match groups {
                Ok(groups) => self.write_validation(row(step, &groups)),
                Err(error) => self.failure = Some(error),
            }
        }
        let Some(small) = self.small.as_mut().filter(|_| self.failure.is_none() && step < self.total) else {
            return;
        };
        if step > 0 && small.track.has(step) && small.track.is_exhausted() {
            small.stopped = Some(step);
            let reason = small.track.reason();
            self.progress.say(&format!("stopped early after step {step}: {reason}"));
            self.evaluate_sets(step, policy, evaluator, Sets::All);
        }
    }

    fn write_validation(&mut self, mut row: Validation) {
        let Some(mut small) = self.small.take() else { return };
        small.track.add(&mut row);
        let appended = small.log.append(&row);
        self.lost(appended);
        self.hand_over("validation", &serde_json::to_value(&row).unwrap_or_default());
        let named = [("validation/pass@1", row.pass_at_1), ("validation/reward", row.reward)];
        let step = usize::try_from(row.step).unwrap_or(usize::MAX);
        self.scalars(step, named.into_iter().filter_map(|(name, value)| Some((name, value?))));
        self.small = Some(small);
        // A step that was saved before its evaluation.
        if self.saved == Some(step) {
            self.name_best();
        }
    }

    /// Names the best checkpoint, once it is saved.
    pub(super) fn name_best(&mut self) {
        let named = self.small.as_ref().map_or(Ok(()), |small| small.name_best(self.settings.folder));
        if let Err(error) = named {
            self.failure = Some(error);
        }
    }

    /// What the last validation asks for.
    pub(super) fn wish_of(&self, step: usize) -> Wish {
        let Some(small) = self.small.as_ref().filter(|_| self.failure.is_none()) else {
            return Wish::default();
        };
        let is_best = step > 0 && small.track.best().is_some_and(|(best, _)| best == step);
        Wish { save: is_best, stop: small.stops(step) }
    }
}

/// The row of a validation of one sample per problem.
fn row(step: usize, groups: &[Group]) -> Validation {
    let completions = || groups.iter().flat_map(|group| &group.completions);
    let scored: Vec<_> =
        groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.is_scored()).collect();
    let all = completions().count();
    let mean = |sum: f64, of: usize| (of > 0).then(|| sum / of as f64);
    let right = scored.iter().filter(|verdict| verdict.outcome == Outcome::Correct).count();
    let cut = completions().filter(|completion| completion.finish_reason == FinishReason::Length).count();
    Validation {
        step: step as u64,
        n: groups.len(),
        pass_at_1: mean(right as f64, scored.len()),
        reward: mean(scored.iter().map(|verdict| verdict.score).sum(), scored.len()),
        completion_length_mean: mean(completions().map(|c| c.ids.len() as f64).sum(), all).unwrap_or(0.0),
        truncated: mean(cut as f64, all).unwrap_or(0.0),
        unscored: all - scored.len(),
        is_best: false,
        patience_counter: 0,
        stopped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, text};
    use crate::recipe::Eval;
    use serde_json::json;

    #[test]
    fn a_summary_names_the_best_checkpoint_and_why_the_run_ended() {
        let best = json!({ "step": 40, "metric": "pass@1", "value": 0.5 });
        let told = text(&json!({ "best": best, "stopped_early": { "step": 70, "reason": "no rise" } }));
        assert!(told.contains("step 40, pass@1 0.500") && told.contains("after step 70: no rise"), "{told}");
        assert_eq!(text(&json!({ "columns": [] })), "");
    }

    #[test]
    fn the_announcement_has_the_cost_and_what_follows() {
        let eval: Eval = toml::from_str("early_stopping_patience = 3").expect("valid");
        let settings = Settings::new(&eval, 200).expect("validates");
        let text = settings.announcement(&eval, 512);
        for says in ["every 10 steps on 64", "(1.2 % more", "best pass@1 is kept", "3 of them without a rise"]
        {
            assert!(text.contains(says), "{text}");
        }
        assert_eq!(Settings::new(&eval, 20).expect("validates").n, 20, "no more than there are");
        let none: Eval = toml::from_str("validation_steps = 0").expect("valid");
        assert!(Settings::new(&none, 200).is_none());
    }
}
