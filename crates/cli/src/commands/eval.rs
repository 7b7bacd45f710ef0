//! `eval`: how good a model folder is on problems that training never sees. Rows on standard output and in
//! `eval.jsonl`, every completion in `samples.jsonl`, the table for people. What was sampled once can be judged again
//! and compared without sampling.

use crate::announce;
use crate::args::EvalArgs;
use crate::commands::report;
use crate::doctor::{self, Work};
use crate::ends;
use crate::evaluate::{Evaluation, Evaluator, Sets};
use crate::exit::Refusal;
use crate::folders;
use crate::lines::Output;
use crate::policy;
use crate::problems::Problems;
use crate::recipe::Model;
use crate::samples;
use crate::scoring::Judge;
use crate::session::Session;
use crate::stage::{Earlier, Entered, enter, hash};
use crate::story::Story;
use anyhow::Result;
use ruminate_data::{Completion, Seed, Task};
use ruminate_eval::compare;
use ruminate_model as model;
use serde::Serialize;
use std::path::Path;

pub(crate) fn run(args: EvalArgs) -> Result<()> {
    match (args.compare.as_deref(), &args.rescore) {
        (Some([a, b]), _) => comparison(a, b),
        (_, Some(run)) => rescore(args.fit.into_run("eval")?, run),
        _ => evaluate(Session::with_models("eval", args.fit.into_run("eval")?)?),
    }
}

fn evaluate(mut session: Session) -> Result<()> {
    // An evaluation that has not ended has nothing to go on from.
    session.args.resume = None;
    let wanted = session.args.out.clone().unwrap_or_else(|| folders::evaluation_name(&session));
    if session.args.out.is_some() {
        folders::admit(&session, &wanted, &[])?;
    }
    // A file of problems to be measured on goes before a family to draw them from.
    if session.recipe.data.eval.is_some() && session.recipe.data.train.is_none() {
        session.recipe.data.task = None;
        session.recipe.data.tasks = Vec::new();
    }
    doctor::quick(&session, Work::Eval)?;
    let recipe = &session.recipe;
    let folder = model_folder(recipe.model.as_ref())?;
    session.check_files()?;
    let config = model::load_config(folder)?;
    let language = policy::language(&Model::Folder(folder.to_owned()), recipe)?;
    ends::note_unused_sampling(folder, &recipe.eval.sampling(&recipe.rollout));
    let seed = Seed::new(recipe.seed);
    let problems = Problems::to_measure(recipe, &language, config.max_position_embeddings, seed)?;
    let judge = Judge::new(recipe, &language)?;
    let evaluator = Evaluator::new(recipe, &language, &judge, &problems)?;

    let identity = session.identity(&[])?;
    let out = folders::of_evaluation(&session, &wanted, &hash(&identity))?;
    let stage = match enter(&session, &out, identity, Earlier::Kept)? {
        Entered::Complete(summary) => return tell(&serde_json::from_value(summary).unwrap_or_default()),
        Entered::Open(stage) => stage,
    };
    stage.record()?;
    session.tell_settings();
    announce::eval(recipe, folder, &problems);
    let policy = policy::Source::new(folder, None)?.load(&session.device)?;
    let mut kept = Vec::new();
    let evaluation = evaluator
        .run_keeping(0, &policy, Sets::All, &mut |measured| samples::write(&mut kept, measured, &language))?;
    stage.folder.write(&stage.folder.all_samples_path(), &kept)?;
    let mut rows = Vec::new();
    ruminate_data::jsonl::write(&mut rows, &evaluation.reports)?;
    stage.folder.write(&stage.folder.eval_path(), &rows)?;
    evaluation.write_samples(&stage.folder, 0)?;
    let mut story = Story::default();
    story.add("model", evaluation);
    stage.finish_files(story.to_value()?)?;
    report::leave(&stage.folder);
    eprintln!("run folder    {}", out.display());
    tell(&story)
}

/// Rows on standard output, the table for people.
fn tell(story: &Story) -> Result<()> {
    let mut results = Output::open(None)?;
    for report in story.reports() {
        results.line(report)?;
    }
    story.tell();
    Ok(())
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
fn rescore(mut args: crate::args::RunArgs, run: &Path) -> Result<()> {
    let sampled = folders::samples_of(run)?;
    if args.recipe.is_none() {
        args.recipe = Some(run.join("config.json"));
    }
    let session = Session::new("eval", args)?;
    let recipe = &session.recipe;
    let folder = model_folder(recipe.model.as_ref())?;
    let language = policy::language(&Model::Folder(folder.to_owned()), recipe)?;
    let judge = Judge::new(recipe, &language)?;
    let mut evaluation = Evaluation::default();
    for mut measured in samples::read(&sampled)? {
        for groups in [&mut measured.sampled, &mut measured.greedy] {
            let written: Vec<(&Task, &[Completion])> =
                measured.tasks.iter().zip(groups.iter().map(|group| group.completions.as_slice())).collect();
            let verdicts = judge.verdicts(&written, &measured.forced);
            groups.iter_mut().zip(verdicts).for_each(|(group, verdicts)| group.verdicts = verdicts);
        }
        evaluation.reports.push(measured.report(0, Seed::new(recipe.seed).child("eval"))?);
    }
    let mut story = Story::default();
    story.add("rescored", evaluation);
    tell(&story)
}

/// A comparison of one set.
#[derive(Serialize)]
struct Compared<'a> {
    set: &'a str,
    #[serde(flatten)]
    comparison: ruminate_eval::Comparison,
}

/// Compares two evaluations set by set, on the problems that both were asked.
fn comparison(a: &Path, b: &Path) -> Result<()> {
    let read = |run: &Path| samples::read(&folders::samples_of(run)?);
    let (first, second) = (read(a)?, read(b)?);
    let mut results = Output::open(None)?;
    let mut found = false;
    for set in &first {
        let Some(other) = second.iter().find(|other| other.set == set.set) else { continue };
        let (rates, others) = (samples::solve_rates(set), samples::solve_rates(other));
        let both: Vec<(f64, f64)> =
            rates.iter().filter_map(|(prompt, rate)| Some((*rate, *others.get(prompt)?))).collect();
        let (rates, others): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
        let Some(comparison) = compare(&rates, &others, Seed::new(0).child("compare").child(&set.set)) else {
            continue;
        };
        found = true;
        eprintln!("{}", sentence(&set.set, &comparison));
        results.line(&Compared { set: &set.set, comparison })?;
    }
    if found {
        return Ok(());
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
