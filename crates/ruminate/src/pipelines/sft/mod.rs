//! `sft`: supervised fine-tuning on conversations or on prompts with their completions, the loss on what the policy
//! would write. `distill` fits its student by the same function.

mod rows;

use crate::doctor::{self, Work};
use crate::error::Refusal;
use crate::evaluator::summary::Finished;
use crate::evaluator::validation::{self, Validation};
use crate::evaluator::{Evaluated, Evaluator};
use crate::observer::{Observer, Settings};
use crate::options::RunOptions;
use crate::pipelines::announce;
use crate::policy;
use crate::printable;
use crate::recipe::text::warn_without_end;
use crate::recipe::{Model, Recipe};
use crate::run::folders;
use crate::run::identity;
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, Stage, enter};
use anyhow::Result;
use ruminate_data::{Sample, Seed, Stop};
use ruminate_model::{self as model, Decoder};
use ruminate_text::Renderer;
use ruminate_train::{State, supervised};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(crate) fn run(args: RunOptions) -> Result<Finished> {
    let session = Session::with_models("sft", args)?;
    let (recipe, out) = (&session.recipe, session.out());
    folders::admit(&session, &out, &[])?;
    doctor::quick(&session, Work::Sft)?;
    let Some(model) = &recipe.model else {
        return Err(Refusal::usage("`model` is missing; expected a model folder, or a table [model]"));
    };
    let Some(path) = &recipe.data.train else {
        return Err(Refusal::usage(
            "sft needs `data.train`: a JSONL file with `messages`, or with `prompt` and `completion`",
        ));
    };
    check_adapters(&session, model, 0)?;
    session.check_files()?;
    let renderer = policy::renderer(model, recipe)?;
    let share = validation_share(recipe);
    let rows::Split { training: samples, validation } = rows::samples(path, recipe, &renderer, share)?;
    let validation = match &recipe.data.eval {
        Some(path) => rows::samples(path, recipe, &renderer, 0.0)?.training,
        None => validation,
    };
    let validation =
        (!validation.is_empty()).then(|| Validation::new(validation, &recipe.sft)).transpose()?;
    let mut identity = session.identity(&[])?;
    if share > 0.0 {
        identity::add_validation(&mut identity, share);
    }
    let stage = match enter(&session, &out, identity, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(Finished::new(&out, summary)),
        Entered::Open(stage) => stage,
    };
    session.tell_settings();
    let start = Start::of(model)?;
    let fit = Fit {
        start,
        renderer: &renderer,
        samples: samples.len(),
        length: mean_length(&samples),
        evaluator: None,
        validation: validation.as_ref(),
    };
    notice!("sft: {} samples", samples.len());
    if let Some(validation) = &validation {
        validation.announce("sft");
        validation.warn_of_trained(&samples);
    }
    let fitted = fit.run(&session, &stage, |state, settings, seed, observer| {
        let mut source = ruminate_distill::source(&samples, seed.child("shuffle"))?;
        Ok(supervised::train(state, &mut source, settings, observer)?)
    })?;
    let mut summary = json!({ "samples": samples.len(), "compute": fitted.compute() });
    validation::summarise(&mut summary, &stage.folder, fitted.step);
    stage.finish(&fitted.policy, &renderer, summary.clone())?;
    Ok(Finished::new(&out, summary))
}

/// Where training begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// With the weights of a model folder.
    Folder(PathBuf),
    /// With random ones.
    Fresh(Box<model::Config>),
}

impl Start {
    /// # Errors
    /// With exit code 2, for an architecture that cannot be.
    pub(crate) fn of(model: &Model) -> Result<Self> {
        Ok(match model {
            Model::Folder(folder) => Self::Folder(folder.clone()),
            Model::Inline(keys) => Self::Fresh(Box::new(policy::inline_config("model", keys)?)),
        })
    }
}

/// What is to be trained by `[sft]`.
pub(crate) struct Fit<'a> {
    pub(crate) start: Start,
    pub(crate) renderer: &'a Renderer,
    /// Samples of an epoch.
    pub(crate) samples: usize,
    /// Tokens of a sample, about.
    pub(crate) length: usize,
    pub(crate) evaluator: Option<&'a Evaluator<'a>>,
    pub(crate) validation: Option<&'a Validation>,
}

