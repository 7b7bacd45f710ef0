//! Problems to train on and to evaluate on, as `[data]` names them: drawn from a procedural family or read
//! from a file, held out by problem. Everything that can be wrong with a file is found before any training.

mod file;
#[cfg(test)]
mod tests;

use crate::shots::asks_one_of;
use crate::{Data, Error, Reward, Room};
use ruminate_data::procedural::{Mixture, Stream};
use ruminate_data::split::{Split, is_validation};
use ruminate_data::{Epochs, Pools, Problem, Seed, Task};
use ruminate_reward::survey;
use ruminate_text::{Error as TextError, Renderer};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The numbers of a run that decide which problems there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemSettings {
    /// Tokens of the longest sequence that every model of the run can take.
    pub positions: usize,
    /// Tokens kept for a completion.
    pub max_new_tokens: usize,
    /// Problems in each set to evaluate on, at most.
    pub eval_n: usize,
    /// Training problems that the run asks. Of a family, the first 4096 of them are looked at for their
    /// length.
    pub asked: usize,
    /// Whether the members of a mixture are asked one by one, by their place in [`Pools`], and not by their weights.
    pub pools: bool,
}

/// Training problems by index, and the sets that training never sees.
pub struct Problems {
    source: Source,
    /// What evaluation during development sees.
    pub validation: Vec<Task>,
    /// What only final figures see; empty where tasks come from a file.
    pub test: Vec<Task>,
    /// What became of a file's rows, and which verifier judges them: one sentence each, to be shown to the
    /// user.
    pub notes: Vec<String>,
}

enum Source {
    /// Nothing to train on: a file to evaluate on alone.
    Nothing,
    /// Drawn by index.
    Drawn { stream: Stream, room: Room },
    /// Drawn from one of several families, by [`Pools::problem`].
    Members { streams: Vec<Stream>, room: Room },
    /// A file's problems, in a new order each epoch.
    Listed { problems: Vec<file::Listed>, epochs: Epochs },
}

impl Problems {
    /// The problems of a recipe, with their token ids. `notify` gets what is to be shown to the user at
    /// once, a line per call: rows that were left out.
    ///
    /// # Errors
    /// [`Error::Line`] for a prompt that does not become tokens, [`Error::Data`] for a
    /// bad line and for a family with too few problems, [`Error::TooFewProblems`], [`Error::AllTooLong`];
    /// [`Error::DoNotFit`] and [`Error::NoProblems`] are [of options](Error::is_usage).
    pub fn new(
        data: &Data,
        reward: &Reward,
        settings: ProblemSettings,
        renderer: &Renderer,
        seed: Seed,
        notify: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        match &data.train {
            Some(path) => Self::listed(path, data, reward, settings, renderer, seed, notify),
            None => Self::drawn(data, settings, renderer, seed),
        }
    }

    /// Problems to evaluate on alone, from `data.eval` where there is no `data.train`; else as
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_evaluation(
        data: &Data,
        reward: &Reward,
        settings: ProblemSettings,
        renderer: &Renderer,
        seed: Seed,
        notify: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        let (Some(path), None) = (&data.eval, &data.train) else {
            return Self::new(data, reward, settings, renderer, seed, notify);
        };
        let rows = file::read(path, data, reward, renderer, settings.room(), notify)?;
        let mut notes = vec![rows.note(path)];
        let shown: Vec<&str> = renderer.template.preamble.questions().collect();
        let mut validation: Vec<Task> = rows.problems.into_iter().map(file::Listed::into_task).collect();
        validation.retain(|task| !asks_one_of(task, &shown));
        let (all, n) = (validation.len(), settings.eval_n);
        if all > n {
            notify(format!(
                "{}: the first {n} of {all} problems are asked; `eval.n` decides",
                path.display()
            ));
            validation.truncate(n);
        }
        notes.push(judged(data, reward)?);
        notes.extend(unread(data, reward, &validation));
        Ok(Self { source: Source::Nothing, validation, test: Vec::new(), notes })
    }

