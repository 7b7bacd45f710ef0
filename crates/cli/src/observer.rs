//! What a trainer tells, written into the run folder and shown to people: metrics, completions, evaluations,
//! checkpoints. It refuses to know which algorithm trains.

use crate::completions;
use crate::evaluate::{Evaluation, Evaluator, Sets, reports_of_step};
use crate::held_out::{self, HeldOut};
use crate::interrupt;
use crate::language::Language;
use crate::progress::Progress;
use crate::tokens::Watched;
use anyhow::Result;
use burn::module::Module;
use ruminate_data::Group;
use ruminate_model::Decoder;
use ruminate_report::tensorboard::EventFile;
use ruminate_run::{Appended, JsonlAppender, RunFolder};
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{self as train, ExpertLoad, Metrics, State};
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use std::num::NonZeroUsize;

/// Metrics that are worth a person's glance while training, with their short names.
const GLANCE: [(&str, &str); 5] = [
    ("reward", "reward"),
    ("completions/mean_length", "length"),
    ("entropy", "entropy"),
    ("frac_reward_zero_std", "equal groups"),
    ("learning_rate", "lr"),
];

/// What of an [`Observer`] is fixed for its run.
pub(crate) struct Settings<'a> {
    pub(crate) folder: &'a RunFolder,
    pub(crate) language: &'a Language,
    /// What a checkpoint must be resumed with.
    pub(crate) identity: &'a Value,
    /// Checkpoints that are kept.
    pub(crate) keep_last: NonZeroUsize,
    /// Steps between two files of completions; 0 writes none.
    pub(crate) completions_steps: usize,
    /// What completions are sampled at.
    pub(crate) temperature: f64,
    /// What to measure; nothing where it is absent.
    pub(crate) evaluator: Option<&'a Evaluator<'a>>,
    /// Samples whose loss is measured.
    pub(crate) held_out: Option<&'a HeldOut>,
}

