//! What a trainer tells, written into the run folder and shown to people: metrics, completions, evaluations,
//! checkpoints.

pub(crate) mod alarms;
mod best;
mod command_log;
pub(crate) mod completions;
mod glance;
pub(crate) mod logs;
mod remaining;
pub(crate) mod small;
pub(crate) mod tokens;

use crate::evaluator::validation::{self, Validation};
use crate::evaluator::{Evaluated, Evaluator, Measured, Sets, evaluations_of_step};
use crate::interrupt;
use crate::observer::alarms::RunAlarms;
use crate::observer::command_log::CommandLog;
use crate::observer::glance::{VALIDATION, glance};
use crate::observer::small::Small;
use crate::observer::tokens::Watched;
use crate::progress::{Counter, Progress};
use crate::recipe::Recipe;
use anyhow::Result;
use burn::module::Module;
use ruminate_data::{Group, SamplingParams, Stop};
use ruminate_grpo::Verdicts;
use ruminate_model::Decoder;
use ruminate_report::tensorboard::EventFile;
use ruminate_run::rows::{self, Figures};
use ruminate_run::{Appended, JsonlAppender, RunFolder, checkpoints};
use ruminate_text::Renderer;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{self as train, ExpertLoad, Metrics, State};
use serde_json::Value;
use std::io;
use std::num::NonZeroUsize;

/// What of an [`Observer`] is fixed for its run.
pub(crate) struct Settings<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) folder: &'a RunFolder,
    pub(crate) renderer: &'a Renderer,
    /// What a checkpoint must be resumed with.
    pub(crate) identity: &'a Value,
    /// Checkpoints that are kept.
    pub(crate) keep_last: NonZeroUsize,
    /// Steps between two files of completions; 0 writes none.
    pub(crate) completions_steps: usize,
    /// From what completions are drawn.
    pub(crate) sampling: SamplingParams,
    /// What ends them, and steers them on the way.
    pub(crate) stop: Stop,
    /// What to measure; nothing where it is absent.
    pub(crate) evaluator: Option<&'a Evaluator<'a>>,
    /// Small validations on the way; none without an evaluator.
    pub(crate) small: Option<small::Settings>,
    /// Samples whose loss is measured.
    pub(crate) validation: Option<&'a Validation>,
}

/// The binary's [`train::Observer`].
pub(crate) struct Observer<'a> {
    settings: Settings<'a>,
    metrics: JsonlAppender,
    eval: JsonlAppender,
    expert_load: JsonlAppender,
    /// TensorBoard's; none once it could not be written.
    events: Option<EventFile>,
    /// The recipe's program that gets rows; none once it was given up.
    command_log: Option<CommandLog>,
    /// Completions of the step at hand that are looked at again after it.
    watched: Option<Watched>,
    progress: Progress,
    total: usize,
    /// Steps of earlier processes.
    done: usize,
    /// The newest checkpoint's step.
    saved: Option<usize>,
    alarms: RunAlarms<'a>,
    /// The last evaluation.
    pub(crate) latest: Option<Evaluated>,
    /// Small validations, the best checkpoint, and the early end.
    small: Option<Small>,
    /// The last loss of held-out samples.
    validation_loss: Option<f64>,
    /// The evaluation before the first step, where it was in this process.
    pub(crate) before: Option<Evaluated>,
    /// What ended an evaluation, or the folder that is gone; it stops the run.
    failure: Option<anyhow::Error>,
}

