//! The teacher's half: problems become groups of scored completions.

use crate::Error;
use ruminate_data::{Completion, Group, Request, SamplingParams, Score, Seed, Stop, Task};
use ruminate_model::Decoder;
use ruminate_rollout::Engine;
use std::ops::ControlFlow;

/// Who is asked, and how.
#[derive(Clone, Copy, Debug)]
pub struct SamplingArgs<'a> {
    /// The policy that writes the traces.
    pub teacher: &'a Decoder,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// What ends a completion.
    pub stop: &'a Stop,
    /// Completions a problem.
    pub num_samples: usize,
    /// A completion draws from `seed.index(problem).index(sample)`, so it does not depend on what is sampled beside
    /// it.
    pub seed: Seed,
}

/// Samples `num_samples` completions of each problem with the teacher's weights and scores them: one group per problem, in
/// the order given.
///
/// A problem is a task and its prompt as token ids. `known` are the completions that are there already, by problem and sample:
/// they are not sampled again, and change no other; empty, nothing is. `finished` gets each new one, with its problem and its
/// place in the group, and decides whether to go on.
///
/// # Errors
/// A sampling parameter out of range, a prompt that is empty or too long for the teacher's positions, all found
/// before anything is sampled; those of the engine, and [`Stopped`](ruminate_rollout::Error::Stopped) when `finished` says so.
pub fn sample_traces(
    setup: &SamplingArgs,
    engine: &mut dyn Engine,
    problems: &[(&Task, &[u32])],
    mut known: Vec<Vec<Option<Completion>>>,
    score: &dyn Score,
    finished: &mut dyn FnMut(usize, usize, &Completion) -> ControlFlow<()>,
) -> Result<Vec<Group>, Error> {
    let SamplingArgs { teacher, sampling, stop, num_samples, seed } = *setup;
    sampling.validate()?;
    let prompts: Vec<&[u32]> = problems.iter().map(|&(_, prompt)| prompt).collect();
    check_prompts(&prompts, sampling, teacher.config().max_position_embeddings)?;
    known.resize_with(problems.len(), Vec::new);
    for group in &mut known {
        group.resize_with(num_samples, || None);
    }
    let places = |problem: usize| (0..num_samples).map(move |sample| (problem, sample));
    let open: Vec<(usize, usize)> = (0..problems.len())
        .flat_map(places)
        .filter(|&(problem, sample)| known[problem][sample].is_none())
        .collect();
    let request = |&(problem, sample): &(usize, usize)| Request {
        prompt_ids: prompts[problem].to_vec(),
        sampling,
        stop: stop.clone(),
        seed: seed.index(problem as u64).index(sample as u64),
    };
    let requests: Vec<Request> = open.iter().map(request).collect();
    let (mut flow, mut checked) = (ControlFlow::Continue(()), Ok(()));
    engine.load_weights(teacher, 0)?;
    engine.generate(requests, &mut |request: usize, completion: Completion| {
        checked = ruminate_rollout::Error::check(request, &completion);
        if checked.is_err() {
            return ControlFlow::Break(());
        }
        let (problem, sample) = open[request];
        flow = finished(problem, sample, &completion);
        known[problem][sample] = Some(completion);
        flow
    })?;
    checked?;
    engine.unload_weights();
    let completions: Vec<Vec<Completion>> =
        known.into_iter().map(|group| group.into_iter().flatten().collect()).collect();
    if flow == ControlFlow::Break(()) {
        let (finished, requested) = (completions.iter().map(Vec::len).sum(), problems.len() * num_samples);
        return Err(ruminate_rollout::Error::Stopped { finished, requested }.into());
    }
    let written: Vec<(&Task, &[Completion])> =
        problems.iter().zip(&completions).map(|(&(task, _), group)| (task, group.as_slice())).collect();
    let verdicts = score.score(&written);
    let judged = completions.into_iter().zip(verdicts).enumerate();
    Ok(judged.map(|(task, (completions, verdicts))| Group { task, completions, verdicts }).collect())
}

/// Refuses prompts that are empty, or too long for so many positions.
pub(crate) fn check_prompts(
    prompts: &[&[u32]],
    sampling: SamplingParams,
    positions: usize,
) -> Result<(), Error> {
    let max_new_tokens = sampling.max_new_tokens;
    for (problem, prompt) in prompts.iter().enumerate() {
        let length = prompt.len();
        if length == 0 {
            return Err(Error::EmptyPrompt { problem });
        }
        if length.saturating_add(max_new_tokens) > positions {
            return Err(Error::TooLong { problem, length, max_new_tokens, positions });
        }
    }
    Ok(())
}
