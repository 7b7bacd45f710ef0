//! Problems to train on and to be measured on, as the recipe's `[data]` names them: drawn from a procedural family or
//! read from a file, held out by problem. Everything that can be wrong with a file is found before any training.

mod choices;

use crate::error::Refusal;
use crate::recipe::{Data, Recipe};
use crate::renderer::language::Language;
use crate::renderer::preamble::asks_one_of;
use crate::renderer::room::Room;
use anyhow::{Context, Result};
use rayon::prelude::*;
use ruminate_data::jsonl::{self, Row};
use ruminate_data::procedural::Stream;
use ruminate_data::split::{Split, is_validation};
use ruminate_data::{Epochs, Problem, Seed, Task};
use ruminate_text as text;
use std::collections::HashSet;
use std::path::Path;

/// Training problems by index, and the sets that training never sees.
pub(crate) struct Problems {
    source: Source,
    /// What evaluation during development sees.
    pub(crate) validation: Vec<Task>,
    /// What only final figures see; empty where tasks come from a file.
    pub(crate) test: Vec<Task>,
    /// What became of a file's rows, for people.
    pub(crate) told: Vec<String>,
}

enum Source {
    /// Nothing to train on: a file that is measured on alone.
    Nothing,
    /// Drawn by index.
    Drawn { stream: Stream, room: Room },
    /// A file's problems, in a new order each epoch.
    Listed { problems: Vec<Problem>, epochs: Epochs },
}

impl Problems {
    /// The problems of a recipe. `positions` is the longest sequence that the policy can take.
    ///
    /// # Errors
    /// A bad line or a character without a token (exit code 3, with path and line), a family that has too few
    /// problems (2).
    pub(crate) fn new(recipe: &Recipe, language: &Language, positions: usize, seed: Seed) -> Result<Self> {
        let room = Room::new(positions, recipe.rollout.max_new_tokens);
        match &recipe.data.train {
            Some(path) => Self::listed(recipe, path, language, room, seed),
            None => Self::drawn(recipe, language, room, seed),
        }
    }

