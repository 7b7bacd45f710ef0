//! What the checks look at, read once: the model's configuration, its renderer, data files, and some prompts as the policy
//! sees them. What cannot be read is a finding of a whole examination; before a run it is left to the run, which reports it
//! with its own exit code.

use super::data::{Rows, Scan};
use super::findings::Finding;
use super::{Depth, Work};
use crate::error::ErrorKind;
use crate::policy;
use crate::recipe::{Model, Recipe};
use crate::run::session::Session;
use anyhow::Result;
use ruminate_data::{Prompt, Seed, Task};
use ruminate_env::Room;
use ruminate_model::{self as model, Config, lora};
use ruminate_text::Tokenizer;
use ruminate_text::{PromptStyle, Renderer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Procedural tasks that are drawn to look at.
const DRAWN: u64 = 64;

/// Prompts that are rendered and encoded at most.
const ASKED: usize = 128;

/// A model whose configuration could be read.
pub(super) struct Known {
    pub(super) config: Config,
    /// Its folder, where it is not made on the spot.
    pub(super) folder: Option<PathBuf>,
}

/// A prompt as the policy sees it.
pub(super) struct Asked {
    pub(super) task: Task,
    pub(super) rendered: String,
    /// None where it is too long to be encoded at all.
    pub(super) tokens: Option<usize>,
    /// The highest token id.
    pub(super) highest_id: u32,
}

/// Everything that was read.
pub(super) struct Inputs<'a> {
    pub(super) session: &'a Session,
    pub(super) recipe: &'a Recipe,
    pub(super) work: Work,
    pub(super) depth: Depth,
    /// What is asked: the policy, or a teacher.
    pub(super) model: Option<Known>,
    /// What is trained, where that is another: the student of `distill`.
    pub(super) student: Option<Known>,
    /// Model folders that are there, whether they can be read or not.
    pub(super) folders: Vec<PathBuf>,
    pub(super) renderer: Option<Renderer>,
    pub(super) train: Option<Scan>,
    pub(super) eval: Option<Scan>,
    pub(super) asked: Vec<Asked>,
}

impl<'a> Inputs<'a> {
    /// Reads them; with what could not be read.
    pub(super) fn new(session: &'a Session, work: Work, depth: Depth) -> (Self, Vec<Finding>) {
        let recipe = &session.recipe;
        let mut findings = Vec::new();
        let mut inputs = Self {
            session,
            recipe,
            work,
            depth,
            model: None,
            student: None,
            folders: Vec::new(),
            renderer: None,
            train: None,
            eval: None,
            asked: Vec::new(),
        };
        let given = asked_model(recipe, work);
        let student = recipe.distill.student.as_ref().filter(|_| work == Work::Distill);
        let there = |model: &Model| match model {
            Model::Folder(folder) => folder.is_dir().then(|| folder.clone()),
            Model::Inline(_) => None,
        };
        inputs.folders = given.iter().chain(student).filter_map(there).collect();
        inputs.model = given.as_ref().and_then(|given| known("model", given, depth, &mut findings));
        inputs.student = student.and_then(|given| known("distill.student", given, depth, &mut findings));
        let speaks = match (work, &given, &inputs.model) {
            (Work::Pretrain, _, _) => Some(Renderer::embedded(PromptStyle::Bare).map_err(Into::into)),
            (_, Some(given), Some(_)) => Some(policy::renderer(given, recipe)),
            _ => None,
        };
        inputs.renderer = speaks.and_then(|renderer| read("tokenizer", renderer, depth, &mut findings));
        inputs.scan(&mut findings);
        inputs.ask(&mut findings);
        (inputs, findings)
    }

    /// Reads the data files.
    fn scan(&mut self, findings: &mut Vec<Finding>) {
        let (data, kind) = (&self.recipe.data, self.rows());
        if self.work == Work::Pretrain {
            if let Some(path) = data.corpus.as_ref().filter(|path| !path.is_file()) {
                let found = format!("data.corpus: {} is no file", path.display());
                let advice = "set `data.corpus` to a file; paths are relative to the current folder";
                findings.extend(self.depth.whole().then(|| Finding::severe("data", found, advice)));
            }
            return;
        }
        let time = self.depth.time(Duration::from_millis(400), Duration::from_mins(1));
        let format = data.task_format(&self.recipe.reward);
        let mut scan = |path: &Option<PathBuf>| -> Option<Scan> {
            let scan = Scan::new(path.as_ref()?, kind, &format, data.split.validation, time);
            read("data", scan, self.depth, findings)
        };
        (self.train, self.eval) = (scan(&data.train), scan(&data.eval));
    }

