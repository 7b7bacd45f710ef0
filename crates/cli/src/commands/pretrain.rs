//! `pretrain`: next-token training from random weights, on a corpus or on the traces of a procedural family. It makes
//! the base policies of `train-rl` and `distill`, too.

use crate::announce;
use crate::args::RunArgs;
use crate::commands::sft;
use crate::doctor::{self, Work};
use crate::exit::Refusal;
use crate::folders;
use crate::language::Language;
use crate::observer::{Observer, Settings};
use crate::policy;
use crate::recipe::{Data, Model, PromptStyle};
use crate::screen;
use crate::session::{Session, without_threads};
use crate::stage::{Earlier, Entered, enter};
use crate::story;
use anyhow::{Context, Result};
use rand::seq::SliceRandom;
use ruminate_data::jsonl::{self, Mismatch};
use ruminate_data::traces::Traces;
use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Parameters};
use ruminate_train::{Trained, supervised};
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::new("pretrain", args)?;
    doctor::quick(&session, Work::Pretrain)?;
    let (out, settings) = (session.out(), session.recipe.pretrain.clone());
    folders::admit(&session, &out, &[])?;
    let Some(Model::Inline(keys)) = &session.recipe.model else {
        return Err(Refusal::usage(
            "pretrain makes a model from random weights: expected a table [model] with the keys of a config.json",
        ));
    };
    if settings.num_train_epochs > 0.0 {
        return Err(Refusal::usage(
            "`pretrain.num_train_epochs` counts a set of samples, and traces have no end; set `pretrain.max_steps`",
        ));
    }
    if session.recipe.lora.is_some() {
        return Err(Refusal::usage(
            "pretrain trains all weights from random ones: adapters have nothing to adapt; remove [lora]",
        ));
    }
    session.check_files()?;
    let config = policy::inline_config("model", keys)?;
    let spec =
        Spec { label: "pretrain", path: &out, config: &config, settings: &settings, earlier: Earlier::Kept };
    let summary = train(&session, &spec)?;
    story::end(&summary, &out)
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
    pub(crate) earlier: Earlier,
}

