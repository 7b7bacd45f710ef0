//! The first half of a step: problems become groups of scored completions.

use crate::{Problem, Setup};
use ruminate_data::{Completion, Group, Task, Verdict};
use ruminate_model::Decoder;
use ruminate_rollout::{Flow, Options, RecordRouting, generate_siblings};

/// Samples `num_generations` completions of each problem and scores them.
///
/// `first` is the index of the first problem in its source. A completion's randomness is derived from (seed, step,
/// problem, sibling), so it does not depend on what is sampled beside it.
pub(crate) fn groups(
    policy: &Decoder,
    problems: &[Problem],
    first: u64,
    step: usize,
    setup: &Setup,
    score: &dyn Fn(&Task, &Completion) -> Verdict,
) -> Vec<Group> {
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
    let completions = generate_siblings(policy, &prompts, siblings, &options, seed_of, || Flow::Continue)
        .expect("nobody stops it");
    problems
        .iter()
        .zip(first..)
        .zip(completions)
        .map(|((problem, index), completions)| {
            let verdicts = completions.iter().map(|completion| score(&problem.task, completion)).collect();
            Group { task: index as usize, completions, verdicts }
        })
        .collect()
}