    /// Renders and encodes some prompts.
    fn ask(&mut self, findings: &mut Vec<Finding>) {
        let tasks: Vec<Task> = match (&self.train, &self.eval, self.work) {
            (_, _, Work::Pretrain) | (None, None, Work::Sft) => Vec::new(),
            (Some(scan), _, _) | (None, Some(scan), _) => spread(&scan.sample).cloned().collect(),
            (None, None, _) => drawn(self.recipe),
        };
        let Some(renderer) = &self.renderer else { return };
        let positions = self.model.as_ref().map_or(usize::MAX, |model| model.config.max_position_embeddings);
        let until = Instant::now() + self.depth.time(Duration::from_millis(300), Duration::from_secs(30));
        for task in tasks {
            // `sft` puts a prompt in text as it stands.
            let bare = match &task.prompt {
                Prompt::Text(text) if self.work == Work::Sft => Some(text.clone()),
                _ => None,
            };
            let rendered = match &bare {
                Some(text) => Ok(text.clone()),
                None => renderer.render(&task.prompt, &task.columns),
            };
            let Some(rendered) = read("prompt", rendered, self.depth, findings) else { break };
            let too_long = Room::new(positions, 0).excess(&rendered).is_some();
            let ids = match &bare {
                _ if too_long => Ok(Vec::new()),
                Some(text) => renderer.tokenizer.encode(text),
                None => renderer.prompt_ids(&task.prompt, &task.columns),
            };
            let Some(ids) = read("prompt", ids, self.depth, findings) else { break };
            let tokens = (!too_long).then_some(ids.len());
            let highest_id = ids.into_iter().max().unwrap_or(0);
            self.asked.push(Asked { task, rendered, tokens, highest_id });
            if Instant::now() > until {
                break;
            }
        }
    }

    /// What a row of a data file is.
    pub(super) fn rows(&self) -> Rows {
        if self.work == Work::Sft { Rows::Conversations } else { Rows::Tasks }
    }

    /// What learns: the student where there is one.
    pub(super) fn learner(&self) -> Option<&Known> {
        match self.work {
            Work::Distill => self.student.as_ref(),
            Work::Eval => None,
            Work::TrainRl | Work::Sft | Work::Pretrain => self.model.as_ref(),
        }
    }

    /// Whether the model was made elsewhere: the embedded tokenizer is that of policies that are pretrained here on R1's
    /// tags.
    pub(super) fn is_real(&self) -> bool {
        let embedded = Tokenizer::embedded();
        self.renderer.as_ref().is_some_and(|renderer| renderer.tokenizer.difference(&embedded).is_some())
    }

    /// Whether a run of this program made the model: it may have been taught what no prompt asks for.
    pub(super) fn was_taught_here(&self) -> bool {
        let folder = self.model.as_ref().and_then(|model| model.folder.as_ref());
        folder.and_then(|folder| folder.parent()).is_some_and(|run| run.join("complete.json").exists())
    }

    /// Rows of a file that training sees.
    pub(super) fn training_rows(&self) -> Option<usize> {
        let train = self.train.as_ref().filter(|scan| scan.complete)?;
        let validation = if self.eval.is_none() && self.work != Work::Sft { train.validation } else { 0 };
        Some(train.rows - validation)
    }

    /// Tokens of a prompt, on average.
    pub(super) fn mean_prompt(&self) -> usize {
        let lengths: Vec<usize> = self.asked.iter().filter_map(|asked| asked.tokens).collect();
        lengths.iter().sum::<usize>().div_ceil(lengths.len().max(1))
    }
}

/// The model that is asked in a command.
fn asked_model(recipe: &Recipe, work: Work) -> Option<Model> {
    let teacher = recipe.distill.teacher.as_ref().filter(|_| work == Work::Distill);
    match teacher {
        Some(_) if recipe.distill.remote_url().is_some() => None,
        Some(folder) => Some(Model::Folder(folder.clone())),
        None => recipe.model.clone(),
    }
}

/// The configuration of a model that is there.
fn known(key: &str, given: &Model, depth: Depth, findings: &mut Vec<Finding>) -> Option<Known> {
    let folder = match given {
        Model::Inline(keys) => {
            let config = read("model", policy::inline_config(key, keys), depth, findings)?;
            return Some(Known { config, folder: None });
        }
        Model::Folder(folder) => folder,
    };
    if !folder.is_dir() {
        let found =
            format!("`{key}`: there is no folder {}; the rest was checked without it", folder.display());
        let advice = "set it to a model folder";
        findings.extend(depth.whole().then(|| Finding::warning("model", found, advice)));
        return None;
    }
    let load = |folder: &Path| -> Result<Config> { Ok(model::load_config(&lora::base_folder(folder)?)?) };
    let config = read("model", load(folder), depth, findings)?;
    Some(Known { config, folder: Some(folder.clone()) })
}

/// What was read, or a finding of a whole examination.
fn read<T, E: Into<anyhow::Error>>(
    name: &'static str,
    result: Result<T, E>,
    depth: Depth,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    result
        .map_err(|error| {
            let error: anyhow::Error = error.into();
            let advice = "a run would end there";
            let finding = || Finding::severe(name, format!("{error:#}"), advice).with_kind(ErrorKind::Input);
            findings.extend(depth.whole().then(finding));
        })
        .ok()
}

/// Some of the rows, evenly.
fn spread(rows: &[Task]) -> impl Iterator<Item = &Task> {
    rows.iter().step_by(rows.len().div_ceil(ASKED).max(1))
}

/// Tasks of the recipe's family, drawn by a seed of their own.
fn drawn(recipe: &Recipe) -> Vec<Task> {
    let Ok(Some(family)) = recipe.data.family() else { return Vec::new() };
    let seed = Seed::new(0).child("doctor");
    (0..DRAWN).filter_map(|index| family.generate(&mut seed.index(index).rng()).ok()).collect()
}
