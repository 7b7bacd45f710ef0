//! The first half of a step: problems become groups of scored completions.

use crate::judging::{Judged, judge_beside};
use crate::staleness::Ages;
use crate::{Error, TrainerArgs};
use ruminate_data::{Completion, Group, Problem, Score, Seed, Task};
use ruminate_rollout::{Engine, GroupArgs, SpeculationStats, generate_grouped_streaming};

/// What a step sampled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rollout {
    /// By problem.
    pub(crate) groups: Vec<Group>,
    /// The index behind the last problem.
    pub(crate) next: u64,
    /// Tokens that were guessed ahead.
    pub(crate) guesses: SpeculationStats,
    /// Seconds from the last token to the last verdict.
    pub(crate) judge_wait: f64,
    /// How old the tokens are, where groups are sampled ahead of their step.
    pub(crate) ages: Option<Ages>,
}

/// What the requests of a run share.
pub(crate) fn group_args<'a>(setup: &TrainerArgs<'a>) -> GroupArgs<'a> {
    GroupArgs { count: setup.config.num_generations, sampling: setup.sampling, stop: setup.stop }
}

impl Rollout {
    /// Adds what another round of the same step has sampled.
    pub(crate) fn extend(&mut self, round: Self) {
        self.groups.extend(round.groups);
        self.next = round.next;
        self.guesses.drafted += round.guesses.drafted;
        self.guesses.accepted += round.guesses.accepted;
        self.judge_wait += round.judge_wait;
    }
}

/// Samples `num_generations` completions of each problem with the engine's weights, and has groups that are complete scored meanwhile.
///
/// `indices` count the problems of the run. A completion's randomness is derived from (seed, index, sibling), so it does not
/// depend on what is sampled beside it.
///
/// # Errors
/// Those of sampling.
pub(crate) fn rollout(
    engine: &mut dyn Engine,
    problems: &[Problem],
    indices: &[u64],
    seed: Seed,
    setup: &TrainerArgs,
    score: &(dyn Score + Sync),
) -> Result<Rollout, Error> {
    let prompts: Vec<&[u32]> = problems.iter().map(|problem| problem.prompt_ids.as_slice()).collect();
    let tasks: Vec<&Task> = problems.iter().map(|problem| &problem.task).collect();
    let seed_of = |problem: usize| seed.index(indices[problem]);
    let Judged { sampled, groups, waited } = judge_beside(&tasks, score, |finished| {
        generate_grouped_streaming(engine, &prompts, group_args(setup), seed_of, finished)
    })?;
    let group =
        |((completions, verdicts), index): (_, &u64)| Group { task: *index as usize, completions, verdicts };
    let groups = groups.into_iter().zip(indices).map(group).collect();
    let next = indices.last().map_or(0, |last| last + 1);
    Ok(Rollout { groups, next, guesses: sampled, judge_wait: waited.as_secs_f64(), ages: None })
}

/// Gives groups their verdicts.
///
/// # Panics
/// When `score` gives another number of verdicts than there are completions.
pub(crate) fn score_groups(groups: &mut [(Problem, Group)], score: &dyn Score) {
    if groups.is_empty() {
        return;
    }
    let written: Vec<(&Task, &[Completion])> =
        groups.iter().map(|(problem, group)| (&problem.task, group.completions.as_slice())).collect();
    let verdicts = score.score(&written);
    assert_eq!(verdicts.len(), groups.len(), "verdicts for every group");
    for ((_, group), verdicts) in groups.iter_mut().zip(verdicts) {
        assert_eq!(verdicts.len(), group.completions.len(), "one verdict per completion");
        group.verdicts = verdicts;
    }
}
