//! `distill`: a teacher's traces that pass the filters, and a student trained on them, or on what the teacher says of them, or
//! of the student's own; without a student the traces alone, for `sft` to read. A teacher is a model folder or a server.

mod judged;
mod logits;
mod remote;
mod sampled;
mod student;
mod traces;

use crate::doctor::{self, Work};
use crate::error::Refusal;
use crate::evaluator::summary::{Finished, Summary};
use crate::evaluator::{Evaluated, Evaluator, Sets};
use crate::options::RunOptions;
use crate::pipelines::announce;
use crate::pipelines::sft::{Fitted, check_adapters};
use crate::pipelines::train_rl;
use crate::policy;
use crate::recipe::{Data, Model, Recipe};
use crate::run::folders;
use crate::run::identity;
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, Stage, enter};
use anyhow::Result;
use ruminate_data::Seed;
use ruminate_distill::Method;
use ruminate_distill::on_policy;
use ruminate_model as model;
use ruminate_reward::shown_address;
use serde_json::Value;
use std::path::{Path, PathBuf};
use student::Student;

/// Keys that make the teacher, which its folder stands for; of a server's answers, `model` says in which renderer they are.
const TEACHERS: [&str; 6] = ["model", "max_steps", "num_train_epochs", "pretrain", "train", "grpo"];

pub(crate) fn run(args: RunOptions) -> Result<Finished> {
    let session = Session::with_models("distill", args)?;
    let (recipe, out) = (&session.recipe, session.out());
    let base = recipe.distill.student.is_some() && recipe.distill.pretrain_steps > 0;
    folders::admit(&session, &out, if base { &["student-base"] } else { &[] })?;
    doctor::quick(&session, Work::Distill)?;
    let method = recipe.distill.learning.method;
    if let Some(student) = &recipe.distill.student {
        check_adapters(&session, student, recipe.distill.pretrain_steps)?;
    } else if method != Method::Traces {
        return Err(Refusal::usage(
            "`distill.method` teaches a student, and there is none; expected `distill.student`, or `method = \"traces\"` for \
             the traces alone",
        ));
    }
    session.check_files()?;
    if method == Method::OnPolicy {
        on_policy::validate(&recipe.rollout.sampling(), recipe.distill.learning.num_samples, &recipe.sft)?;
    }
    if let Some(url) = recipe.distill.remote_url() {
        if method == Method::OnPolicy {
            return judged::from_server(&session, url);
        }
        refuse_controls(recipe)?;
        return from_server(&session, url);
    }
    // The policy of `train-rl` speaks as its `model` does.
    let teachers = recipe.distill.teacher.clone().map(Model::Folder).or_else(|| recipe.model.clone());
    let student = recipe.distill.student.as_ref();
    let student = student.map(|given| student::student(&session, given, teachers.as_ref())).transpose()?;
    let folder = teacher(&session)?;
    let renderer = policy::renderer(&Model::Folder(folder.clone()), recipe)?;
    let config = model::load_config(&folder)?;
    let seed = Seed::new(recipe.seed);
    let mut positions = config.max_position_embeddings;
    if let Some(student) = &student {
        positions = positions.min(student.config()?.max_position_embeddings);
    }
    let mut problems = recipe.problems(&renderer, positions, seed)?;

    let mut identity = identity(&session, &TEACHERS)?;
    identity::add_model(&mut identity, "distill.teacher", &folder)?;
    let stage = match enter(&session, &out, identity, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(Finished::new(&out, summary)),
        Entered::Open(stage) => stage,
    };
    session.tell_settings();
    announce::distill(recipe, &folder.display().to_string(), &problems);
    let judge = recipe.grader(&renderer)?;
    let teacher = policy::Source::new(&folder, None)?.load(&session.device)?;
    let asked = traces::asked(recipe, &renderer, &mut problems)?;
    let log = stage.folder.path().join("sampled.jsonl");
    let Some(student) = student else {
        // Traces alone, for `sft` to read.
        stage.record()?;
        let written = traces::sample(recipe, &folder, &teacher, &judge, &asked, &log)?;
        let (traces, summary) = traces::select(recipe, &written, &asked, &problems)?;
        traces::write(&stage.folder, &traces)?;
        stage.finish_files(summary.clone())?;
        return Ok(Finished::new(&out, summary));
    };
    let student = student.pretrained(&session, &out)?;
    let learners_judge = recipe.grader(&student.renderer)?;
    let evaluator = Evaluator::new(recipe, &student.renderer, &learners_judge, &problems)?;
    let measured = Evaluator::new(recipe, &renderer, &judge, &problems)?.run(0, &teacher, Sets::All)?;

    let mut judged = None;
    let fitted = if method == Method::OnPolicy {
        let fitted =
            student.on_policy(&session, &stage, &teacher, &mut problems, &learners_judge, &evaluator)?;
        // Every token that the student learned from was judged.
        judged = Some(policy::compute(fitted.num_tokens, teacher.config()));
        fitted
    } else {
        let written = traces::sample(recipe, &folder, &teacher, &judge, &asked, &log)?;
        let (traces, _) = traces::select(recipe, &written, &asked, &problems)?;
        drop(teacher);
        traces::write(&stage.folder, &traces)?;
        let samples =
            traces.iter().map(|trace| trace.sample(&student.renderer)).collect::<Result<Vec<_>>>()?;
        match method {
            Method::Logits => student.by_logits(&session, &stage, &samples, &folder, &evaluator)?,
            _ => student.by_traces(&session, &stage, &samples, &evaluator)?,
        }
    };
    end(&stage, &student, fitted, Some(measured), judged, &out)
}