/// A trained policy, and what was measured.
pub(crate) struct Fitted {
    pub(crate) policy: Decoder,
    pub(crate) step: usize,
    pub(crate) num_tokens: u64,
    pub(crate) before: Option<Evaluated>,
    pub(crate) after: Option<Evaluated>,
}

impl Fitted {
    /// What training took, for comparisons at equal compute.
    pub(crate) fn compute(&self) -> Value {
        policy::compute(self.num_tokens, self.policy.config())
    }
}

/// Tokens of a sample, on average.
pub(crate) fn mean_length(samples: &[Sample]) -> usize {
    let tokens: usize = samples.iter().map(|sample| sample.ids.len()).sum();
    tokens.div_ceil(samples.len().max(1))
}

impl Fit<'_> {
    /// Trains by `[sft]`, from the newest checkpoint where there is one; `train` is the trainer.
    ///
    /// # Errors
    /// Those of the trainer, of loading and saving.
    pub(crate) fn run(
        self,
        session: &Session,
        stage: &Stage,
        train: impl FnOnce(State, &supervised::Config, Seed, &mut Observer) -> Result<State>,
    ) -> Result<Fitted> {
        warn_without_end(self.renderer);
        let settings = &session.recipe.sft.for_samples(self.samples);
        let seed = Seed::new(session.recipe.seed).child("sft");
        let autodiff = session.device.clone().autodiff();
        let evaluates = self.evaluator.is_some() || self.validation.is_some();
        let eval_steps = evaluates.then_some(settings.eval_steps);
        let (steps, trainer) = (settings.max_steps, &settings.train);
        let state = stage.state(steps, trainer, eval_steps, &session.device, || match &self.start {
            Start::Folder(folder) => {
                policy::trainable(folder, session.recipe.lora.as_ref(), trainer, seed, &autodiff)
            }
            Start::Fresh(config) => Ok(policy::fresh(config, seed, &autodiff)),
        })?;
        let trained = policy::trained(session.recipe.lora.as_ref(), state.policy.config(), &session.device)?;
        announce::supervised("sft", &session.recipe, settings, Some(self.samples));
        let plan = supervised::memory_plan(state.policy.config(), trained, self.length, settings);
        notice!("{}", printable::wrapped(&format!("sft: memory {plan}")));
        let watched = Settings {
            recipe: &session.recipe,
            folder: &stage.folder,
            renderer: self.renderer,
            identity: &stage.identity,
            keep_last: NonZeroUsize::new(settings.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
            completions_steps: session.recipe.eval.completions_steps,
            sampling: session.recipe.rollout.sampling(),
            stop: Stop::default(),
            evaluator: self.evaluator,
            small: None,
            validation: self.validation,
        };
        let mut observer = Observer::new("sft", settings.max_steps, state.step, watched)?;
        let state = train(state, settings, seed, &mut observer)?;
        observer.finish(state.step)?;
        Ok(Fitted {
            policy: state.policy,
            step: state.step,
            num_tokens: state.num_tokens,
            before: observer.before.take(),
            after: observer.latest.take(),
        })
    }
}

/// Whether `model` can carry the recipe's adapters; one made on the spot has to be pretrained for it to make sense.
///
/// # Errors
/// With exit code 2.
pub(crate) fn check_adapters(session: &Session, model: &Model, pretrain_steps: usize) -> Result<()> {
    let lora = session.recipe.lora.as_ref();
    let config = match model {
        Model::Folder(folder) => model::load_config(folder)?,
        Model::Inline(_) if lora.is_some() && pretrain_steps == 0 => {
            return Err(Refusal::usage(
                "[lora] adapts trained weights, and a model given as a table has random ones; name a model folder, or \
                 remove [lora]",
            ));
        }
        Model::Inline(keys) => policy::inline_config("model", keys)?,
    };
    policy::check_adapters(lora, &config, &session.device)
}

/// What share of the rows is held out of training: none where nothing is measured on the way, or on a file of its own.
fn validation_share(recipe: &Recipe) -> f64 {
    if recipe.sft.eval_steps == 0 || recipe.data.eval.is_some() { 0.0 } else { recipe.data.split.validation }
}
