//! `pretrain`: next-token training from random weights, on a corpus or on the traces of a procedural family. It makes
//! the base policies of `train-rl` and `distill`, too.

use crate::doctor::{self, Work};
use crate::error::Refusal;
use crate::evaluator::summary::Finished;
use crate::evaluator::validation::{self, Validation};
use crate::observer::{Observer, Settings};
use crate::options::RunOptions;
use crate::pipelines::announce;
use crate::pipelines::sft;
use crate::policy;
use crate::printable;
use crate::progress::Progress;
use crate::recipe::{Model, Recipe, keys};
use crate::run::folders;
use crate::run::identity::{self, read_inputs, without_threads};
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, enter};
use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use ruminate_data::container;
use ruminate_data::jsonl::{self, Mismatch};
use ruminate_data::traces::Traces;
use ruminate_data::{Epochs, Sample, SamplingParams, Seed, SourceError, Stop};
use ruminate_env::Data;
use ruminate_model::{Config, Parameters};
use ruminate_text::PromptStyle;
use ruminate_text::Renderer;
use ruminate_text::Tokenizer;
use ruminate_train::{Trained, supervised};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunOptions) -> Result<Finished> {
    let session = Session::new("pretrain", args)?;
    let (out, settings) = (session.out(), session.recipe.pretrain.clone());
    folders::admit(&session, &out, &[])?;
    doctor::quick(&session, Work::Pretrain)?;
    let Some(Model::Inline(keys)) = &session.recipe.model else {
        return Err(Refusal::usage(
            "pretrain makes a model from random weights: expected a table [model] with the keys of a config.json",
        ));
    };
    if session.recipe.lora.is_some() {
        return Err(Refusal::usage(
            "pretrain trains all weights from random ones: adapters have nothing to adapt; remove [lora]",
        ));
    }
    let data = &session.recipe.data;
    if data.corpus.is_none() && keys::is_set(&session.args.set, "data.eval") {
        return Err(Refusal::usage(
            "`data.eval` has no effect under `pretrain` on traces, whose held-out problems are measured where \
             `pretrain.eval_steps` is above 0; expected `data.corpus` beside it, or remove it",
        ));
    }
    session.check_files()?;
    let config = policy::inline_config("model", keys)?;
    let spec = Spec {
        label: "pretrain",
        path: &out,
        config: &config,
        settings: &settings,
        earlier: OnExisting::Kept,
    };
    let summary = train(&session, &spec)?;
    Ok(Finished::new(&out, summary))
}

/// What to pretrain, and where.
pub(crate) struct Spec<'a> {
    /// For the progress bar.
    pub(crate) label: &'a str,
    /// The run folder.
    pub(crate) path: &'a Path,
    /// The architecture.
    pub(crate) config: &'a Config,
    pub(crate) settings: &'a supervised::Config,
    pub(crate) earlier: OnExisting,
}

