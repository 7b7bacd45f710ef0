//! The sampling half of the doctor: the first step of the run, with its model, its prompts, its reward and its seed. What the
//! step learns is thrown away, and nothing is written. [`batch`] says what its completions mean.

mod batch;
mod shown;

use super::findings::Finding;
use super::{Work, rewards};
use crate::error::Refusal;
use crate::evaluator::{Evaluator, Sizes};
use crate::fleet::LostUnscored;
use crate::forecast::{StepTime, Workload, about};
use crate::frontend;
use crate::interrupt;
use crate::pipelines::train_rl::sort_into_pools;
use crate::policy;
use crate::progress::{Counted, Progress};
use crate::recipe::{Model, Recipe};
use crate::run::session::Session;
use anyhow::Result;
use batch::Batch;
use ruminate_data::{Completion, Problem, Seed, SourceError};
use ruminate_grpo::{self as grpo, StepReport};
use ruminate_model::{self as model, lora};
use ruminate_reward::tags::Opening;
use ruminate_rollout::LocalEngine;
use ruminate_text::SpecialText;
use ruminate_train::State;
use std::path::PathBuf;

/// Takes the first step of a run, and says what it shows. `found` is what was found before: a run that would be refused is
/// not begun, unless it is forced.
///
/// # Errors
/// Another pipeline than GRPO, and an interruption.
pub(crate) fn check(session: &Session, work: Work, found: &[Finding]) -> Result<Vec<Finding>> {
    if work != Work::TrainRl {
        return Err(Refusal::usage(format!(
            "--sample takes the first step of `train-rl`, and {work} has none; leave --sample or --for {work} out"
        )));
    }
    let recipe = &session.recipe;
    if let Some(severe) = found.iter().find(|finding| finding.is_severe() && !session.args.force) {
        let found = format!("nothing was sampled: a run would be refused for `{}`", severe.name);
        return Ok(vec![Finding::note("sample", found)]);
    }
    let Some(folder) = folder(session) else {
        let found = "nothing was sampled: `model` is a table, and the base policy that a run pretrains by it is not there yet";
        let advice = "start the run and stop it after its base, or set `model` to a model folder";
        return Ok(vec![Finding::warning("sample", found, advice)]);
    };
    frontend::catch_interrupts("the doctor ends after the step; nothing is kept of it");
    let mut findings = Vec::new();
    if !recipe.rollout.engine.is_local() {
        let found = "completions are sampled here and not by `[fleet]`, whose time is another";
        findings.push(Finding::note("sample", found));
    }
    match step(session, folder) {
        Ok(more) => findings.extend(more),
        Err(error) => {
            let found = format!("the first step of the run fails: {error:#}");
            findings.push(Finding::severe("sample", found, "a run would end there"));
        }
    }
    if interrupt::requested() {
        return Err(Refusal::Interrupted(" while sampling; nothing is kept of it".to_owned()).into());
    }
    Ok(findings)
}

/// The folder of the policy that a run begins with: of a table of an architecture the base, once a run has made it.
fn folder(session: &Session) -> Option<PathBuf> {
    match session.recipe.model.as_ref()? {
        Model::Folder(folder) => Some(folder.clone()),
        Model::Inline(_) => {
            let base = session.out().join("base");
            base.join("complete.json").exists().then(|| base.join("final"))
        }
    }
}

/// The step itself, and what follows from it.
fn step(session: &Session, folder: PathBuf) -> Result<Vec<Finding>> {
    let config = model::load_config(&lora::base_folder(&folder)?)?;
    let seed = Seed::new(session.recipe.seed);
    let model = session.recipe.model.clone().unwrap_or(Model::Folder(folder.clone()));
    let renderer = policy::renderer(&model, &session.recipe)?;
    let mut problems = session.recipe.problems(&renderer, config.max_position_embeddings, seed)?;
    let session = &session.lasting(session.recipe.steps(problems.count())?);
    let recipe = &session.recipe;
    let judge = recipe.grader(&renderer)?;
    let stop = recipe.stop(&renderer)?;
    let setup = recipe.trainer_args(&stop);
    let sizes = Evaluator::new(recipe, &renderer, &judge, &problems)?.sizes();
    let device = session.device.clone().autodiff();
    let mut state = State::fresh(
        policy::trainable(&folder, recipe.lora.as_ref(), &recipe.train, seed, &device)?,
        &recipe.train,
    );
    sort_into_pools(&mut state, problems.pools().filter(|_| recipe.grpo.pools.is_some()));
    let mut progress = Progress::new("sample", 1, 0);
    let mut engine = LocalEngine::new(recipe.trainer_engine());
    let mut engine = Counted::new(&mut engine, progress.counter());
    let mut tasks = Vec::new();
    let mut next = |index: u64| -> Result<Problem, SourceError> {
        let problem = problems.training(&renderer, index)?;
        // A group is known by when it was asked, and a problem of pools by its place.
        tasks.push((tasks.len() as u64, problem.task.clone()));
        Ok(problem)
    };
    let score = LostUnscored(&judge);
    let report = grpo::Trainer::new(state, &mut engine, &mut next, &score, setup)?.step(&mut ())?;
    progress.at(1, "");
    drop(progress);
    let StepReport { metrics, groups, advantages, .. } = &report;
    let task = |index: usize| tasks.iter().find(|(at, _)| *at == index as u64).map(|(_, task)| task);
    let asked = groups.first().and_then(|group| task(group.task));
    let parts = asked.map(|task| rewards::parts(recipe, task)).unwrap_or_default();
    let wanted = rewards::Form::wanted(&parts);
    let read = |completion: &Completion| {
        let prompt = renderer.tokenizer.decode(&completion.prompt_ids, SpecialText::Keep).unwrap_or_default();
        wanted.map(|form| form.is_in(&renderer.text(&completion.ids), Opening::of(&prompt)))
    };
    let formed = groups.iter().map(|group| group.completions.iter().map(&read).collect::<Vec<_>>()).collect();
    let batch = Batch { recipe, groups, advantages, formed, form: wanted };
    let mut findings = batch.findings(metrics);
    findings.push(time(recipe, sizes, StepTime::of(metrics), batch.are_all_dead()));
    findings.extend(shown::examples(groups, &renderer));
    Ok(findings)
}

/// What the step took, and what a run of such steps would.
fn time(recipe: &Recipe, sizes: Sizes, step: Option<StepTime>, nothing_learned: bool) -> Finding {
    let Some(step) = step else { return Finding::note("time", "the step's time was not measured") };
    let run = Workload::whole(recipe, sizes).seconds(step);
    let least = if nothing_learned { "; a step that learns something takes longer" } else { "" };
    Finding::note(
        "time",
        format!(
            "the step took {:.1} s, {:.1} of them for sampling: {} for the {} steps and the evaluations of the run{least}",
            step.whole(),
            step.sampling,
            about(run),
            recipe.max_steps
        ),
    )
}