impl<'a> Observer<'a> {
    /// Opens the logs. `done` steps of `total` were done before.
    ///
    /// # Errors
    /// With exit code 7 when a log cannot be opened.
    pub(crate) fn new(label: &str, total: usize, done: usize, settings: Settings<'a>) -> Result<Self> {
        let last = (done > 0).then_some(done as u64);
        let folder = settings.folder;
        let events = EventFile::open(&folder.tensorboard_path(), last);
        // A run that goes on from another one's checkpoint has none of its own yet.
        let is_here = done > 0 && checkpoints::path(folder.path(), done as u64).is_dir();
        let mut observer = Self {
            metrics: folder.log(&folder.metrics_path())?,
            eval: folder.log(&folder.eval_path())?,
            expert_load: folder.log(&folder.expert_load_path())?,
            events: None,
            command_log: None,
            watched: None,
            progress: Progress::new(label, total as u64, done as u64),
            total,
            done,
            saved: is_here.then_some(done),
            alarms: RunAlarms::new(settings.recipe, folder, done),
            small: settings.small.map(|small| Small::open(small, folder, done)).transpose()?,
            settings,
            latest: None,
            validation_loss: None,
            before: None,
            failure: None,
        };
        observer.events = observer.kept(events);
        let (log, warning) = CommandLog::of(&observer.settings, label, done)?;
        observer.command_log = log;
        observer.warn_of_log(warning);
        Ok(observer)
    }

    /// Counts what is done within a step.
    pub(crate) fn counter(&self) -> Counter {
        self.progress.counter()
    }

    /// Ends a run whose trainer has returned after `step` steps: well, or with the reason why it came no further.
    ///
    /// # Errors
    /// A failed evaluation; an interruption, with what was saved.
    pub(crate) fn finish(&mut self, step: usize) -> Result<()> {
        let complete = self.failure.is_none() && !interrupt::requested();
        let warning = self.command_log.take().and_then(|log| log.end(step, complete));
        self.warn_of_log(warning);
        let stopped = self.small.as_ref().is_some_and(|small| small.stops(step));
        if step < self.total && !stopped && interrupt::requested() {
            let saved = match (step, self.saved) {
                (0, _) => " before the first step; nothing is lost, run the command again".to_owned(),
                (step, Some(saved)) if saved < step => format!(
                    " after step {step}; steps {} to {step} were mostly unscored and do not count, step {saved} is saved; go on \
                     with --resume auto",
                    saved + 1
                ),
                (step, _) => format!(" after step {step}, which is saved; go on with --resume auto"),
            };
            return Err(crate::error::Refusal::Interrupted(saved).into());
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Whether the run folder is still there; once it is not, the run stops, and nothing makes it again.
    fn is_there(&mut self) -> bool {
        if let (None, Err(gone)) = (&self.failure, self.settings.folder.check()) {
            self.failure = Some(gone.into());
        }
        self.failure.is_none()
    }

    /// Whether the evaluation of a step has ended, as that of the step which a process goes on from may have, and of which
    /// sets there are rows.
    fn logged(&self, step: usize, evaluator: &Evaluator, sets: Sets) -> (bool, Vec<String>) {
        let rows = evaluations_of_step(self.settings.folder, step);
        let logged: Vec<String> = rows.into_iter().map(|row| row.set).collect();
        (evaluator.names(sets).all(|name| logged.iter().any(|set| set == name)), logged)
    }

    fn lost(&self, appended: Appended) {
        if let Appended::Failed(error) = appended {
            self.progress.say(&format!("warning: {error}; training goes on, later rows are tried again"));
        }
    }

    /// TensorBoard's file, or a warning that there is none from here on.
    fn kept<T>(&self, result: io::Result<T>) -> Option<T> {
        let warn = |error| {
            let path = self.settings.folder.tensorboard_path();
            self.progress
                .say(&format!("warning: {}: {error}; TensorBoard gets no more of this run", path.display()));
        };
        result.map_err(warn).ok()
    }

    fn scalars<'n>(&mut self, step: usize, values: impl IntoIterator<Item = (&'n str, f64)>) {
        if let Some(mut events) = self.events.take() {
            let written = events.scalars(step as u64, values);
            self.events = self.kept(written).map(|()| events);
        }
    }

    /// A row for the recipe's program.
    fn hand_over(&mut self, kind: &str, row: &Value) {
        let warning = self.command_log.as_mut().and_then(|log| log.row(kind, row));
        self.warn_of_log(warning);
    }

