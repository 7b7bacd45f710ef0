//! `distill`: a teacher's correct and well-formed traces, and a student trained on them.

use crate::args::RunArgs;
use crate::commands::sft::{Fit, fit};
use crate::commands::train_rl;
use crate::evaluate::{Evaluator, Sets, complete};
use crate::exit::Refusal;
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
use ruminate_data::{Sample, Seed};
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{Options, RecordRouting};
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

    let rubric = || recipe.reward.rubric(&recipe.data, None);
    let (judge, learners_judge) =
        (Judge { language: &language, rubric: rubric()? }, Judge { language: &learners, rubric: rubric()? });
    let policy = model::load(&folder, &session.device)?;
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

/// Samples the teacher on training problems and keeps what is correct, well formed and new.
fn traces(recipe: &Recipe, teacher: &Decoder, judge: &Judge, problems: &mut Problems) -> Result<Vec<Trace>> {
    let asked: Vec<_> =
        (0..recipe.distill.prompts as u64).map(|index| problems.training(judge.language, index)).collect();
    let prompts: Vec<&[u32]> = asked.iter().map(|problem| problem.prompt_ids.as_slice()).collect();
    let options = Options {
        sampling: recipe.rollout,
        eos_token_ids: judge.language.end_ids.clone(),
        max_num_seqs: recipe.grpo.max_num_seqs,
        record_routing: RecordRouting::No,
    };
    let total = prompts.len() * recipe.distill.num_samples;
    let mut progress = Progress::new("traces", total as u64, 0);
    let mut done = 0;
    let seed = Seed::new(recipe.seed).child("distill");
    let completions = complete(teacher, &prompts, recipe.distill.num_samples, &options, seed, || {
        done += 1;
        progress.at(done, "");
    })?;
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for (problem, completions) in asked.iter().zip(&completions) {
        for completion in completions {
            let verdict = judge.verdict(&problem.task, completion, "");
            let good =
                verdict.outcome == ruminate_data::Outcome::Correct && verdict.reward("format") == Some(1.0);
            let text = judge.language.text(&completion.ids);
            if good && seen.insert((problem.prompt_ids.clone(), text.clone())) {
                kept.push(Trace { prompt: problem.task.prompt.clone(), completion: text });
            }
        }
    }
    progress.say(&format!("{} of {total} traces are correct, well formed and new", kept.len()));
    if kept.is_empty() {
        return Err(Refusal::input(
            "the teacher wrote no correct and well-formed trace: there is nothing to learn",
        ));
    }
    Ok(kept)
}

fn write(path: &Path, traces: &[Trace]) -> Result<()> {
    let mut bytes = Vec::new();
    ruminate_data::jsonl::write(&mut bytes, traces)?;
    Ok(ruminate_run::write_file(path, &bytes)?)
}