/// Trains, unless that has been done; the model lies in `final` of the folder.
///
/// # Errors
/// Those of data, training and saving.
pub(crate) fn train(session: &Session, spec: &Spec) -> Result<Value> {
    let recipe = &session.recipe;
    let seed = Seed::new(recipe.seed).child("pretrain");
    let share = validation_share(&recipe.data, spec.settings);
    let identity = identity(session, spec, share)?;
    let stage = match enter(session, spec.path, identity, spec.earlier)? {
        Entered::Complete(summary) => return Ok(summary),
        Entered::Open(stage) => stage,
    };
    let renderer = Renderer::embedded(PromptStyle::Bare)?;
    let Material { mut source, validation } = material(recipe, spec.settings, &renderer, share, seed)?;
    let validation =
        (!validation.is_empty()).then(|| Validation::new(validation, spec.settings)).transpose()?;
    if let Some(validation) = &validation {
        validation.announce(spec.label);
    }
    let Parameters { all, active } = spec.config.parameters();
    notice!(
        "{}: {} parameters, {} active a token",
        spec.label,
        policy::millions(all),
        policy::millions(active)
    );

    announce::supervised(spec.label, recipe, spec.settings, None);
    let first = (0..spec.settings.batch_size as u64).map(&mut *source).collect::<Result<Vec<Sample>, _>>();
    let first = first.map_err(|error| anyhow!(error))?;
    let plan =
        supervised::memory_plan(spec.config, Trained::Weights, sft::mean_length(&first), spec.settings);
    notice!("{}", printable::wrapped(&format!("{}: memory {plan}", spec.label)));
    let autodiff = session.device.clone().autodiff();
    let eval_steps = validation.as_ref().map(|_| spec.settings.eval_steps);
    let (steps, trainer) = (spec.settings.max_steps, &spec.settings.train);
    let state = stage.state(steps, trainer, eval_steps, &session.device, || {
        Ok(policy::fresh(spec.config, seed, &autodiff))
    })?;
    let settings = Settings {
        recipe,
        folder: &stage.folder,
        renderer: &renderer,
        identity: &stage.identity,
        keep_last: NonZeroUsize::new(spec.settings.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
        completions_steps: 0,
        sampling: SamplingParams::default(),
        stop: Stop::default(),
        evaluator: None,
        small: None,
        validation: validation.as_ref(),
    };
    let mut observer = Observer::new(spec.label, spec.settings.max_steps, state.step, settings)?;
    let state = supervised::train(state, &mut *source, spec.settings, &mut observer)?;
    observer.finish(state.step)?;
    drop(observer);
    let mut summary = json!({ "compute": policy::compute(state.num_tokens, spec.config) });
    validation::summarise(&mut summary, &stage.folder, state.step);
    stage.finish(&state.policy, &renderer, summary.clone())?;
    Ok(summary)
}

/// What decides the result, and nothing else, so that a base is found again under another algorithm.
fn identity(session: &Session, spec: &Spec, share: f64) -> Result<Value> {
    let Recipe { seed, data, eval, .. } = &session.recipe;
    let Data { task, tasks, mix, split, corpus, .. } = data;
    let params = data.family()?.map(|family| family.params());
    let mut identity = without_threads(json!({
        "stage": "pretrain",
        "seed": seed,
        "model": spec.config.to_json(),
        "data": { "task": task, "tasks": tasks, "params": params, "mix": mix, "split": split, "corpus": corpus },
        "pretrain": spec.settings,
    }));
    if corpus.is_some() && data.eval.is_some() {
        identity["data"]["eval"] = json!(data.eval);
    }
    if corpus.is_some() && share > 0.0 {
        identity::add_validation(&mut identity, share);
    }
    if corpus.is_none() && share > 0.0 {
        identity["eval"] = json!({ "n": eval.n }); // how many traces are measured
    }
    read_inputs(&mut identity)?;
    Ok(identity)
}

/// What share is held out: none where nothing is measured on the way, or on a file of its own.
fn validation_share(data: &Data, settings: &supervised::Config) -> f64 {
    let has_file = data.corpus.is_some() && data.eval.is_some();
    if settings.eval_steps == 0 || has_file { 0.0 } else { data.split.validation }
}

/// Traces that are looked at before training, a second's work: a row that is too short for one of them is not found at its
/// step.
const LOOKED_AT: u64 = 1 << 18;

/// What is trained on, and what is measured on.
struct Material {
    source: Source,
    validation: Vec<Sample>,
}

type Source = Box<dyn FnMut(u64) -> Result<Sample, SourceError>>;

/// Samples by index: pieces of the corpus, or traces with the loss on what the policy would write. Of a corpus the last
/// `share` of the pieces is held out; traces are measured on held-out problems, which no training stream has.
///
/// # Errors
/// With exit code 3 for a bad corpus, and 2 for a row that does not hold the traces of the run.
fn material(
    recipe: &Recipe,
    settings: &supervised::Config,
    renderer: &Renderer,
    share: f64,
    seed: Seed,
) -> Result<Material> {
    let data = &recipe.data;
    let Some(path) = &data.corpus else { return traces(recipe, settings, renderer, share, seed) };
    let read = |path| corpus(path, settings.row_length, renderer, data.bad_lines.into());
    let mut pieces = read(path)?;
    let validation = match &data.eval {
        Some(path) => read(path)?,
        None => pieces.split_off(pieces.len() - (share * pieces.len() as f64).ceil() as usize),
    };
    if pieces.is_empty() {
        return Err(Refusal::input(format!(
            "{}: `pretrain.eval_steps` holds out {share} of the rows of {} tokens (`data.split.validation`), which leaves none to \
             train on; give more text, a smaller `pretrain.row_length`, or `data.eval`",
            path.display(),
            settings.row_length
        )));
    }
    let mut epochs = Epochs::new(pieces.len(), seed.child("shuffle")).context("no piece to train on")?;
    let source = Box::new(move |index: u64| Ok(pieces[epochs.position(index)].clone()));
    Ok(Material { source, validation })
}

fn traces(
    recipe: &Recipe,
    settings: &supervised::Config,
    renderer: &Renderer,
    share: f64,
    seed: Seed,
) -> Result<Material> {
    let Data { mix, split, .. } = &recipe.data;
    let Some(family) = recipe.data.family()? else {
        return Err(Refusal::usage("nothing to pretrain on: set `data.task` or `data.corpus`"));
    };
    let (tokenizer, end) = (renderer.tokenizer.clone(), renderer.taught_end());
    let mut validation = Vec::new();
    if share > 0.0 {
        let traces = Traces::validation(family.clone(), mix.clone(), *split, seed.child("held_out"))?; // as in version 0.1
        validation = (0..recipe.eval.n as u64)
            .map(|index| written(&traces, &tokenizer, end, index))
            .collect::<Result<Vec<_>>>()
            .context("a held-out trace")?;
    }
    let traces = Traces::new(family, mix.clone(), *split, seed)?;
    let sample = move |index: u64| written(&traces, &tokenizer, end, index);
    let longest = validation.iter().map(|sample: &Sample| sample.ids.len()).max().unwrap_or(0);
    fits(settings, longest, |index| Ok(sample(index).with_context(|| format!("trace {index}"))?.ids.len()))?;
    Ok(Material { source: Box::new(move |index: u64| Ok(sample(index)?)), validation })
}

/// The trace of an index as token ids, the loss on what the policy would write.
fn written(traces: &Traces, tokenizer: &Tokenizer, end: Option<u32>, index: u64) -> Result<Sample> {
    let trace = traces.trace(index)?;
    let (prompt, mut completion) = tokenizer.encode_pair(&trace.prompt, &trace.completion)?;
    completion.extend(end);
    Ok(Sample::completion_only(&prompt, &completion))
}

/// Checks that a row holds every trace that the run will see, as far as that can be seen in advance. `validation` is the longest
/// of those that are measured.
fn fits(
    settings: &supervised::Config,
    validation: usize,
    length: impl Fn(u64) -> Result<usize>,
) -> Result<()> {
    let seen = settings.max_steps.saturating_mul(settings.batch_size) as u64;
    let mut longest = validation;
    for index in 0..seen.min(LOOKED_AT) {
        longest = longest.max(length(index)?);
    }
    if longest > settings.row_length {
        return Err(Refusal::usage(format!(
            "`pretrain.row_length` = {}: expected room for the longest of the {} traces that the run begins with, which has \
             {longest} tokens; raise it, or make the tasks smaller",
            settings.row_length,
            seen.min(LOOKED_AT)
        )));
    }
    Ok(())
}

/// A corpus as one row of tokens, each text ended, cut into pieces that are trained on whole.
fn corpus(
    path: &PathBuf,
    row_length: usize,
    renderer: &Renderer,
    bad_lines: jsonl::BadLines,
) -> Result<Vec<Sample>> {
    /// Rows between two movements of the bar.
    const AT_ONCE: usize = 2048;
    let mut progress = Progress::reading(path);
    let rows = jsonl::read(container::open(path)?, path, bad_lines, |line| {
        let object = jsonl::parse_object(line)?;
        let text = object.get("text").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Mismatch {
            expected: "a column `text` with a text".to_owned(),
            found: "none".to_owned(),
        })
    })?;
    let (mut tokens, mut done) = (Vec::new(), 0);
    for rows in rows.rows.chunks(AT_ONCE) {
        let encoded: Vec<_> = rows.par_iter().map(|row| renderer.completion_ids(&row.value)).collect();
        for (row, ids) in rows.iter().zip(encoded) {
            tokens.extend(ids.map_err(|error| Refusal::line(path, row.line, error))?);
        }
        done += rows.len();
        progress.at(done as u64, "rows tokenized");
    }
    let pieces: Vec<Sample> = tokens
        .chunks(row_length)
        .filter(|piece| piece.len() > 1)
        .map(|piece| Sample::completion_only(&piece[..1], &piece[1..]))
        .collect();
    if pieces.is_empty() {
        return Err(Refusal::input(format!("{}: expected at least two tokens of text", path.display())));
    }
    Ok(pieces)
}
