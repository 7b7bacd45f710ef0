//! The first half of a step: problems become groups of scored completions.

use crate::{Problem, Setup};
use ruminate_data::{Completion, Group, Seed, Task, Verdict};
use ruminate_model::Decoder;
use ruminate_rollout::{Flow, Options, RecordRouting, Request, generate};

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
    let siblings = setup.config.num_generations;
    let seed = setup.seed.child("rollout").index(step as u64);
    let requests: Vec<Request> = (0..problems.len() * siblings)
        .map(|i| Request {
            prompt_ids: problems[i / siblings].prompt_ids.clone(),
            seed: completion_seed(seed, first + (i / siblings) as u64, i % siblings),
        })
        .collect();
    let options = Options {
        sampling: *setup.sampling,
        eos_token_ids: setup.eos_token_ids.to_vec(),
        max_num_seqs: setup.config.max_num_seqs,
        record_routing: RecordRouting::Yes,
    };
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    generate(policy, &requests, &options, |request, completion| {
        completions[request] = Some(completion);
        Flow::Continue
    });
    let mut completions =
        completions.into_iter().map(|completion| completion.expect("every request finishes"));
    problems
        .iter()
        .zip(first..)
        .map(|(problem, index)| {
            let completions: Vec<Completion> = completions.by_ref().take(siblings).collect();
            let verdicts = completions.iter().map(|completion| score(&problem.task, completion)).collect();
            Group { task: index as usize, completions, verdicts }
        })
        .collect()
}

fn completion_seed(step: Seed, problem: u64, sibling: usize) -> Seed {
    step.index(problem).index(sibling as u64)
}