/// The same from a teacher that is a server: its traces, and a student that learns them.
fn from_server(session: &Session, url: &str) -> Result<Finished> {
    let (recipe, out) = (&session.recipe, session.out());
    let server = remote::Server::new(recipe, url)?;
    let student = recipe.distill.student.as_ref();
    let student = student.map(|given| student::student(session, given, None)).transpose()?;
    let spoken = recipe.model.as_ref().map(|model| policy::renderer_beside(model, recipe)).transpose()?;
    let renderer = match (&student, &spoken) {
        (Some(student), _) => &student.renderer,
        (None, Some(renderer)) => renderer,
        (None, None) => &policy::renderer(&Model::Inline(serde_json::Map::new()), recipe)?,
    };
    // A server keeps to its own positions; what the student is asked has to fit into its own.
    let positions = student.as_ref().map(Student::config).transpose()?;
    let positions = positions.map_or(usize::MAX, |config| config.max_position_embeddings);
    let mut problems = recipe.problems(renderer, positions, Seed::new(recipe.seed))?;
    let identity = identity(session, &TEACHERS[1..])?;
    let stage = match enter(session, &out, identity, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(Finished::new(&out, summary)),
        Entered::Open(stage) => stage,
    };
    announce::distill(recipe, &shown_address(url), &problems);
    let judge = recipe.grader(renderer)?;
    let asked = traces::asked(recipe, renderer, &mut problems)?;
    let written = server.sample(&judge, &asked, &stage.folder.path().join("remote.jsonl"))?;
    let (traces, summary) = traces::select(recipe, &written, &asked, &problems)?;
    traces::write(&stage.folder, &traces)?;
    let Some(student) = student else {
        stage.record()?;
        stage.finish_files(summary.clone())?;
        return Ok(Finished::new(&out, summary));
    };
    let student = student.pretrained(session, &out)?;
    let judge = recipe.grader(&student.renderer)?;
    let evaluator = Evaluator::new(recipe, &student.renderer, &judge, &problems)?;
    let samples = traces.iter().map(|trace| trace.sample(&student.renderer)).collect::<Result<Vec<_>>>()?;
    let fitted = student.by_traces(session, &stage, &samples, &evaluator)?;
    end(&stage, &student, fitted, None, None, &out)
}

/// The identity of a run whose teacher something else stands for.
fn identity(session: &Session, teachers: &[&str]) -> Result<Value> {
    let recipe = &session.recipe;
    let pretrained =
        matches!(recipe.distill.student, Some(Model::Inline(_))) && recipe.distill.pretrain_steps > 0;
    if !pretrained {
        return session.identity(&[teachers, &["data.mix", "data.corpus"]].concat());
    }
    let mut identity = session.identity(teachers)?;
    identity::add_student_base(&mut identity, recipe)?;
    Ok(identity)
}

/// Leaves the student, and tells what became of it. `teacher` is its teacher's evaluation, `judged` what the teacher took to
/// judge what the student wrote.
fn end(
    stage: &Stage,
    student: &Student,
    fitted: Fitted,
    teacher: Option<Evaluated>,
    judged: Option<Value>,
    out: &Path,
) -> Result<Finished> {
    let compute = fitted.compute();
    let mut measured = Summary::default();
    measured.add_step("student before", fitted.before, &stage.folder, 0);
    measured.add_step("student after", fitted.after, &stage.folder, fitted.step);
    if let Some(teacher) = teacher {
        measured.add("teacher", teacher);
    }
    measured.add_alarms(&stage.folder);
    let mut summary = measured.to_value()?;
    summary["compute"] = compute;
    if let Some(judged) = judged {
        summary["teacher_compute"] = judged;
    }
    stage.finish(&fitted.policy, &student.renderer, summary.clone())?;
    Ok(Finished::new(out, summary))
}

/// Refuses what a server is not asked for.
fn refuse_controls(recipe: &Recipe) -> Result<()> {
    let controls = recipe.controls();
    let given = [
        ("stop", !controls.stop.is_empty()),
        ("bad_words", !controls.bad_words.is_empty()),
        ("thought_prefix", !controls.thought_prefix.is_empty()),
        ("thinking_budget", controls.thinking_budget > 0),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((key, _)) => Err(Refusal::usage(format!(
            "`rollout.{key}` is not asked of a server, and `distill.teacher` is one; expected a recipe without it, or a teacher \
             in a folder"
        ))),
    }
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
        notice!("teacher: {}", folder.display());
        warn_of_another_task(&run, &session.recipe.data);
    } else {
        notice!("teacher: none in {}, training it first", run.display());
        if let Some(out) = &session.args.out {
            folders::reserve(session, out)?;
        }
        train_rl::train(&session.stage("train-rl", run.clone()), &run)?;
    }
    Ok(folder)
}

/// A policy that is found in the default folder may have learnt another task than the recipe's, which it is then asked.
fn warn_of_another_task(run: &Path, data: &Data) {
    let text = std::fs::read_to_string(run.join("config.json")).unwrap_or_default();
    let trained = &serde_json::from_str::<Value>(&text).unwrap_or_default()["data"];
    let asked = serde_json::to_value(data).unwrap_or_default();
    if trained.is_null() || ["train", "task", "tasks"].iter().all(|key| trained[*key] == asked[*key]) {
        return;
    }
    let name = |data: &Value| match (&data["train"], &data["task"]) {
        (Value::String(file), _) => format!("`data.train` = {file}"),
        (_, Value::String(task)) => format!("`data.task` = {task}"),
        _ => "`data.tasks`".to_owned(),
    };
    notice!(
        "warning: the teacher in {} was trained on {}, and is asked {} here; set the same data, or name another \
         `distill.teacher`",
        run.display(),
        name(trained),
        name(&asked)
    );
}