    /// Problems to be measured on alone, from `data.eval` where the recipe names it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn to_measure(
        recipe: &Recipe,
        language: &Language,
        positions: usize,
        seed: Seed,
    ) -> Result<Self> {
        let (Some(path), None) = (&recipe.data.eval, &recipe.data.train) else {
            return Self::new(recipe, language, positions, seed);
        };
        let room = Room::new(positions, recipe.rollout.max_new_tokens);
        let read = read(path, &recipe.data, language, room)?;
        let mut told = vec![read.told(path)];
        let shown: Vec<&str> = language.renderer.preamble.questions().collect();
        let mut validation: Vec<Task> = read.problems.into_iter().map(|problem| problem.task).collect();
        validation.retain(|task| !asks_one_of(task, &shown));
        let (all, n) = (validation.len(), recipe.eval.n);
        if all > n {
            notice!("{}: the first {n} of {all} problems are asked; `eval.n` decides", path.display());
            validation.truncate(n);
        }
        told.push(judged(recipe)?);
        Ok(Self { source: Source::Nothing, validation, test: Vec::new(), told })
    }

    /// Different training problems, where a file has them all.
    pub(crate) fn count(&self) -> Option<usize> {
        match &self.source {
            Source::Nothing | Source::Drawn { .. } => None,
            Source::Listed { problems, .. } => Some(problems.len()),
        }
    }

    fn drawn(recipe: &Recipe, language: &Language, room: Room, seed: Seed) -> Result<Self> {
        /// Training problems whose length is looked at.
        const LOOKED_AT: usize = 4096;

        let (data, n) = (&recipe.data, recipe.eval.n);
        let Some(family) = data.family()? else {
            return Err(Refusal::usage(
                "no problems: set `data.task` to a procedural family or `data.train` to a JSONL file",
            ));
        };
        let stream = |split| Stream::new(family.clone(), split, data.split, seed);
        let training = stream(Split::Train)?;
        let first = problem(language, training.task(0)?)?;
        // Of a share of nothing there is nothing.
        let set = |split, share: f64| {
            if share > 0.0 { Ok(stream(split)?.distinct(n)?) } else { anyhow::Ok(Vec::new()) }
        };
        let validation = set(Split::Validation, data.split.validation)?;
        let test = set(Split::Test, data.split.test)?;
        let mut longest = first.prompt_ids.len();
        let asked = recipe.max_steps.saturating_mul(recipe.grpo.prompts_per_step).max(recipe.distill.prompts);
        for index in 0..asked.min(LOOKED_AT) as u64 {
            longest = longest.max(problem(language, training.task(index)?)?.prompt_ids.len());
        }
        for task in validation.iter().chain(&test) {
            longest = longest.max(language.prompt_ids(&task.prompt, &task.columns)?.len());
        }
        room.check(longest)?;
        Ok(Self { source: Source::Drawn { stream: training, room }, validation, test, told: Vec::new() })
    }

    fn listed(recipe: &Recipe, path: &Path, language: &Language, room: Room, seed: Seed) -> Result<Self> {
        let data = &recipe.data;
        let shown: Vec<&str> = language.renderer.preamble.questions().collect();
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        let of_file = read(path, data, language, room)?;
        let mut told = vec![of_file.told(path)];
        let (all, texts) = (of_file.problems.len(), of_file.different());
        for problem in of_file.problems {
            let text = problem.task.prompt.text();
            match &data.eval {
                None if is_validation(&text, data.split.validation) => validation.push(problem.task),
                _ => training.push(problem),
            }
        }
        if let Some(path) = &data.eval {
            let read = read(path, data, language, room)?;
            told.push(read.told(path));
            validation.extend(read.problems.into_iter().map(|problem| problem.task));
            let texts: HashSet<String> = validation.iter().map(|task| task.prompt.text()).collect();
            training.retain(|problem| !texts.contains(&problem.task.prompt.text()));
        }
        // What is shown solved before each prompt teaches nothing and measures nothing.
        training.retain(|problem| !asks_one_of(&problem.task, &shown));
        validation.retain(|task| !asks_one_of(task, &shown));
        let apart = validation.len();
        validation.truncate(recipe.eval.n);
        if training.is_empty() || validation.is_empty() {
            let why = lacking(data, all, texts, training.is_empty());
            return Err(Refusal::input(format!(
                "{}: expected problems to train on and to hold out, found {} and {}: {why}",
                path.display(),
                training.len(),
                validation.len()
            )));
        }
        told.push(format!(
            "{} problems to train on, {apart} held out{}{}",
            training.len(),
            if data.eval.is_some() { " (`data.eval`)" } else { " by the hash of their prompts" },
            if validation.len() < apart {
                format!(", of which the first {} are asked (`eval.n`)", validation.len())
            } else {
                String::new()
            }
        ));
        told.push(judged(recipe)?);
        let epochs = Epochs::new(training.len(), seed.child("shuffle")).context("no problem to train on")?;
        let source = Source::Listed { problems: training, epochs };
        Ok(Self { source, validation, test: Vec::new(), told })
    }

    /// The training problem at an index, the same whatever was asked before.
    ///
    /// # Errors
    /// An index at which a family has no problem, or one that does not fit; a file that is measured on alone.
    pub(crate) fn training(&mut self, language: &Language, index: u64) -> Result<Problem> {
        match &mut self.source {
            Source::Nothing => {
                Err(Refusal::usage("`data.eval` alone has nothing to train on; set `data.train`"))
            }
            Source::Drawn { stream, room } => {
                let problem = problem(language, stream.task(index)?)?;
                room.check(problem.prompt_ids.len())?;
                Ok(problem)
            }
            Source::Listed { problems, epochs } => Ok(problems[epochs.position(index)].clone()),
        }
    }
}

fn problem(language: &Language, task: Task) -> Result<Problem> {
    let prompt_ids = language.prompt_ids(&task.prompt, &task.columns)?;
    Ok(Problem { task, prompt_ids })
}

/// Which verifier judges, and who says so.
fn judged(recipe: &Recipe) -> Result<String> {
    let (kind, who) = recipe.reward.judged_by(&recipe.data)?;
    Ok(format!("judged by `{kind}` (so says {who})"))
}

