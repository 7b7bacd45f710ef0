//! The first half of a step: problems become groups of scored completions.

use crate::{Error, Problem, Setup};
use ruminate_data::{Completion, Group, Score, Task, Verdict};
use ruminate_model::Decoder;
use ruminate_rollout::{Flow, Options, RecordRouting, generate_siblings};

/// Samples `num_generations` completions of each problem and scores them.
///
/// `first` is the index of the first problem in its source. A completion's randomness is derived from (seed, step,
/// problem, sibling), so it does not depend on what is sampled beside it.
///
/// # Errors
/// Those of sampling.
pub(crate) fn groups(
    policy: &Decoder,
    problems: &[Problem],
    first: u64,
    step: usize,
    setup: &Setup,
    score: &dyn Score,
) -> Result<Vec<Group>, Error> {
    let seed = setup.seed.child("rollout").index(step as u64);
    let options = Options {
        sampling: *setup.sampling,
        eos_token_ids: setup.eos_token_ids.to_vec(),
        max_num_seqs: setup.config.max_num_seqs,
        record_routing: RecordRouting::Yes,
    };
    let prompts: Vec<&[u32]> = problems.iter().map(|problem| problem.prompt_ids.as_slice()).collect();
    let seed_of = |problem: usize| seed.index(first + problem as u64);
    let siblings = setup.config.num_generations;
    let completions = generate_siblings(policy, &prompts, siblings, &options, seed_of, || Flow::Continue)?;
    let written: Vec<(&Task, &[Completion])> = problems
        .iter()
        .zip(&completions)
        .map(|(problem, completions)| (&problem.task, completions.as_slice()))
        .collect();
    let verdicts = score.score(&written);
    assert_eq!(verdicts.len(), completions.len(), "verdicts for every group");
    let judged = completions.into_iter().zip(verdicts).zip(first..);
    let group = |((completions, verdicts), index): ((Vec<Completion>, Vec<Verdict>), u64)| {
        assert_eq!(verdicts.len(), completions.len(), "one verdict a completion of problem {index}");
        Group { task: index as usize, completions, verdicts }
    };
    Ok(judged.map(group).collect())
}