/// The binary's [`train::Observer`].
pub(crate) struct Observer<'a> {
    settings: Settings<'a>,
    metrics: JsonlAppender,
    eval: JsonlAppender,
    expert_load: JsonlAppender,
    /// TensorBoard's; none once it could not be written.
    events: Option<EventFile>,
    /// Completions of the step at hand that are looked at again after it.
    watched: Option<Watched>,
    progress: Progress,
    total: usize,
    /// The last evaluation.
    pub(crate) latest: Option<Evaluation>,
    /// The last loss of held-out samples.
    held_out_loss: Option<f64>,
    /// The evaluation before the first step, where it was in this process.
    pub(crate) before: Option<Evaluation>,
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
        let events = EventFile::open(&settings.folder.tensorboard_path(), last);
        let mut observer = Self {
            metrics: settings.folder.log(&settings.folder.metrics_path())?,
            eval: settings.folder.log(&settings.folder.eval_path())?,
            expert_load: settings.folder.log(&settings.folder.expert_load_path())?,
            events: None,
            watched: None,
            progress: Progress::new(label, total as u64, done as u64),
            total,
            settings,
            latest: None,
            held_out_loss: None,
            before: None,
            failure: None,
        };
        observer.events = observer.kept(events);
        Ok(observer)
    }

    /// Ends a run whose trainer has returned after `step` steps: well, or with the reason why it came no further.
    ///
    /// # Errors
    /// A failed evaluation; an interruption, with what was saved.
    pub(crate) fn finish(&mut self, step: usize, policy: &Decoder) -> Result<()> {
        if step < self.total && interrupt::requested() {
            let saved = match step {
                0 => " before the first step; nothing is lost, run the command again".to_owned(),
                step => format!(" after step {step}, which is saved; go on with --resume auto"),
            };
            return Err(crate::exit::Refusal::Interrupted(saved).into());
        }
        // An earlier process may have ended between the last step and its evaluation.
        let folder = self.settings.folder;
        let measured = match self.settings.held_out {
            Some(_) => held_out::row_of_step(folder, step).is_some(),
            None => self.latest.is_some() || !reports_of_step(folder, step).is_empty(),
        };
        if self.failure.is_none() && !measured {
            train::Observer::evaluate(self, step, &policy.valid());
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

    /// A row of `eval.jsonl`, and its numbers for TensorBoard.
    fn write_row(&mut self, step: usize, row: &impl Serialize) {
        let appended = self.eval.append(row);
        self.lost(appended);
        let row = serde_json::to_value(row).unwrap_or_default();
        let set = row["set"].as_str().unwrap_or_default();
        let numbers = row.as_object().into_iter().flatten().filter(|(name, _)| *name != "step");
        let numbers: Vec<(String, f64)> = numbers
            .filter_map(|(name, value)| Some((format!("eval/{set}/{name}"), value.as_f64()?)))
            .collect();
        self.scalars(step, numbers.iter().map(|(name, value)| (name.as_str(), *value)));
    }

    /// Measures the loss of held-out samples.
    fn measure(&mut self, held_out: &HeldOut, step: usize, policy: &Decoder) {
        match held_out.measure(step, policy) {
            Ok(row) => {
                self.write_row(step, &row);
                self.held_out_loss = row.loss;
            }
            Err(error) => self.failure = Some(error),
        }
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
        let appended = self.metrics.append(&metrics.row(step));
        self.lost(appended);
        self.scalars(step, metrics.iter());
        // The loss of GRPO says little: a group's advantages sum to zero.
        let has_reward = metrics.get("reward").is_some();
        let glance = GLANCE.iter().filter_map(|(name, short)| Some((*short, metrics.get(name)?)));
        let loss = metrics.get("loss").filter(|_| !has_reward).map(|loss| ("loss", loss));
        let held_out = self.held_out_loss.map(|loss| ("held out", loss));
        let message: Vec<String> = loss
            .into_iter()
            .chain(held_out)
            .chain(glance)
            .map(|(name, value)| format!("{name} {}", short(value)))
            .collect();
        self.progress.at(step as u64, &message.join("  "));
    }

    fn groups(&mut self, step: usize, groups: &[Group], advantages: &[Vec<f64>]) {
        let last = groups.last().and_then(|group| Some((group.completions.last()?, group.verdicts.last()?)));
        if let Some((completion, verdict)) = last {
            self.progress
                .sample(|colours| completions::line(completion, verdict, self.settings.language, colours));
        }
        if !self.is_shown(step) || !self.is_there() {
            return;
        }
        let Settings { folder, language, .. } = self.settings;
        if let Err(error) = completions::write(folder, step, groups, advantages, language) {
            self.progress.say(&format!("warning: {error}; training goes on without this file"));
        }
        self.watched = Some(Watched::of(groups, advantages));
    }

    fn expert_load(&mut self, step: usize, load: &ExpertLoad) {
        let appended = self.expert_load.append(&json!({ "step": step, "load": load.layers }));
        self.lost(appended);
    }

    fn updated(&mut self, step: usize, policy: &Decoder) {
        let Some(watched) = self.watched.take() else { return };
        let Settings { temperature, language, folder, .. } = self.settings;
        if let Err(error) = watched.write(step, &policy.valid(), temperature, language, folder) {
            self.progress.say(&format!("warning: {error}; training goes on without this file"));
        }
    }

    fn evaluate(&mut self, step: usize, policy: &Decoder) {
        if let Some(held_out) = self.settings.held_out {
            self.measure(held_out, step, policy);
        }
        let Some(evaluator) = self.settings.evaluator else { return };
        if !self.is_there() {
            return;
        }
        let sets = if step == 0 || step == self.total { Sets::All } else { Sets::Development };
        match evaluator.run(step, policy, sets) {
            Ok(evaluation) => {
                for report in &evaluation.reports {
                    self.write_row(step, report);
                }
                if let Err(error) = evaluation.write_samples(self.settings.folder, step) {
                    self.progress.say(&format!("warning: {error}; training goes on without this file"));
                }
                if step == 0 {
                    self.before = Some(evaluation);
                } else {
                    self.latest = Some(evaluation);
                }
            }
            Err(error) => self.failure = Some(error),
        }
    }

    fn save(&mut self, state: &State) -> Result<(), train::Error> {
        self.settings.folder.check()?;
        // Else a power cut could leave a checkpoint whose logs end before it.
        self.metrics.sync()?;
        self.eval.sync()?;
        self.expert_load.sync()?;
        let files: Vec<(&str, &[u8])> = self.settings.language.tokenizer.files().collect();
        let companions = Companions { identity: self.settings.identity, files: &files };
        checkpoint::save(self.settings.folder.path(), state, companions, self.settings.keep_last)?;
        Ok(())
    }

    fn interrupted(&self) -> bool {
        self.failure.is_some() || interrupt::requested()
    }

    fn warn(&mut self, message: &str) {
        self.progress.say(&format!("warning: {message}"));
    }
}

/// Three or four digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size < 1e-3 { format!("{value:.1e}") } else { format!("{value:.3}") }
}
