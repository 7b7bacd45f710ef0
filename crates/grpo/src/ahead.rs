//! Sampling ahead of learning: groups of later steps are sampled while there is room for them, and wait for their turn. An engine
//! that can generates them while the trainer learns; any other generates all that there is room for before each update.

use crate::rollouts::{Rollout, group_args, rollout, score_groups};
use crate::staleness::{Ages, age, capacity, date};
use crate::trainer::Problems;
use crate::{Error, TrainerArgs};
use burn::module::Module;
use ruminate_data::{Completion, Group, Problem, Score, Seed};
use ruminate_rollout::{Background, Engine, Error as EngineError};
use ruminate_train::{Observer, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A wait for completions without which the trainer cannot go on; it is repeated.
const LONG: Duration = Duration::from_secs(1);

/// Between two looks at whether the trainer has learned.
const SHORT: Duration = Duration::from_millis(5);

/// Groups that are judged at once, at most.
const JUDGED: usize = 64;

/// What is on its way. Groups that are finished are in [`State::ahead`].
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// By index.
    running: BTreeMap<u64, Running>,
    /// Indices behind the cursor whose groups were too old.
    dropped: BTreeSet<u64>,
    /// Finished while the trainer learned.
    arrived: Vec<Group>,
    failed: Option<Error>,
}

#[derive(Debug)]
struct Running {
    problem: Problem,
    /// Of the weights when it was sent.
    version: u64,
    completions: Vec<Option<Completion>>,
}

/// What a step samples with.
pub(crate) struct Sampling<'a, 'b> {
    pub(crate) engine: &'a mut dyn Engine,
    pub(crate) problems: &'a mut Problems<'b>,
    pub(crate) score: &'a (dyn Score + Sync),
    pub(crate) args: &'a TrainerArgs<'a>,
}

impl Sampling<'_, '_> {
    pub(crate) fn problem(&mut self, index: u64) -> Result<Problem, Error> {
        (self.problems)(index).map_err(|source| Error::Problem { index, source })
    }

    /// A group's randomness. When it is sent hangs on the speed of the engine, so it is of the index alone.
    fn seed(&self) -> Seed {
        self.args.seed.child("rollout ahead")
    }
}

impl Ahead {
    /// The groups of the next step, in the order of their indices; sends what there is room for. `state` gets what is finished
    /// besides.
    ///
    /// # Errors
    /// Those of problems and of the engine; [`Error::Stale`] when nearly all that it gives is too old.
    pub(crate) fn sample(&mut self, mut with: Sampling, state: &mut State) -> Result<Rollout, Error> {
        let loaded = with.engine.load_weights(&state.policy.valid(), state.step as u64).map_err(Error::from);
        let sampled = loaded.and_then(|()| self.sample_loaded(&mut with, state));
        with.engine.unload_weights(); // a living copy would keep the optimizer from working in place
        sampled
    }