    /// Different training problems, where a file has them all.
    pub fn count(&self) -> Option<usize> {
        match &self.source {
            Source::Nothing | Source::Drawn { .. } | Source::Members { .. } => None,
            Source::Listed { problems, .. } => Some(problems.len()),
        }
    }

    /// Pools of nothing that is measured: of a file's problems, or of a mixture's members. None where neither is there.
    pub fn pools(&self) -> Option<Pools> {
        match &self.source {
            Source::Nothing | Source::Drawn { .. } => None,
            Source::Members { streams, .. } => Some(Pools::of_sources(streams.len())),
            Source::Listed { problems, .. } => Some(Pools::new(problems.len())),
        }
    }

    /// The training problem at an index, the same whatever was asked before.
    ///
    /// # Errors
    /// [`Error::NothingToTrainOn`]; of a family, an index at which it has no problem, or one that does not
    /// fit.
    pub fn training(&mut self, renderer: &Renderer, index: u64) -> Result<Problem, Error> {
        match &mut self.source {
            Source::Nothing => Err(Error::NothingToTrainOn),
            Source::Drawn { stream, room } => drawn(renderer, stream, index, *room),
            Source::Members { streams, room } => {
                let (member, index) = Pools::source(streams.len(), index);
                drawn(renderer, &streams[member], index, *room)
            }
            Source::Listed { problems, epochs } => Ok(problems[epochs.position(index)].problem(renderer)?),
        }
    }

    fn drawn(data: &Data, settings: ProblemSettings, renderer: &Renderer, seed: Seed) -> Result<Self, Error> {
        /// Training problems whose length is looked at.
        const LOOKED_AT: usize = 4096;

        let (n, room) = (settings.eval_n, settings.room());
        let Some(family) = data.family()? else { return Err(Error::NoProblems) };
        let stream = |split| Stream::new(family.clone(), split, data.split, seed);
        let training = stream(Split::Train)?;
        let mixture = data.mixture()?.filter(|_| settings.pools);
        let members: Vec<Stream> = mixture
            .iter()
            .flat_map(Mixture::apart)
            .zip(0..)
            .map(|(member, at)| {
                Stream::new(Arc::new(member), Split::Train, data.split, seed.child("member").index(at))
            })
            .collect::<Result<_, _>>()?;
        let first = problem(renderer, training.task(0)?)?;
        // Of a share of nothing there is nothing.
        let set = |split, share: f64| if share > 0.0 { stream(split)?.distinct(n) } else { Ok(Vec::new()) };
        let validation = set(Split::Validation, data.split.validation)?;
        let test = set(Split::Test, data.split.test)?;
        let mut longest = first.prompt_ids.len();
        let asked = if members.is_empty() { std::slice::from_ref(&training) } else { &members };
        for stream in asked {
            for index in 0..settings.asked.min(LOOKED_AT).div_ceil(asked.len()) as u64 {
                longest = longest.max(problem(renderer, stream.task(index)?)?.prompt_ids.len());
            }
        }
        for task in validation.iter().chain(&test) {
            longest = longest.max(renderer.prompt_ids(&task.prompt, &task.columns)?.len());
        }
        room.check(longest)?;
        let source = if members.is_empty() {
            Source::Drawn { stream: training, room }
        } else {
            Source::Members { streams: members, room }
        };
        Ok(Self { source, validation, test, notes: Vec::new() })
    }