/// Why a file has nothing to train on, or nothing to hold out.
fn lacking(data: &Data, all: usize, texts: usize, training: bool) -> String {
    match (&data.eval, training) {
        (Some(eval), true) => format!(
            "all of its problems are in `data.eval` ({}) too, and what is measured on is not trained on; name another file, or \
             leave `data.eval` out to hold out a share",
            eval.display()
        ),
        (Some(eval), false) => {
            format!("`data.eval` ({}) has only examples of `data.shots`; give more problems", eval.display())
        }
        (None, _) if texts == 1 && all > 1 => format!(
            "all {all} rows have the same prompt, and problems are held out by their prompts; give different ones, or `data.eval`"
        ),
        (None, true) => "all were held out; give more problems, or `data.eval`".to_owned(),
        (None, false) => format!(
            "none of its {texts} different prompts falls into the share of {} that is held out by hash; give more problems, \
             `data.eval`, or a larger `data.split.validation`",
            data.split.validation
        ),
    }
}

/// What a file has.
struct Read {
    problems: Vec<Problem>,
    rows: usize,
    bad: usize,
    too_long: usize,
}

impl Read {
    fn different(&self) -> usize {
        self.problems.iter().map(|problem| problem.task.prompt.text()).collect::<HashSet<_>>().len()
    }

    /// Its rows, in words.
    fn told(&self, path: &Path) -> String {
        let Self { problems, rows, bad, too_long } = self;
        let repeated = problems.len() - self.different();
        let mut parts = vec![format!("{rows} rows")];
        for (count, what) in [
            (bad, "bad and left out"),
            (too_long, "too long and left out"),
            (&repeated, "with a prompt seen before"),
        ] {
            if *count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        format!("{}: {}", path.display(), parts.join(", "))
    }
}

/// A file's tasks with their token ids; what is too long is dropped and counted.
fn read(path: &Path, data: &Data, language: &Language, room: Room) -> Result<Read> {
    let rows = jsonl::tasks(path, data.bad_lines.into())?;
    if let Some(example) = &rows.first_skipped {
        notice!("warning: {} bad lines left out, such as {example}", rows.skipped);
    }
    let total = rows.rows.len();
    // What cannot fit is not encoded: a text of megabytes would take seconds.
    let encode = |row: Row<Task>| {
        let lost = choices::refuse_lost(&row.value).map_err(|problem| Refusal::line(path, row.line, problem));
        let excess = room.excess(&row.value.prompt.text());
        let problem = excess.map_or_else(|| problem(language, row.value).map(Ok), |least| Ok(Err(least)));
        (row.line, lost.map(|()| problem))
    };
    let encoded: Vec<_> = rows.rows.into_par_iter().map(encode).collect();
    let (mut problems, mut shortest) = (Vec::new(), usize::MAX);
    for (line, problem) in encoded {
        match problem? {
            Ok(Err(least)) => shortest = shortest.min(least),
            Ok(Ok(problem)) if problem.prompt_ids.is_empty() => {
                return Err(Refusal::line(path, line, "the prompt has no token"));
            }
            Ok(Ok(problem)) => {
                shortest = shortest.min(problem.prompt_ids.len());
                if room.holds(problem.prompt_ids.len()) {
                    problems.push(problem);
                }
            }
            Err(error) => return Err(Refusal::line(path, line, advice(&error))),
        }
    }
    let (tokens, too_long) = (room.prompt(), total - problems.len());
    if problems.is_empty() {
        let (out, or) = match room.left(shortest) {
            Some(left) => (
                format!("lower `rollout.max_new_tokens` to at most {left}"),
                ", or choose a model with more positions",
            ),
            None => (
                "the prompts alone are longer than that: no `rollout.max_new_tokens` helps, only".to_owned(),
                " a model with more positions",
            ),
        };
        return Err(Refusal::input(format!(
            "{}: all {total} prompts have more than {tokens} tokens ({}), the shortest {shortest}; {out}{or}",
            path.display(),
            room.why()
        )));
    }
    if too_long > 0 {
        notice!(
            "warning: {}: {too_long} of {total} prompts have more than {tokens} tokens and were left out; {}",
            path.display(),
            room.why()
        );
    }
    Ok(Read { problems, rows: total + rows.skipped, bad: rows.skipped, too_long })
}

fn advice(error: &anyhow::Error) -> String {
    match error.downcast_ref::<text::Error>() {
        // This one has the advice in it: set `model`.
        Some(error @ text::Error::UnknownCharacter { .. }) => error.to_string(),
        _ => format!("{error:#}"),
    }
}
