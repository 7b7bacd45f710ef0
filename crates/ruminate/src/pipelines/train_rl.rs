//! `train-rl`: a base policy (pretrained on the spot where the recipe describes one), GRPO, and what came of it.

use crate::doctor::{self, Work};
use crate::error::Refusal;
use crate::evaluator::Evaluator;
use crate::evaluator::summary::{Finished, Summary};
use crate::fleet::{LostUnscored, ServerEngine};
use crate::observer::{Observer, Settings, small};
use crate::options::RunOptions;
use crate::pipelines::announce;
use crate::pipelines::pretrain;
use crate::policy;
use crate::printable;
use crate::progress::Counted;
use crate::recipe::Model;
use crate::run::folders;
use crate::run::identity;
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, enter};
use anyhow::Result;
use ruminate_data::{Pools, Seed};
use ruminate_env::Problems;
use ruminate_grpo as grpo;
use ruminate_model::{self as model, Config};
use ruminate_rollout::{Engine, LocalEngine};
use ruminate_train::State;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunOptions) -> Result<Finished> {
    let session = Session::with_models("train-rl", args)?;
    let out = session.out();
    // Whose folder it is costs nothing to see; the doctor reads data.
    folders::admit(&session, &out, stages(&session))?;
    doctor::quick(&session, Work::TrainRl)?;
    let summary = train(&session, &out)?;
    Ok(Finished::new(&out, summary))
}

/// The stages that a run keeps in folders of their own.
fn stages(session: &Session) -> &'static [&'static str] {
    if matches!(session.recipe.model, Some(Model::Inline(_))) { &["base"] } else { &[] }
}

/// The whole command but its last words; the policy lies in `final` of the folder.
///
/// # Errors
/// Those of data, training and saving.
pub(crate) fn train(session: &Session, out: &Path) -> Result<Value> {
    let recipe = &session.recipe;
    folders::admit(session, out, stages(session))?;
    let Some(model) = &recipe.model else {
        return Err(Refusal::usage("`model` is missing; expected a model folder, or a table [model]"));
    };
    let config = match model {
        Model::Folder(folder) => model::load_config(folder)?,
        Model::Inline(keys) => policy::inline_config("model", keys)?,
    };
    policy::check_adapters(recipe.lora.as_ref(), &config, &session.device)?;
    session.check_files()?;
    let seed = Seed::new(recipe.seed);
    let renderer = policy::renderer(model, recipe)?;
    let mut problems = recipe.problems(&renderer, config.max_position_embeddings, seed)?;
    let session = &session.lasting(recipe.steps(problems.count())?);
    let recipe = &session.recipe;
    if recipe.grpo.pools.is_some() && problems.pools().is_none() {
        return Err(Refusal::usage(
            "`grpo.pools` sorts the problems of a file (`data.train`) or the families of `data.tasks`, and there is one family \
             alone, whose problems do not come back; name it in `data.tasks` once for each difficulty, or leave the table out",
        ));
    }
    let judge = recipe.grader(&renderer)?;
    let evaluator = Evaluator::new(recipe, &renderer, &judge, &problems)?;

    let stop = recipe.stop(&renderer)?;
    let setup = recipe.trainer_args(&stop);
    let prompt_tokens = problems.training(&renderer, 0)?.prompt_ids.len();
    let demand = grpo::Demand {
        trained: policy::trained(recipe.lora.as_ref(), &config, &session.device)?,
        prompt_tokens,
        evaluated: problems.validation.len() * recipe.eval.num_samples,
    };
    let engine = recipe.trainer_engine();
    let plan = grpo::memory_plan(&config, demand, &engine, &setup)?;

    let stage = match enter(session, out, session.identity(identity::of_a_base(recipe))?, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(summary),
        Entered::Open(stage) => stage,
    };
    announce(session, (model, &config), out, &problems);
    notice!("{}", printable::wrapped(&format!("  memory: {plan}")));
    let base = match model {
        Model::Folder(folder) => folder.clone(),
        Model::Inline(_) => base(session, &out.join("base"), &config, &recipe.pretrain)?,
    };

    let autodiff = session.device.clone().autodiff();
    let fresh = || policy::trainable(&base, recipe.lora.as_ref(), &recipe.train, seed, &autodiff);
    let eval_steps = Some(recipe.grpo.eval_steps);
    let mut state = stage.state(recipe.max_steps, &recipe.train, eval_steps, &session.device, fresh)?;
    sort_into_pools(&mut state, problems.pools().filter(|_| recipe.grpo.pools.is_some()));
    let settings = Settings {
        recipe,
        folder: &stage.folder,
        renderer: &renderer,
        identity: &stage.identity,
        keep_last: NonZeroUsize::new(recipe.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
        completions_steps: recipe.eval.completions_steps,
        sampling: setup.sampling,
        stop: stop.clone(),
        evaluator: Some(&evaluator),
        small: small::Settings::new(&recipe.eval, problems.validation.len()),
        validation: None,
    };
    let mut observer = Observer::new("grpo", recipe.max_steps, state.step, settings)?;
    let mut servers;
    let mut local;
    let sampler: &mut dyn Engine = if recipe.rollout.engine.is_local() {
        local = LocalEngine::new(engine);
        &mut local
    } else {
        servers = ServerEngine::new(recipe, &stage, &state.policy, &renderer, prompt_tokens)?;
        &mut servers
    };
    let mut sampler = Counted::new(sampler, observer.counter());
    let state = grpo::train(
        state,
        &mut sampler,
        &mut |index| Ok(problems.training(&renderer, index)?),
        &LostUnscored(&judge),
        &setup,
        &mut observer,
    )?;
    observer.finish(state.step)?;

    let mut measured = Summary::default();
    measured.add_step("before", observer.before.take(), &stage.folder, 0);
    measured.add_step("after", observer.latest.take(), &stage.folder, state.step);
    measured.add_alarms(&stage.folder);
    let mut summary = measured.to_value()?;
    observer.summarise(&mut summary);
    drop(observer);
    summary["compute"] = policy::compute(state.num_tokens, &config);
    stage.finish(&state.policy, &renderer, summary.clone())?;
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
    let spec = pretrain::Spec { label: "pretrain", path, config, settings, earlier: OnExisting::Replaced };
    pretrain::train(session, &spec)?;
    Ok(path.join("final"))
}

/// Gives a run its difficulty pools, where its checkpoint has none, or those of other data.
pub(crate) fn sort_into_pools(state: &mut State, pools: Option<Pools>) {
    let Some(pools) = pools else { return };
    if state.pools.as_ref().is_some_and(|known| !known.are_of(&pools)) {
        notice!(
            "warning: the data has {} {} now: what the checkpoint knows of their difficulty is forgotten",
            pools.len(),
            pools.of()
        );
        state.pools = None;
    }
    state.pools.get_or_insert(pools);
}

/// Says what is going to happen.
fn announce(session: &Session, (model, config): (&Model, &Config), out: &Path, problems: &Problems) {
    session.tell_settings();
    let recipe = &session.recipe;
    announce::train_rl(recipe, model, config, out, problems);
    notice!("  Ctrl-C saves; --resume auto goes on.");
}
