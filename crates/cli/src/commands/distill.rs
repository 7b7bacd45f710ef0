//! `distill`: a teacher's traces that pass the filters, and a student trained on them; without a student the traces
//! alone, for `sft` to read.

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
use ruminate_data::decontaminate::{Decontaminator, R1_NGRAM};
use ruminate_data::{Message, Outcome, Prompt, Sample, Seed, Task, jsonl};
use ruminate_distill as distill;
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{Flow, Options, RecordRouting};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::with_models("distill", args)?;
    let (recipe, out) = (&session.recipe, session.out());
    if let Some(student) = &recipe.distill.student {
        check_adapters(&session, student, recipe.distill.pretrain_steps)?;
    }
    let folder = teacher(&session)?;
    let language = policy::language(&Model::Folder(folder.clone()), recipe.data.prompt)?;
    let config = model::load_config(&folder)?;
    let seed = Seed::new(recipe.seed);
    let mut problems = Problems::new(recipe, &language, config.max_position_embeddings, seed)?;

    let unread = ["model", "pretrain", "train", "grpo"];
    let mut identity = session.identity(&unread)?;
    identity["teacher"] = serde_json::to_value(&folder)?;
    let stage = match enter(&session, &out, identity, Earlier::Kept)? {
        Entered::Complete(summary) => return story::end(&summary, &out),
        Entered::Open(stage) => stage,
    };
    let judge = Judge::new(recipe, &language)?;
    let policy = policy::Source::new(&folder, None)?.load(&session.device)?;
    let Some(student) = &recipe.distill.student else {
        // Traces alone, for `sft` to read.
        stage.record()?;
        let (traces, summary) = traces(recipe, &folder, &policy, &judge, &mut problems)?;
        write(&stage.folder.traces_path(), &traces)?;
        stage.finish_files(summary.clone())?;
        return story::end(&summary, &out);
    };
    let learners = policy::language(student, recipe.data.prompt)?;
    let student = match student {
        Model::Inline(keys) if recipe.distill.pretrain_steps > 0 => {
            let config = policy::inline_config("distill.student", keys)?;
            let mut settings = recipe.pretrain.clone();
            settings.max_steps = recipe.distill.pretrain_steps;
            Model::Folder(train_rl::base(&session, &out.join("student-base"), &config, &settings)?)
        }
        other => other.clone(),
    };

    let learners_judge = Judge::new(recipe, &learners)?;
    let measured = Evaluator::new(recipe, &language, &judge, &problems)?.run(0, &policy, Sets::All)?;
    let (traces, _) = traces(recipe, &folder, &policy, &judge, &mut problems)?;
    drop(policy);
    write(&stage.folder.traces_path(), &traces)?;
    let samples = traces.iter().map(|trace| trace.sample(&learners)).collect::<Result<Vec<_>>>()?;

    let evaluator = Evaluator::new(recipe, &learners, &learners_judge, &problems)?;
    let fitted = fit(
        &session,
        &stage,
        &Fit { model: &student, language: &learners, samples: &samples, evaluator: Some(&evaluator) },
    )?;
    let compute = fitted.compute();
    let mut story = Story::default();
    story.add_step("student before", fitted.before, &stage.folder, 0);
    story.add_step("student after", fitted.after, &stage.folder, fitted.step);
    story.add("teacher", measured);
    let mut summary = story.to_value()?;
    summary["compute"] = compute;
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

/// What a teacher wrote, and was right about: a row of `traces.jsonl`, which `sft` reads, with where it comes from.
#[derive(Serialize)]
struct Trace {
    messages: Vec<Message>,
    /// The problem's family, where the problem says.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Value>,
    answer: String,
    teacher: PathBuf,
    seed: u64,
    /// Index of the training problem.
    index: usize,
    /// Which of the problem's samples.
    sample: usize,
    verdict: Outcome,
    rewards: Map<String, Value>,
    #[serde(skip)]
    prompt: Prompt,
    #[serde(skip)]
    completion: String,
}

