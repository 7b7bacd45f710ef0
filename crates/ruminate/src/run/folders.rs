//! Which folders a command may write into: never over an input, never over what another run, a model folder or the
//! user has there. Everything here looks before anything is made; it does not know what runs do.

use crate::error::Refusal;
use crate::recipe::{Model, Shots};
use crate::run::outputs::resolve;
use crate::run::session::Session;
use crate::run::stage::hash;
use anyhow::Result;
use ruminate_model::lora;
use ruminate_run::{Error, Found, Made, RunFolder, inspect};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a recipe's hash that name a run.
const ID_DIGITS: usize = 16;

/// What `train-rl`, `pretrain` and `sft` write.
const TRAINED: [&str; 15] = [
    "recipe.toml",
    "config.json",
    "metrics.jsonl",
    "eval.jsonl",
    "validation.jsonl",
    "best.json",
    "moe.jsonl",
    "fleet.jsonl",
    "completions",
    "tokens",
    "samples",
    "tensorboard",
    "checkpoints",
    "final",
    "report.html",
];

/// What `distill` writes besides.
const DISTILLED: [&str; 4] = ["traces.jsonl", "sampled.jsonl", "remote.jsonl", "logits"];

/// What `eval` writes.
const EVALUATED: [&str; 7] =
    ["recipe.toml", "config.json", "eval.jsonl", "sampled.jsonl", "samples.jsonl", "samples", "report.html"];

/// The `run.json` of a session's run, or of a stage of it. `hash` is that of its resolved recipe.
pub(crate) fn made(session: &Session, stage: &str, hash: &str) -> Made {
    let command = session.command();
    let files: Vec<&str> = match command {
        "eval" => EVALUATED.to_vec(),
        "distill" if stage == command => [&TRAINED[..], &DISTILLED].concat(),
        _ => TRAINED.to_vec(),
    };
    Made {
        command: command.to_owned(),
        stage: stage.to_owned(),
        id: hash.chars().take(ID_DIGITS).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: files.into_iter().chain(["complete.json"]).map(str::to_owned).collect(),
    }
}

/// Checks that a session may write into `path` and the stages below it, before any file is read.
///
/// # Errors
/// With exit code 2, for an input that would be written into, a folder of something else, a run that has to be resumed,
/// and a `--resume` that names nothing.
pub(crate) fn admit(session: &Session, path: &Path, stages: &[&str]) -> Result<()> {
    if let Some(crate::options::Resume::Checkpoint(checkpoint)) = &session.args.resume
        && !checkpoint.is_dir()
    {
        return Err(Refusal::usage(format!(
            "--resume {}: no such folder; expected `auto`, a run folder, or one of its checkpoints",
            checkpoint.display()
        )));
    }
    // Recipes are written as JSON, which has no other characters.
    serde_json::to_value(&session.recipe)
        .map_err(|error| Refusal::usage(format!("a path of the recipe cannot be written down: {error}")))?;
    if session.recipe.lora.is_some() && path.to_str().is_none() {
        return Err(Refusal::usage(format!(
            "--out {}: adapters name the folder of their base as text, and this path is not UTF-8; choose another folder",
            path.display()
        )));
    }
    separate(session, path)?;
    let found = open_to(session, path, session.command())?;
    if session.args.resume.is_none()
        && found != Found::Free
        && has_steps(path)
        && !path.join("complete.json").exists()
    {
        return Err(unfinished(path));
    }
    for stage in stages {
        open_to(session, &path.join(stage), stage)?;
    }
    Ok(())
}

/// What lies in a folder that a stage of the session may write into.
fn open_to(session: &Session, path: &Path, stage: &str) -> Result<Found> {
    let run = made(session, stage, "");
    let found = inspect(path)?;
    if found.is_open_to(&run) {
        return Ok(found);
    }
    // Entering fails with the right words, and leaves the folder alone.
    RunFolder::enter(path, &run)?;
    Ok(found)
}

/// Makes a folder the session's before its run begins: a stage that lies in it comes first.
///
/// # Errors
/// As entering it.
pub(crate) fn reserve(session: &Session, path: &Path) -> Result<()> {
    let run = made(session, session.command(), &hash(&serde_json::to_value(&session.recipe)?));
    RunFolder::enter(path, &run)?.claim(&run)?;
    Ok(())
}

/// Whether a run has made steps there.
pub(crate) fn has_steps(run: &Path) -> bool {
    fs::metadata(run.join("metrics.jsonl")).is_ok_and(|file| file.len() > 0)
}

/// The refusal of a run that would have to be resumed.
pub(crate) fn unfinished(path: &Path) -> anyhow::Error {
    Refusal::usage(format!(
        "{} holds a run that has not ended; go on with --resume auto, or choose another folder with --out",
        path.display()
    ))
}