    fn sample_loaded(&mut self, with: &mut Sampling, state: &mut State) -> Result<Rollout, Error> {
        let config = with.args.config;
        judge_loaded(with, state)?;
        let mut ages = Ages::default();
        let mut guesses = ruminate_rollout::SpeculationStats::default();
        let mut judge_wait = 0.0;
        loop {
            if let Some(sent) = self.send(with, state)? {
                guesses = sent.guesses;
                judge_wait += sent.judge_wait;
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            ages.dropped += self.drop_stale(state, config.staleness() as u64);
            if ages.dropped > (config.staleness() + 1) * config.prompts_per_step {
                let (step, max_staleness) = (state.step + 1, config.staleness());
                return Err(Error::Stale { step, dropped: ages.dropped, max_staleness });
            }
            if let Some((groups, next)) = self.take(state, config.prompts_per_step) {
                for group in &groups {
                    ages.add(group, state.step as u64);
                }
                return Ok(Rollout { groups, next, guesses, judge_wait, ages: Some(ages) });
            }
            if let Some(background) = with.engine.background()? {
                let groups = self.receive(background, LONG, config.num_generations as u64, with.score)?;
                state.ahead.extend(groups);
            }
        }
    }

    /// Sends groups while there is room. What an engine without a background gives is returned.
    fn send(&mut self, with: &mut Sampling, state: &mut State) -> Result<Option<Rollout>, Error> {
        let (config, step) = (with.args.config, state.step);
        let accepted = step * config.prompts_per_step;
        let room = capacity(config, step, with.args.max_steps);
        let room = room.saturating_sub(accepted + self.running.len() + state.ahead.len());
        let known = |index: &u64| {
            self.running.contains_key(index)
                || self.dropped.contains(index)
                || state.ahead.iter().any(|group| group.task as u64 == *index)
        };
        let indices: Vec<u64> = (state.cursor..).filter(|index| !known(index)).take(room).collect();
        if indices.is_empty() {
            return Ok(None);
        }
        let problems: Vec<Problem> =
            indices.iter().map(|index| with.problem(*index)).collect::<Result<_, _>>()?;
        let (seed, version) = (with.seed(), step as u64);
        let count = config.num_generations;
        if let Some(background) = with.engine.background()? {
            let args = group_args(with.args);
            let mut requests = Vec::with_capacity(indices.len() * count);
            for (index, problem) in indices.iter().zip(&problems) {
                let of_group = args.requests(&problem.prompt_ids, seed.index(*index));
                requests.extend((index * count as u64..).zip(of_group));
            }
            background.submit(requests)?;
            for (index, problem) in indices.into_iter().zip(problems) {
                self.running.insert(index, Running { problem, version, completions: vec![None; count] });
            }
            return Ok(None);
        }
        let mut sampled = rollout(with.engine, &problems, &indices, seed, with.args, with.score)?;
        let completions = sampled.groups.iter_mut().flat_map(|group| &mut group.completions);
        completions.for_each(|completion| date(completion, version));
        state.ahead.append(&mut sampled.groups);
        Ok(Some(sampled))
    }

    /// Forgets groups with a token of weights that are too old, and returns how many.
    fn drop_stale(&mut self, state: &mut State, max_staleness: u64) -> usize {
        let (step, before) = (state.step as u64, state.ahead.len());
        state.ahead.retain(|group| {
            let stays = age(group, step) <= max_staleness;
            if !stays {
                self.dropped.insert(group.task as u64);
            }
            stays
        });
        before - state.ahead.len()
    }

    /// The next groups, if all of them are there, and the index behind them.
    fn take(&mut self, state: &mut State, count: usize) -> Option<(Vec<Group>, u64)> {
        state.ahead.sort_by_key(|group| group.task);
        let due = (state.cursor..).filter(|index| !self.dropped.contains(index)).take(count);
        let found = state.ahead.iter().map(|group| group.task as u64);
        let there = found.zip(due).take_while(|(found, due)| found == due);
        let (mut taken, mut last) = (0, state.cursor);
        for (index, _) in there {
            (taken, last) = (taken + 1, index);
        }
        if taken < count {
            return None;
        }
        self.dropped = self.dropped.split_off(&(last + 1));
        Some((state.ahead.drain(..count).collect(), last + 1))
    }

    /// Takes in what is finished, and has groups that are complete judged; waits for the first completion only.
    fn receive(
        &mut self,
        background: &mut dyn Background,
        wait: Duration,
        count: u64,
        score: &(dyn Score + Sync),
    ) -> Result<Vec<Group>, Error> {
        let (mut complete, mut wait) = (Vec::new(), wait);
        while complete.len() < JUDGED
            && let Some((number, mut completion)) = background.finished(wait)?
        {
            wait = Duration::ZERO;
            EngineError::check(number as usize, &completion)?;
            let index = number / count;
            let Some(running) = self.running.get_mut(&index) else { continue };
            date(&mut completion, running.version);
            running.completions[(number % count) as usize] = Some(completion);
            if running.completions.iter().all(Option::is_some) {
                let Running { problem, completions, .. } = self.running.remove(&index).expect("it is there");
                let completions = completions.into_iter().flatten().collect();
                let group = Group { task: index as usize, completions, verdicts: Vec::new() };
                complete.push((problem, group));
            }
        }
        score_groups(&mut complete, score);
        Ok(complete.into_iter().map(|(_, group)| group).collect())
    }

    /// Does the trainer's work, and takes in meanwhile what an engine that generates beside it has finished.
    pub(crate) fn beside<T>(
        &mut self,
        engine: &mut dyn Engine,
        count: usize,
        score: &(dyn Score + Sync),
        work: impl FnOnce() -> T,
    ) -> T {
        if self.running.is_empty() {
            return work();
        }
        let background = match engine.background() {
            Ok(Some(background)) => background,
            Ok(None) => return work(),
            Err(error) => {
                self.failed = Some(error.into());
                return work();
            }
        };
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(Ordering::Acquire) {
                    match self.receive(background, SHORT, count as u64, score) {
                        Ok(groups) => self.arrived.extend(groups),
                        Err(error) => {
                            self.failed = Some(error);
                            return;
                        }
                    }
                }
            });
            let _ends = Ends(&ends);
            work()
        })
    }

    /// Puts what has come meanwhile into the state.
    pub(crate) fn settle(&mut self, state: &mut State) {
        state.ahead.append(&mut self.arrived);
        state.ahead.sort_by_key(|group| group.task);
    }
}

/// Saves the state as it was before the step that has these groups. Those that were sampled ahead are kept: a resumed run
/// learns from the same.
pub(crate) fn save_before(
    state: &mut State,
    groups: &[Group],
    ahead: bool,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let kept = if ahead { groups.len() } else { 0 };
    state.ahead.splice(..0, groups[..kept].iter().cloned());
    observer.save(state)?;
    state.ahead.drain(..kept);
    Ok(())
}

/// Ends the other thread, whatever becomes of the work.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Judges groups of a checkpoint, which has no verdicts.
fn judge_loaded(with: &mut Sampling, state: &mut State) -> Result<(), Error> {
    let (loaded, mut judged): (Vec<Group>, Vec<Group>) =
        std::mem::take(&mut state.ahead).into_iter().partition(|group| group.verdicts.is_empty());
    let mut loaded = loaded
        .into_iter()
        .map(|group| Ok((with.problem(group.task as u64)?, group)))
        .collect::<Result<Vec<_>, Error>>()?;
    score_groups(&mut loaded, with.score);
    judged.extend(loaded.into_iter().map(|(_, group)| group));
    state.ahead = judged;
    Ok(())
}