    fn warn_of_log(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            self.progress.say(&format!("warning: {warning}"));
        }
    }

    /// A row of `eval.jsonl`, and its numbers for TensorBoard.
    fn write_row(&mut self, step: usize, row: &Value) {
        let appended = self.eval.append(row);
        self.lost(appended);
        self.hand_over("eval", row);
        let Some(Ok(Figures { set, numbers, .. })) = row.as_object().map(Figures::of) else { return };
        let named: Vec<(String, f64)> =
            numbers.into_iter().map(|(name, value)| (format!("eval/{set}/{name}"), value)).collect();
        self.scalars(step, named.iter().map(|(name, value)| (name.as_str(), *value)));
    }

    /// Measures the loss of held-out samples.
    fn measure(&mut self, validation: &Validation, step: usize, policy: &Decoder) {
        // An earlier process may have measured the step that this one goes on from.
        if step == self.done && validation::row_of_step(self.settings.folder, step).is_some() {
            return;
        }
        match validation.measure(step, policy) {
            Ok(row) => {
                self.write_row(step, &serde_json::to_value(&row).unwrap_or_default());
                self.validation_loss = row.loss;
            }
            Err(error) => self.failure = Some(error),
        }
    }

    /// What the summary has of small validations.
    pub(crate) fn summarise(&self, summary: &mut Value) {
        if let Some(small) = &self.small {
            small.summarise(summary, self.settings.folder);
        }
    }

    /// Evaluates on sets, unless an earlier process has; returns the first sample of each of the main set's first problems,
    /// where a small validation is wanted.
    fn evaluate_sets(
        &mut self,
        step: usize,
        policy: &Decoder,
        evaluator: &Evaluator,
        sets: Sets,
    ) -> Option<Vec<Group>> {
        let (is_complete, logged) = self.logged(step, evaluator, sets);
        if is_complete {
            return None;
        }
        self.progress.pause();
        let (wanted, mut first) = (self.wanted(step), None);
        let keep = &mut |measured: &Measured| {
            if let (None, Some(n)) = (&first, wanted) {
                first = Some(measured.first(n));
            }
            Ok(())
        };
        match evaluator.run_keeping(step, policy, sets, keep) {
            Ok(evaluated) => self.evaluated(step, evaluated, &logged),
            Err(error) => self.failure = Some(error),
        }
        self.progress.resume();
        first
    }

    /// Writes down an evaluation; `logged` are the sets of which there are rows.
    fn evaluated(&mut self, step: usize, evaluated: Evaluated, logged: &[String]) {
        // What a process wrote that was killed on the way is not written again.
        let rows = evaluated.evaluations.iter().enumerate();
        for (at, row) in rows.filter(|(_, row)| !logged.contains(&row.set)) {
            let raised = if at == 0 { self.alarms.evaluation(row) } else { None };
            if let Some(raised) = &raised {
                self.progress.alarm(&alarms::line(raised));
            }
            let row = alarms::row_with(row, raised.as_slice()).unwrap_or_default();
            self.write_row(step, &row);
        }
        if let Err(error) = evaluated.write_samples(self.settings.folder, step) {
            self.progress.say(&format!("warning: {error}; training goes on without this file"));
        }
        if step == 0 {
            self.before = Some(evaluated);
        } else {
            self.latest = Some(evaluated);
        }
    }

    /// Whether a whole evaluation is due; of a trainer without small validations, whenever it asks.
    fn is_evaluated(&self, step: usize) -> bool {
        let due = || train::is_due(step, self.settings.recipe.grpo.eval_steps);
        self.small.is_none() || step == 0 || step == self.total || due()
    }

    /// Whether this step's completions are written.
    fn is_shown(&self, step: usize) -> bool {
        let every = self.settings.completions_steps;
        every > 0 && (step == 1 || step.is_multiple_of(every))
    }
}