/// Checks that no input of the session lies where it would write, and that it would not write into an input.
///
/// # Errors
/// With exit code 2.
pub(crate) fn separate(session: &Session, out: &Path) -> Result<()> {
    apart(out, &inputs(session))?;
    let Some(recipe) = &session.args.recipe else { return Ok(()) };
    // A run's own recipe is a recipe: resuming by it changes no input of another run.
    let own = ["recipe.toml", "config.json"].iter().any(|name| resolve(recipe) == resolve(&out.join(name)));
    if own && matches!(inspect(out)?, Found::Run(_) | Found::Unmarked { .. }) {
        return Ok(());
    }
    apart(out, &[("the recipe".to_owned(), recipe.clone())])
}

/// Checks that an output folder is not one of the inputs, nor above or below one.
///
/// # Errors
/// With exit code 2, naming the input.
pub(crate) fn apart(out: &Path, inputs: &[(String, PathBuf)]) -> Result<()> {
    let place = resolve(out);
    for (name, input) in inputs {
        let taken = resolve(input);
        let relation = if place == taken {
            "is"
        } else if taken.starts_with(&place) {
            "lies above"
        } else if place.starts_with(&taken) {
            "lies below"
        } else {
            continue;
        };
        return Err(Refusal::usage(format!(
            "the output folder {} {relation} {name} ({}), which is an input; choose a folder apart from it",
            out.display(),
            input.display()
        )));
    }
    Ok(())
}

/// The files and folders that a recipe reads, by their keys.
fn inputs(session: &Session) -> Vec<(String, PathBuf)> {
    let recipe = &session.recipe;
    let mut inputs: Vec<(String, PathBuf)> = Vec::new();
    let teacher = recipe.distill.teacher.clone().filter(|_| recipe.distill.remote_url().is_none());
    let folder = |model: &Option<Model>| match model {
        Some(Model::Folder(folder)) => Some(folder.clone()),
        _ => None,
    };
    for (key, path) in [
        ("`model`", folder(&recipe.model)),
        ("`distill.teacher`", teacher),
        ("`distill.student`", folder(&recipe.distill.student)),
    ] {
        let Some(path) = path else { continue };
        if let Some(base) = lora::base_folder(&path).ok().filter(|base| *base != path) {
            inputs.push((format!("the base of {key}"), base));
        }
        inputs.push((key.to_owned(), path));
    }
    let data = &recipe.data;
    for (key, path) in
        [("`data.train`", &data.train), ("`data.eval`", &data.eval), ("`data.corpus`", &data.corpus)]
    {
        inputs.extend(path.clone().map(|path| (key.to_owned(), path)));
    }
    if let Some(Shots::File(path)) = &data.shots {
        inputs.push(("`data.shots`".to_owned(), path.clone()));
    }
    inputs.extend(
        recipe.distill.decontaminate.iter().map(|path| ("`distill.decontaminate`".to_owned(), path.clone())),
    );
    inputs
}

/// The folder of an evaluation: `wanted`, or where another evaluation lies there, that name with the first number that is
/// free. The same evaluation finds its folder again.
///
/// # Errors
/// When a folder cannot be looked at.
pub(crate) fn of_evaluation(session: &Session, wanted: &Path, hash: &str) -> Result<PathBuf> {
    let run = made(session, session.command(), hash);
    let mut folder = wanted.to_owned();
    for number in 2.. {
        let same = match inspect(&folder)? {
            Found::Free => true,
            Found::Run(made) if made.command == run.command => made.id == run.id,
            Found::Unmarked { command, .. } if command == run.command => completed_as(&folder, hash),
            // With --out it is refused by its name.
            _ => session.args.out.is_some() && number == 2,
        };
        if same {
            break;
        }
        let mut name = wanted.as_os_str().to_owned();
        name.push(format!("-{number}"));
        folder = PathBuf::from(name);
    }
    if folder != wanted {
        notice!(
            "{} holds another evaluation, which stays; this one is in {}",
            wanted.display(),
            folder.display()
        );
    }
    Ok(folder)
}

/// Whether the run of that recipe's hash is complete in a folder.
fn completed_as(folder: &Path, hash: &str) -> bool {
    let text = fs::read_to_string(folder.join("complete.json")).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|complete| complete["recipe_sha256"] == hash)
}

