//! `distill`: a teacher's correct and well-formed traces, and a student trained on them.

use crate::args::RunArgs;
use crate::commands::sft::{Fit, check_adapters, fit};
use crate::commands::train_rl;
use crate::evaluate::{Evaluator, Sets};
use crate::exit::Refusal;
use crate::interrupt;
use crate::language::Language;
use crate::policy;
use crate::problems::Problems;
use crate::progress::Progress;
use crate::recipe::{Model, Recipe};
use crate::scoring::Judge;
use crate::session::Session;
use crate::stage::{Earlier, Entered, enter};
use crate::story::{self, Story};
use anyhow::Result;
use ruminate_data::{Sample, Seed, Task};
use ruminate_distill as distill;
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{Flow, Options, RecordRouting};
use serde::Serialize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::new("distill", args)?;
    let (recipe, out) = (&session.recipe, session.out());
    let Some(student) = &recipe.distill.student else {
        return Err(Refusal::usage(
            "`distill.student` is missing; expected a model folder, or a table [distill.student]",
        ));
    };
    check_adapters(&session, student, recipe.distill.pretrain_steps)?;
    let folder = teacher(&session)?;
    let teacher = Model::Folder(folder.clone());
    let language = policy::language(&teacher, recipe.data.prompt)?;
    let learners = policy::language(student, recipe.data.prompt)?;
    let positions = model::load_config(&folder)?.max_position_embeddings;
    let mut problems = Problems::new(recipe, &language, positions, Seed::new(recipe.seed))?;

    let unread = ["model", "pretrain", "train", "grpo"];
    let mut identity = session.identity(&unread)?;
    identity["teacher"] = serde_json::to_value(&folder)?;
    let stage = match enter(&session, &out, identity, Earlier::Kept)? {
        Entered::Complete(summary) => return story::end(&summary, &out),
        Entered::Open(stage) => stage,
    };
    let student = match student {
        Model::Inline(keys) if recipe.distill.pretrain_steps > 0 => {
            let config = policy::inline_config("distill.student", keys)?;
            let mut settings = recipe.pretrain.clone();
            settings.max_steps = recipe.distill.pretrain_steps;
            Model::Folder(train_rl::base(&session, &out.join("student-base"), &config, &settings)?)
        }
        other => other.clone(),
    };

    let pool = || recipe.reward.pool(&recipe.data, recipe.threads);
    let (judge, learners_judge) =
        (Judge { language: &language, pool: pool()? }, Judge { language: &learners, pool: pool()? });
    let policy = policy::Source::new(&folder, None)?.load(&session.device)?;
    let measured = Evaluator::new(recipe, &language, &judge, &problems)?.run(0, &policy, Sets::All)?;
    let traces = traces(recipe, &policy, &judge, &mut problems)?;
    drop(policy);
    write(&stage.folder.path().join("traces.jsonl"), &traces)?;
    let samples = traces.iter().map(|trace| trace.sample(&learners)).collect::<Result<Vec<_>>>()?;

    let evaluator = Evaluator::new(recipe, &learners, &learners_judge, &problems)?;
    let fitted = fit(
        &session,
        &stage,
        &Fit { model: &student, language: &learners, samples: &samples, evaluator: Some(&evaluator) },
    )?;
    let mut story = Story::default();
    story.add_step("student before", fitted.before, &stage.folder, 0);
    story.add_step("student after", fitted.after, &stage.folder, fitted.step);
    story.add("teacher", measured);
    let summary = story.to_value()?;
    stage.finish(&fitted.policy, &learners, summary.clone())?;
    story::end(&summary, &out)
}

/// The teacher's folder: the recipe's, or the policy of `train-rl`, which is trained where it is missing.
fn teacher(session: &Session) -> Result<PathBuf> {
    if let Some(folder) = &session.recipe.distill.teacher {
        return Ok(folder.clone());
    }
    let run = match &session.args.out {
        Some(out) => out.join("teacher"),
        None => session.default_out("train-rl"),
    };
    let folder = run.join("final");
    if run.join("complete.json").exists() && ruminate_run::verify(&folder).is_ok() {
        eprintln!("teacher: {}", folder.display());
    } else {
        eprintln!("teacher: none in {}, training it first", run.display());
        train_rl::train(&session.stage("train-rl", run.clone()), &run)?;
    }
    Ok(folder)
}

/// What a teacher wrote, and was right about.
#[derive(Serialize)]
struct Trace {
    prompt: ruminate_data::Prompt,
    completion: String,
}

impl Trace {
    fn sample(&self, language: &Language) -> Result<Sample> {
        let prompt = language.prompt_ids(&self.prompt)?;
        Ok(Sample::completion_only(&prompt, &language.completion_ids(&self.completion)?))
    }
}

/// Samples the teacher on training problems and keeps what is worth learning.
fn traces(recipe: &Recipe, teacher: &Decoder, judge: &Judge, problems: &mut Problems) -> Result<Vec<Trace>> {
    let config = &recipe.distill.traces;
    let asked: Vec<_> =
        (0..recipe.distill.prompts as u64).map(|index| problems.training(judge.language, index)).collect();
    let prompts: Vec<(&Task, &[u32])> =
        asked.iter().map(|problem| (&problem.task, problem.prompt_ids.as_slice())).collect();
    let setup = distill::Setup {
        teacher,
        options: &Options {
            sampling: recipe.rollout,
            eos_token_ids: judge.language.end_ids.clone(),
            max_num_seqs: recipe.grpo.max_num_seqs,
            record_routing: RecordRouting::No,
        },
        num_samples: config.num_samples,
        seed: Seed::new(recipe.seed).child("distill"),
    };
    let mut progress = Progress::new("traces", (asked.len() * config.num_samples) as u64, 0);
    let mut done = 0;
    let groups = distill::sample_traces(&setup, &prompts, judge, &mut || {
        done += 1;
        progress.at(done, "");
        if interrupt::requested() { Flow::Stop } else { Flow::Continue }
    })?;
    let selection = distill::select(&groups, config);
    let report = selection.report;
    progress.say(&format!(
        "{} of {} traces are kept; dropped: {} wrong, {} malformed, {} cut off, {} unscored, {} repeated, {} beyond \
         the limit of their prompt",
        report.kept,
        report.sampled,
        report.wrong,
        report.malformed,
        report.truncated,
        report.unscored,
        report.duplicate,
        report.surplus
    ));
    if selection.traces.is_empty() {
        return Err(Refusal::input(
            "the teacher wrote no correct and well-formed trace: there is nothing to learn",
        ));
    }
    let trace = |trace: &distill::Trace| Trace {
        prompt: asked[trace.task].task.prompt.clone(),
        completion: judge.language.text(&trace.completion.ids),
    };
    Ok(selection.traces.iter().map(trace).collect())
}

fn write(path: &Path, traces: &[Trace]) -> Result<()> {
    let mut bytes = Vec::new();
    ruminate_data::jsonl::write(&mut bytes, traces)?;
    Ok(ruminate_run::write_file(path, &bytes)?)
}
