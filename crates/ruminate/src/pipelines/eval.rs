//! `eval`: how good a model folder is on problems that training never sees. Rows on standard output and in
//! `eval.jsonl`, every completion in `samples.jsonl`, the table for people. What was sampled once can be judged again
//! and compared without sampling.

use crate::commands::report;
use crate::doctor::{self, Work};
use crate::error::Refusal;
use crate::evaluator::kept::Kept;
use crate::evaluator::samples;
use crate::evaluator::summary::{Finished, Summary};
use crate::evaluator::{Evaluated, Evaluator, seed_of};
use crate::options::RunOptions;
use crate::pipelines::announce;
use crate::policy;
use crate::recipe::Model;
use crate::recipe::text::note_unused_sampling;
use crate::run::folders;
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, enter, hash};
use anyhow::Result;
use ruminate_data::{Completion, Seed, Task};
use ruminate_eval::compare;
use ruminate_model as model;
use serde::Serialize;
use std::path::Path;

pub(crate) fn run(options: RunOptions) -> Result<Finished> {
    let mut session = Session::with_models("eval", options)?;
    // One that has not ended goes on by itself, from the completions that it has kept.
    session.args.resume = None;
    let wanted = session.args.out.clone().unwrap_or_else(|| folders::evaluation_name(&session));
    if session.args.out.is_some() {
        folders::admit(&session, &wanted, &[])?;
    }
    session.recipe.data.prefer_eval_file();
    doctor::quick(&session, Work::Eval)?;
    let recipe = &session.recipe;
    let folder = model_folder(recipe.model.as_ref())?;
    session.check_files()?;
    let config = model::load_config(folder)?;
    let renderer = policy::renderer(&Model::Folder(folder.to_owned()), recipe)?;
    note_unused_sampling(folder, &recipe.eval.sampling(&recipe.rollout));
    let seed = Seed::new(recipe.seed);
    let problems = recipe.problems_for_evaluation(&renderer, config.max_position_embeddings, seed)?;
    let judge = recipe.grader(&renderer)?;
    let evaluator = Evaluator::new(recipe, &renderer, &judge, &problems)?;

    let identity = session.identity(&[])?;
    let out = folders::of_evaluation(&session, &wanted, &hash(&identity))?;
    let stage = match enter(&session, &out, identity, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(Finished::new(&out, summary)),
        Entered::Open(stage) => stage,
    };
    stage.record()?;
    session.tell_settings();
    announce::eval(recipe, folder, &problems);
    let policy = policy::Source::new(folder, None)?.load(&session.device)?;
    let mut sampled = Kept::open(&stage.folder.path().join("sampled.jsonl"))?;
    if sampled.len() > 0 {
        notice!("{} completions were sampled before; they are not sampled again", sampled.len());
    }
    let mut judged = Vec::new();
    let evaluated = evaluator
        .go_on(&policy, &mut sampled, &mut |measured| samples::write(&mut judged, measured, &renderer))?;
    stage.folder.write(&stage.folder.all_samples_path(), &judged)?;
    let mut rows = Vec::new();
    ruminate_data::jsonl::write(&mut rows, &evaluated.evaluations)?;
    stage.folder.write(&stage.folder.eval_path(), &rows)?;
    evaluated.write_samples(&stage.folder, 0)?;
    let mut summary = Summary::default();
    summary.add("model", evaluated);
    let summary = summary.to_value()?;
    stage.finish_files(summary.clone())?;
    sampled.remove()?;
    report::leave(&stage.folder);
    Ok(Finished::new(&out, summary))
}

fn model_folder(model: Option<&Model>) -> Result<&Path> {
    match model {
        Some(Model::Folder(folder)) => Ok(folder),
        _ => Err(Refusal::usage(
            "eval measures trained weights: set `model` to a model folder (--set model=DIR)",
        )),
    }
}

/// Judges the samples of a run again. Without a recipe of its own it takes the run's, whose resolved form lies in its
/// `config.json`.
pub(crate) fn rescore(mut args: RunOptions, run: &Path) -> Result<Summary> {
    let sampled = folders::samples_of(run)?;
    if args.recipe.is_none() {
        args.recipe = Some(run.join("config.json"));
    }
    let session = Session::new("eval", args)?;
    let recipe = &session.recipe;
    let folder = model_folder(recipe.model.as_ref())?;
    let renderer = policy::renderer(&Model::Folder(folder.to_owned()), recipe)?;
    let judge = recipe.grader(&renderer)?;
    let mut evaluated = Evaluated::default();
    for mut measured in samples::read(&sampled)? {
        for groups in [&mut measured.sampled, &mut measured.greedy] {
            let written: Vec<(&Task, &[Completion])> =
                measured.tasks.iter().zip(groups.iter().map(|group| group.completions.as_slice())).collect();
            let verdicts = judge.verdicts(&written, &measured.forced);
            groups.iter_mut().zip(verdicts).for_each(|(group, verdicts)| group.verdicts = verdicts);
        }
        evaluated.evaluations.push(measured.evaluation(0, Seed::new(recipe.seed).child("eval"))?);
    }
    let mut summary = Summary::default();
    summary.add("rescored", evaluated);
    Ok(summary)
}

/// A comparison of two evaluations on one set.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The set of problems.
    pub set: String,
    /// Both pass rates, their difference and its significance.
    #[serde(flatten)]
    pub comparison: ruminate_eval::Comparison,
}

/// Compares two evaluations set by set, on the problems that both were asked.
pub(crate) fn comparison(a: &Path, b: &Path) -> Result<Vec<Compared>> {
    let read = |run: &Path| samples::read(&folders::samples_of(run)?);
    let (first, second) = (read(a)?, read(b)?);
    let mut compared = Vec::new();
    for set in &first {
        let Some(other) = second.iter().find(|other| other.set == set.set) else { continue };
        let (rates, others) = (samples::solve_rates(set), samples::solve_rates(other));
        let both: Vec<(f64, f64)> =
            rates.iter().filter_map(|(prompt, rate)| Some((*rate, *others.get(prompt)?))).collect();
        let (rates, others): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
        let seed = seed_of(Seed::new(0).child("compare"), &set.set);
        let Some(comparison) = compare(&rates, &others, seed) else { continue };
        notice!("{}", sentence(&set.set, &comparison));
        compared.push(Compared { set: set.set.clone(), comparison });
    }
    if !compared.is_empty() {
        return Ok(compared);
    }
    Err(Refusal::input(format!(
        "{} and {} were asked no problem in common: evaluate both with the same `data`, `eval` and `seed`",
        a.display(),
        b.display()
    )))
}

fn sentence(set: &str, comparison: &ruminate_eval::Comparison) -> String {
    let [low, high] = comparison.difference_ci;
    format!(
        "{set}: {:.1} % -> {:.1} % on {} problems, difference {:+.1} points (95 % interval {:+.1} to {:+.1}), p = {:.4}",
        100.0 * comparison.a,
        100.0 * comparison.b,
        comparison.n,
        100.0 * comparison.difference,
        100.0 * low,
        100.0 * high,
        comparison.p
    )
}