impl train::Observer for Observer<'_> {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        if !self.is_there() {
            return;
        }
        let (raised, notes) = self.alarms.step(step, metrics);
        let with_alarms = alarms::row_with(metrics.row(step), &raised);
        let appended = match &with_alarms {
            Ok(row) if !raised.is_empty() => self.metrics.append(row),
            _ => self.metrics.append(&metrics.row(step)),
        };
        self.lost(appended);
        self.hand_over("metrics", &with_alarms.unwrap_or_default());
        self.scalars(step, metrics.iter());
        for raised in raised.iter().chain(&notes) {
            self.progress.alarm(&alarms::line(raised));
        }
        let alarms: Vec<&str> = self.alarms.names().collect();
        let mut shown = metrics.clone();
        if let Some(measured) = self.validation_loss.or(self.small.as_ref().and_then(Small::latest)) {
            shown.set(VALIDATION, measured);
        }
        self.progress.at(step as u64, &glance(&shown, &alarms, self.progress.colours()));
        self.tell_remaining(step, metrics);
    }

    fn groups(&mut self, step: usize, groups: &[Group], advantages: &[Vec<f64>]) {
        self.alarms.verdicts(Verdicts::of(groups));
        if step == 1
            && let Some(told) = completions::all_failed(groups, self.settings.renderer)
        {
            told.lines().for_each(|line| self.progress.say(line));
        }
        let last = groups.last().and_then(|group| Some((group.completions.last()?, group.verdicts.last()?)));
        if let Some((completion, verdict)) = last {
            self.progress
                .sample(|colours| completions::line(completion, verdict, self.settings.renderer, colours));
        }
        if !self.is_shown(step) || !self.is_there() {
            return;
        }
        let Settings { folder, renderer, .. } = self.settings;
        if let Err(error) = completions::write(folder, step, groups, advantages, renderer) {
            self.progress.say(&format!("warning: {error}; training goes on without this file"));
        }
        self.watched = Some(Watched::of(groups, advantages));
    }

    fn expert_load(&mut self, step: usize, load: &ExpertLoad) {
        let load = rows::ExpertLoad { step: step as u64, load: load.layers.clone() };
        let appended = self.expert_load.append(&load);
        self.lost(appended);
    }

    fn updated(&mut self, step: usize, policy: &Decoder) {
        let Some(watched) = self.watched.take() else { return };
        let Settings { sampling, stop, renderer, folder, .. } = &self.settings;
        if let Err(error) = watched.write(step, &policy.valid(), (sampling, stop), renderer, folder) {
            self.progress.say(&format!("warning: {error}; training goes on without this file"));
        }
    }

    fn evaluate(&mut self, step: usize, policy: &Decoder) {
        if let Some(validation) = self.settings.validation {
            self.measure(validation, step, policy);
        }
        let Some(evaluator) = self.settings.evaluator else { return };
        if !self.is_there() {
            return;
        }
        let mut first = None;
        if self.is_evaluated(step) {
            let sets = if step == 0 || step == self.total { Sets::All } else { Sets::Development };
            first = self.evaluate_sets(step, policy, evaluator, sets);
        }
        if self.failure.is_none() {
            self.validate(step, policy, first);
        }
    }

    fn validates(&self, step: usize) -> bool {
        self.is_validated(step)
    }

    fn wish(&self, step: usize) -> train::Wish {
        self.wish_of(step)
    }

    fn save(&mut self, state: &State) -> Result<(), train::Error> {
        self.settings.folder.check()?;
        if self.saved == Some(state.step) {
            return Ok(());
        }
        // Else a power cut could leave a checkpoint whose logs end before it.
        self.metrics.sync()?;
        self.eval.sync()?;
        if let Some(small) = &self.small {
            small.sync()?;
        }
        self.expert_load.sync()?;
        let files: Vec<(&str, &[u8])> = self.settings.renderer.tokenizer.files().collect();
        let companions = Companions { identity: self.settings.identity, files: &files };
        let folder = self.settings.folder;
        let saved = checkpoint::save(folder.path(), state, companions, self.settings.keep_last);
        folder.or_vanished(saved)?;
        self.saved = Some(state.step);
        self.name_best();
        Ok(())
    }

    fn interrupted(&self) -> bool {
        self.failure.is_some() || interrupt::requested()
    }

    fn warn(&mut self, message: &str) {
        self.progress.say(&format!("warning: {message}"));
    }
}
