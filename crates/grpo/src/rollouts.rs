//! The first half of a step: problems become groups of scored completions.

use crate::judging::{Judged, judge_beside};
use crate::{Error, TrainerArgs};
use ruminate_data::{Group, Problem, Score, Task};
use ruminate_rollout::{Engine, GroupArgs, SpeculationStats, generate_grouped_streaming};

/// What a step sampled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rollout {
    /// By problem.
    pub(crate) groups: Vec<Group>,
    /// Tokens that were guessed ahead.
    pub(crate) guesses: SpeculationStats,
    /// Seconds from the last token to the last verdict.
    pub(crate) judge_wait: f64,
}

impl Rollout {
    /// Adds what another round of the same step has sampled.
    pub(crate) fn extend(&mut self, round: Self) {
        self.groups.extend(round.groups);
        self.guesses.drafted += round.guesses.drafted;
        self.guesses.accepted += round.guesses.accepted;
        self.judge_wait += round.judge_wait;
    }
}

/// Samples `num_generations` completions of each problem with the engine's weights, and has groups that are complete scored meanwhile.
///
/// `first` is the index of the first problem in its source. A completion's randomness is derived from (seed, step,
/// problem, sibling), so it does not depend on what is sampled beside it.
///
/// # Errors
/// Those of sampling.
pub(crate) fn rollout(
    engine: &mut dyn Engine,
    problems: &[Problem],
    first: u64,
    step: usize,
    setup: &TrainerArgs,
    score: &(dyn Score + Sync),
) -> Result<Rollout, Error> {
    let seed = setup.seed.child("rollout").index(step as u64);
    let args = GroupArgs { count: setup.config.num_generations, sampling: setup.sampling, stop: setup.stop };
    let prompts: Vec<&[u32]> = problems.iter().map(|problem| problem.prompt_ids.as_slice()).collect();
    let tasks: Vec<&Task> = problems.iter().map(|problem| &problem.task).collect();
    let seed_of = |problem: usize| seed.index(first + problem as u64);
    let Judged { sampled, groups, waited } = judge_beside(&tasks, score, |finished| {
        generate_grouped_streaming(engine, &prompts, args, seed_of, finished)
    })?;
    let group = |((completions, verdicts), index)| Group { task: index as usize, completions, verdicts };
    let groups = groups.into_iter().zip(first..).map(group).collect();
    Ok(Rollout { groups, guesses: sampled, judge_wait: waited.as_secs_f64() })
}