    fn listed(
        path: &Path,
        data: &Data,
        reward: &Reward,
        settings: ProblemSettings,
        renderer: &Renderer,
        seed: Seed,
        notify: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        let shown: Vec<&str> = renderer.template.preamble.questions().collect();
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        let rows = file::read(path, data, reward, renderer, settings.room(), notify)?;
        let mut notes = vec![rows.note(path)];
        let (all, texts) = (rows.problems.len(), rows.different());
        for problem in rows.problems {
            let text = problem.task().prompt.text();
            match &data.eval {
                None if is_validation(&text, data.split.validation) => validation.push(problem.into_task()),
                _ => training.push(problem),
            }
        }
        if let Some(path) = &data.eval {
            let rows = file::read(path, data, reward, renderer, settings.room(), notify)?;
            notes.push(rows.note(path));
            validation.extend(rows.problems.into_iter().map(file::Listed::into_task));
            let texts: HashSet<String> = validation.iter().map(|task| task.prompt.text()).collect();
            training.retain(|problem| !texts.contains(&problem.task().prompt.text()));
        }
        // What is shown solved before each prompt teaches nothing and measures nothing.
        training.retain(|problem| !asks_one_of(problem.task(), &shown));
        validation.retain(|task| !asks_one_of(task, &shown));
        let apart = validation.len();
        validation.truncate(settings.eval_n);
        let epochs = Epochs::new(training.len(), seed.child("shuffle"));
        let (Some(epochs), false) = (epochs, validation.is_empty()) else {
            return Err(Error::TooFewProblems {
                path: path.to_owned(),
                training: training.len(),
                validation: validation.len(),
                why: lacking(data, all, texts, training.is_empty()),
            });
        };
        notes.push(format!(
            "{} problems to train on, {apart} held out{}{}",
            training.len(),
            if data.eval.is_some() { " (`data.eval`)" } else { " by the hash of their prompts" },
            if validation.len() < apart {
                format!(", of which the first {} are asked (`eval.n`)", validation.len())
            } else {
                String::new()
            }
        ));
        notes.push(judged(data, reward)?);
        notes.extend(unread(data, reward, training.iter().map(file::Listed::task).chain(&validation)));
        let source = Source::Listed { problems: training, epochs };
        Ok(Self { source, validation, test: Vec::new(), notes })
    }
}

/// How many answers their verifier cannot read, where there are some: those tasks teach nothing.
fn unread<'a>(data: &Data, reward: &Reward, tasks: impl IntoIterator<Item = &'a Task>) -> Option<String> {
    // What is wrong with the reward itself is told where it is made.
    let rubric = reward.rubric(data).ok()?;
    let survey = survey(&rubric, tasks);
    (survey.unread > 0).then(|| survey.to_string())
}

impl ProblemSettings {
    fn room(&self) -> Room {
        Room::new(self.positions, self.max_new_tokens)
    }
}

fn problem(renderer: &Renderer, task: Task) -> Result<Problem, TextError> {
    let prompt_ids = renderer.prompt_ids(&task.prompt, &task.columns)?;
    Ok(Problem { task, prompt_ids })
}

/// A family's problem that fits.
fn drawn(renderer: &Renderer, stream: &Stream, index: u64, room: Room) -> Result<Problem, Error> {
    let problem = problem(renderer, stream.task(index)?)?;
    room.check(problem.prompt_ids.len())?;
    Ok(problem)
}

/// Which verifier judges, and where that is stated.
fn judged(data: &Data, reward: &Reward) -> Result<String, Error> {
    let (kind, source) = reward.judged_by(data)?;
    Ok(format!("judged by `{kind}` (so says {source})"))
}

/// Why a file has nothing to train on, or nothing to hold out.
fn lacking(data: &Data, all: usize, texts: usize, training: bool) -> String {
    match (&data.eval, training) {
        (Some(eval), true) => format!(
            "all of its problems are in `data.eval` ({}) too, and what is measured on is not trained on; \
             name another file, or leave `data.eval` out to hold out a share",
            eval.display()
        ),
        (Some(eval), false) => {
            format!("`data.eval` ({}) has only examples of `data.shots`; give more problems", eval.display())
        }
        (None, _) if texts == 1 && all > 1 => format!(
            "all {all} rows have the same prompt, and problems are held out by their prompts; give \
             different ones, or `data.eval`"
        ),
        (None, true) => "all were held out; give more problems, or `data.eval`".to_owned(),
        (None, false) => format!(
            "none of its {texts} different prompts falls into the share of {} that is held out by hash; \
             give more problems, `data.eval`, or a larger `data.split.validation`",
            data.split.validation
        ),
    }
}
