//! `train-rl`: a base policy (pretrained on the spot where the recipe describes one), GRPO, and what came of it.

use crate::args::RunArgs;
use crate::commands::pretrain;
use crate::evaluate::Evaluator;
use crate::exit::Refusal;
use crate::observer::{Observer, Settings};
use crate::policy;
use crate::problems::Problems;
use crate::recipe::{Model, Recipe};
use crate::scoring::Judge;
use crate::session::Session;
use crate::stage::{Earlier, Entered, enter, reports_of_step};
use crate::story::{self, Story};
use anyhow::Result;
use ruminate_data::Seed;
use ruminate_grpo as grpo;
use ruminate_model::{self as model, Config};
use serde_json::Value;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::new("train-rl", args)?;
    let out = session.out();
    let summary = train(&session, &out)?;
    story::end(&summary, &out)
}

/// The whole command but its last words; the policy lies in `final` of the folder.
///
/// # Errors
/// Those of data, training and saving.
pub(crate) fn train(session: &Session, out: &Path) -> Result<Value> {
    let recipe = &session.recipe;
    let Some(model) = &recipe.model else {
        return Err(Refusal::usage("`model` is missing; expected a model folder, or a table [model]"));
    };
    let config = match model {
        Model::Folder(folder) => model::load_config(folder)?,
        Model::Inline(keys) => policy::inline_config("model", keys)?,
    };
    let seed = Seed::new(recipe.seed);
    let language = policy::language(model, recipe.data.prompt)?;
    let mut problems = Problems::new(recipe, &language, config.max_position_embeddings, seed)?;
    let judge = Judge { language: &language, rubric: recipe.reward.rubric(&recipe.data, None)? };
    let evaluator = Evaluator::new(recipe, &language, &judge, &problems)?;

    let stage = match enter(session, out, session.identity(&["sft", "distill"])?, Earlier::Kept)? {
        Entered::Complete(summary) => {
            eprintln!("{} is complete", out.display());
            return Ok(summary);
        }
        Entered::Open(stage) => stage,
    };
    announce(recipe, model, &config, out);
    let base = match model {
        Model::Folder(folder) => folder.clone(),
        Model::Inline(_) => base(session, &out.join("base"), &config, &recipe.pretrain)?,
    };

    let autodiff = session.device.clone().autodiff();
    let state = stage.state(&recipe.train, &session.device, || Ok(model::load(&base, &autodiff)?))?;
    let settings = Settings {
        folder: &stage.folder,
        language: &language,
        identity: &stage.identity,
        keep_last: NonZeroUsize::new(recipe.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
        completions_steps: recipe.eval.completions_steps,
        evaluator: Some(&evaluator),
    };
    let setup = grpo::Setup {
        config: &recipe.grpo,
        train: &recipe.train,
        sampling: &recipe.rollout,
        eos_token_ids: &language.end_ids,
        max_steps: recipe.max_steps,
        seed: seed.child("grpo"),
    };
    let mut observer = Observer::new("grpo", recipe.max_steps, state.step, settings)?;
    let state = grpo::train(
        state,
        &mut |index| problems.training(&language, index),
        &|task, completion| judge.verdict(task, completion, ""),
        &setup,
        &mut observer,
    )?;
    observer.outcome(state.step, recipe.max_steps)?;

    let mut story = Story::default();
    match observer.before.take() {
        Some(before) => story.add("before", before),
        None => story.add_reports("before", reports_of_step(&stage.folder, 0)),
    }
    match observer.latest.take() {
        Some(after) => story.add("after", after),
        None => story.add_reports("after", reports_of_step(&stage.folder, state.step as u64)),
    }
    drop(observer);
    let summary = story.to_value()?;
    stage.finish(&state.policy, &language, summary.clone())?;
    Ok(summary)
}

/// Pretrains a policy of that architecture in `path`, unless it is there, and returns its model folder.
///
/// # Errors
/// Those of data, training and saving.
pub(crate) fn base(
    session: &Session,
    path: &Path,
    config: &Config,
    settings: &ruminate_train::supervised::Config,
) -> Result<PathBuf> {
    let spec = pretrain::Spec { label: "pretrain", path, config, settings, earlier: Earlier::Replaced };
    pretrain::train(session, &spec)?;
    Ok(path.join("final"))
}

/// Says what is going to happen.
fn announce(recipe: &Recipe, model: &Model, config: &Config, out: &Path) {
    let (all, active) = policy::parameters(config);
    let task = match (&recipe.data.train, &recipe.data.task) {
        (Some(path), _) => path.display().to_string(),
        (None, task) => task.clone().unwrap_or_default(),
    };
    eprintln!("train-rl: {all} parameters ({active} active a token), {task}, seed {}", recipe.seed);
    if matches!(model, Model::Inline(_)) {
        let pretrain = &recipe.pretrain;
        eprintln!(
            "  1. pretrain a base policy: {} steps of {} traces (skipped where {} has it)",
            pretrain.max_steps,
            pretrain.batch_size,
            out.join("base").display()
        );
    }
    let grpo = &recipe.grpo;
    eprintln!(
        "  2. GRPO: {} steps of {} problems x {} completions of at most {} tokens",
        recipe.max_steps, grpo.prompts_per_step, grpo.num_generations, recipe.rollout.max_new_tokens
    );
    eprintln!(
        "  3. measure before and after on {} held-out problems, {} samples each",
        recipe.eval.n, recipe.eval.num_samples
    );
    eprintln!("  The bars say how long each takes; Ctrl-C saves, --resume auto goes on.");
}