/// The default folder of an evaluation: of what model, on what problems.
pub(crate) fn evaluation_name(session: &Session) -> PathBuf {
    let recipe = &session.recipe;
    let model = match &recipe.model {
        Some(Model::Folder(folder)) => model_name(folder),
        _ => String::new(),
    };
    let data = &recipe.data;
    let file = data.eval.as_ref().or(data.train.as_ref()).and_then(|path| path.file_stem());
    let problems = match (file, &data.task) {
        (Some(stem), _) => stem.to_string_lossy().into_owned(),
        (None, Some(task)) => task.clone(),
        (None, None) => "mixture".to_owned(),
    };
    let parts = [slug(&model), slug(&problems), format!("seed{}", recipe.seed)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Path::new("runs").join(format!("eval-{}", parts.join("-")))
}

/// A model folder's name for people: of a run's `final` the run's.
fn model_name(folder: &Path) -> String {
    let place = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let parts: Vec<String> = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    // The Hub's cache: models--ORG--NAME/snapshots/HASH.
    if let Some(name) = parts.iter().find_map(|part| part.strip_prefix("models--")) {
        return name.rsplit("--").next().unwrap_or(name).to_owned();
    }
    let mut name: Vec<&str> = Vec::new();
    for part in parts.iter().rev() {
        let is_generic = ["final", "adapter", "checkpoints"].contains(&part.as_str());
        let is_stage =
            ["base", "teacher", "student-base"].contains(&part.as_str()) || part.starts_with("step-");
        if !is_generic {
            name.insert(0, part);
        }
        if !is_generic && !is_stage {
            break;
        }
    }
    name.join("-")
}

/// Letters, digits, dots and dashes, at most 60.
fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    name.chars().map(keep).take(60).collect::<String>().trim_matches(['-', '.']).to_owned()
}

/// Refuses a run folder where a model folder is expected, with the model's place.
///
/// # Errors
/// With exit code 3.
pub(crate) fn check_model(folder: &Path) -> Result<()> {
    let Ok(found @ (Found::Run(_) | Found::Unmarked { .. })) = inspect(folder) else { return Ok(()) };
    let model = folder.join("final");
    let advice = if model.is_dir() {
        format!("its model is in {}", model.display())
    } else {
        "it has left no model (`final/`) yet".to_owned()
    };
    Err(Refusal::input(format!("{} {found}: it is no model folder; {advice}", folder.display())))
}

/// The samples of an evaluation.
///
/// # Errors
/// With exit code 3 where the folder has none, with what it holds.
pub(crate) fn samples_of(run: &Path) -> Result<PathBuf> {
    let samples = run.join("samples.jsonl");
    if samples.is_file() {
        return Ok(samples);
    }
    let found = match inspect(run) {
        Ok(Found::Free) if !run.exists() => "is not there".to_owned(),
        Ok(found) => found.to_string(),
        Err(Error::Disk { source, .. }) => format!("cannot be read: {source}"),
        Err(error) => error.to_string(),
    };
    Err(Refusal::input(format!(
        "{} has no samples.jsonl, it {found}; expected the folder of an evaluation that `ruminate eval --set model=DIR` has \
         made and ended",
        run.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::{apart, model_name, slug};
    use std::path::{Path, PathBuf};

    #[test]
    fn a_folder_equal_to_above_or_below_an_input_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("run/final")).expect("made");
        std::fs::write(at("data.jsonl"), "").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("run/final", at("link")).expect("linked");
        let inputs: Vec<(String, PathBuf)> =
            vec![("model".into(), at("run/final")), ("data".into(), at("data.jsonl"))];
        for (out, relation) in [
            ("run/final", "is model"),
            ("run", "lies above model"),
            ("run/final/new/deep", "lies below model"),
            ("data.jsonl", "is data"),
            (".", "lies above"),
            ("absent/../run/final/x", "lies below model"),
            #[cfg(unix)]
            ("link", "is model"),
            #[cfg(unix)]
            ("link/x", "lies below model"),
        ] {
            let message = format!("{:#}", apart(&at(out), &inputs).expect_err(out));
            assert!(message.contains(relation), "{out}: {message}");
        }
        for out in ["out", "run/eval", "run/final-2", "data.jsonl-2"] {
            apart(&at(out), &inputs).expect(out);
        }
    }

    #[test]
    fn a_models_name_is_that_of_its_run() {
        for (folder, name) in [
            ("/a/runs/train-rl-seed0/final", "train-rl-seed0"),
            ("/a/runs/x/base/final", "x-base"),
            ("/a/x/checkpoints/step-000010", "x-step-000010"),
            ("/a/SmolLM2-135M", "SmolLM2-135M"),
            ("/c/hub/models--Qwen--Qwen2.5-0.5B/snapshots/abc", "Qwen2.5-0.5B"),
            ("/final", "/"),
        ] {
            assert_eq!(model_name(Path::new(folder)), name, "{folder}");
        }
        assert_eq!(slug("a b/c\u{e4}."), "a-b-c");
    }
}