/// Trains, unless that has been done; the model lies in `final` of the folder.
///
/// # Errors
/// Those of data, training and saving.
pub(crate) fn train(session: &Session, spec: &Spec) -> Result<Value> {
    let recipe = &session.recipe;
    let seed = Seed::new(recipe.seed).child("pretrain");
    let identity = identity(session, spec)?;
    let stage = match enter(session, spec.path, identity, spec.earlier)? {
        Entered::Complete(summary) => return Ok(summary),
        Entered::Open(stage) => stage,
    };
    let language = Language::embedded(PromptStyle::Bare)?;
    let mut source = source(&recipe.data, spec.settings, &language, seed)?;
    let Parameters { all, active } = spec.config.parameters();
    eprintln!(
        "{}: {} parameters, {} active a token",
        spec.label,
        policy::millions(all),
        policy::millions(active)
    );

    announce::supervised(spec.label, recipe, spec.settings, None);
    let first: Vec<Sample> = (0..spec.settings.batch_size as u64).map(&mut *source).collect();
    let plan =
        supervised::memory_plan(spec.config, Trained::Weights, sft::mean_length(&first), spec.settings);
    eprintln!("{}", screen::wrapped(&format!("{}: memory {plan}", spec.label)));
    let autodiff = session.device.clone().autodiff();
    let state = stage.state(&spec.settings.train, None, &session.device, || {
        Ok(policy::fresh(spec.config, seed, &autodiff))
    })?;
    let settings = Settings {
        recipe,
        folder: &stage.folder,
        language: &language,
        identity: &stage.identity,
        keep_last: NonZeroUsize::new(spec.settings.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
        completions_steps: 0,
        temperature: 1.0,
        evaluator: None,
    };
    let mut observer = Observer::new(spec.label, spec.settings.max_steps, state.step, settings)?;
    let state = supervised::train(state, &mut *source, spec.settings, &mut observer)?;
    observer.finish(state.step)?;
    drop(observer);
    let summary = json!({ "compute": policy::compute(state.num_tokens, spec.config) });
    stage.finish(&state.policy, &language, summary.clone())?;
    Ok(summary)
}

/// What decides the result, and nothing else, so that a base is found again under another algorithm.
fn identity(session: &Session, spec: &Spec) -> Result<Value> {
    let Data { task, tasks, mix, split, corpus, .. } = &session.recipe.data;
    let params = session.recipe.data.family()?.map(|family| family.params());
    Ok(without_threads(json!({
        "stage": "pretrain",
        "seed": session.recipe.seed,
        "model": spec.config.to_json(),
        "data": { "task": task, "tasks": tasks, "params": params, "mix": mix, "split": split, "corpus": corpus },
        "pretrain": spec.settings,
    })))
}

/// Traces that are looked at before training, a second's work: a row that is too short for one of them is not found at its
/// step.
const LOOKED_AT: u64 = 1 << 18;

type Source = Box<dyn FnMut(u64) -> Sample>;

/// Samples by index: pieces of the corpus, or traces with the loss on what the policy would write.
///
/// # Errors
/// With exit code 3 for a bad corpus, and 2 for a row that does not hold the traces of the run.
fn source(data: &Data, settings: &supervised::Config, language: &Language, seed: Seed) -> Result<Source> {
    if let Some(path) = &data.corpus {
        let pieces = corpus(path, settings.row_length, language, data.bad_lines.into())?;
        let (mut order, mut epoch) = (Vec::new(), None);
        return Ok(Box::new(move |index| {
            let wanted = index / pieces.len() as u64;
            if epoch != Some(wanted) {
                order = (0..pieces.len()).collect::<Vec<usize>>();
                order.shuffle(&mut seed.child("shuffle").index(wanted).rng());
                epoch = Some(wanted);
            }
            pieces[order[(index % pieces.len() as u64) as usize]].clone()
        }));
    }
    let Some(family) = data.family()? else {
        return Err(Refusal::usage("nothing to pretrain on: set `data.task` or `data.corpus`"));
    };
    let traces = Traces::new(family, data.mix.clone(), data.split, seed)?;
    let tokenizer = language.tokenizer.clone();
    let end = language.taught_end();
    let sample = move |index: u64| -> Result<Sample> {
        let trace = traces.trace(index)?;
        let (prompt, mut completion) = tokenizer.encode_pair(&trace.prompt, &trace.completion)?;
        completion.extend(end);
        Ok(Sample::completion_only(&prompt, &completion))
    };
    let first = sample(0).context("the first trace")?;
    fits(settings, |index| sample(index).map_or(0, |sample| sample.ids.len()))?;
    // A family that has a problem at one index has one at all; should it not, the first stands in.
    Ok(Box::new(move |index| sample(index).unwrap_or_else(|_| first.clone())))
}

/// Checks that a row holds every trace that the run will see, as far as that can be seen in advance.
fn fits(settings: &supervised::Config, length: impl Fn(u64) -> usize) -> Result<()> {
    let seen = settings.max_steps.saturating_mul(settings.batch_size) as u64;
    let longest = (0..seen.min(LOOKED_AT)).map(length).max().unwrap_or(0);
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
    language: &Language,
    bad_lines: jsonl::BadLines,
) -> Result<Vec<Sample>> {
    let file =
        File::open(path).map_err(|source| ruminate_data::Error::Read { path: path.clone(), source })?;
    let rows = jsonl::read(BufReader::new(file), path, bad_lines, |line| {
        let object = jsonl::parse_object(line)?;
        let text = object.get("text").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Mismatch {
            expected: "a column `text` with a text".to_owned(),
            found: "none".to_owned(),
        })
    })?;
    let mut tokens = Vec::new();
    for row in rows.rows {
        let ids = language.completion_ids(&row.value);
        tokens.extend(ids.map_err(|error| Refusal::line(path, row.line, error))?);
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