impl Trace {
    fn sample(&self, language: &Language) -> Result<Sample> {
        let prompt = language.prompt_ids(&self.prompt)?;
        Ok(Sample::completion_only(&prompt, &language.completion_ids(&self.completion)?))
    }
}

/// Samples the teacher on training problems and keeps what is worth learning; with an account of it.
fn traces(
    recipe: &Recipe,
    folder: &Path,
    teacher: &Decoder,
    judge: &Judge,
    problems: &mut Problems,
) -> Result<(Vec<Trace>, Value)> {
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
    let trace = |trace: &distill::Trace| {
        let task = &asked[trace.task].task;
        let verdict = &groups[trace.task].verdicts[trace.sample];
        let completion = judge.language.text(&trace.completion.ids);
        let mut messages = match &task.prompt {
            Prompt::Text(text) => vec![Message { role: "user".to_owned(), content: text.clone() }],
            Prompt::Messages(messages) => messages.clone(),
        };
        messages.push(Message { role: "assistant".to_owned(), content: completion.clone() });
        Trace {
            messages,
            task: task.columns.get("task").cloned(),
            answer: task.answer.clone(),
            teacher: folder.to_owned(),
            seed: recipe.seed,
            index: trace.task,
            sample: trace.sample,
            verdict: verdict.outcome,
            rewards: verdict
                .rewards
                .iter()
                .map(|(name, score)| (name.clone(), Value::from(*score)))
                .collect(),
            prompt: task.prompt.clone(),
            completion,
        }
    };
    let mut traces: Vec<Trace> = selection.traces.iter().map(trace).collect();
    let seen = evaluation_texts(recipe, problems)?;
    traces.retain(|trace| !seen.overlaps(&trace.prompt.text()) && !seen.overlaps(&trace.completion));
    let contaminated = report.kept - traces.len();
    progress.say(&format!(
        "{} of {} traces are kept; dropped: {} wrong, {} malformed, {} cut off, {} unscored, {} too short or too long, {} \
         repetitive, {} seen before, {} beyond the limit of their prompt, {contaminated} that share 10 words in a row with \
         an evaluation",
        traces.len(),
        report.sampled,
        report.wrong,
        report.malformed,
        report.truncated,
        report.unscored,
        report.length,
        report.repetitive,
        report.duplicate,
        report.surplus
    ));
    if traces.is_empty() {
        return Err(Refusal::input(
            "the teacher wrote no trace that passes the filters, of which the counts above tell: there is nothing to learn",
        ));
    }
    let tokens = groups.iter().flat_map(|group| &group.completions);
    let num_tokens: usize = tokens.map(|completion| completion.prompt_ids.len() + completion.ids.len()).sum();
    let mut summary = serde_json::to_value(report)?;
    summary["contaminated"] = contaminated.into();
    summary["kept"] = traces.len().into();
    Ok((
        traces,
        json!({ "traces": summary, "compute": policy::compute(num_tokens as u64, teacher.config()) }),
    ))
}

/// What no trace may share 10 words in a row with: the problems of every evaluation set, and worked solutions.
fn evaluation_texts(recipe: &Recipe, problems: &Problems) -> Result<Decontaminator> {
    let mut tasks: Vec<Task> = problems.held_out.iter().chain(&problems.fresh).cloned().collect();
    for path in &recipe.distill.decontaminate {
        let rows = jsonl::tasks(path, recipe.data.bad_lines.into())?;
        tasks.extend(rows.rows.into_iter().map(|row| row.value));
    }
    let solutions = tasks.iter().filter_map(|task| task.columns.get("solution")?.as_str().map(str::to_owned));
    let texts: Vec<String> = tasks.iter().map(|task| task.prompt.text()).chain(solutions).collect();
    Ok(Decontaminator::new(texts, R1_NGRAM))
}

fn write(path: &Path, traces: &[Trace]) -> Result<()> {
    let mut bytes = Vec::new();
    jsonl::write(&mut bytes, traces)?;
    Ok(ruminate_run::write_file(path, &bytes)?)
}
