//! Several completions of each prompt, collected by prompt: what GRPO, distillation and evaluation all do.

use crate::{Engine, Error, SpeculationStats};
use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop};
use std::ops::ControlFlow;

/// What the completions of a set of prompts share.
#[derive(Clone, Copy, Debug)]
pub struct GroupArgs<'a> {
    /// Completions per prompt.
    pub count: usize,
    /// How their tokens are drawn.
    pub sampling: SamplingParams,
    /// What ends them.
    pub stop: &'a Stop,
}

impl GroupArgs<'_> {
    /// The requests of a prompt; sample s has the randomness `seed.index(s)`.
    pub fn requests(self, prompt: &[u32], seed: Seed) -> Vec<Request> {
        let request = |sample| Request {
            prompt_ids: prompt.to_vec(),
            sampling: self.sampling,
            stop: self.stop.clone(),
            seed: seed.index(sample),
        };
        (0..self.count as u64).map(request).collect()
    }
}

/// Samples `count` completions of each prompt; the result is by prompt, in the order given. Completion s of prompt i
/// has the randomness `seed(i).index(s)`, so it depends on nothing that is sampled beside it.
///
/// `finished` is called after each completion and decides whether to go on.
///
/// # Errors
/// Those of the engine, [`Error::NotFinite`] where the model gives no distribution to draw from, and [`Error::Stopped`] when
/// `finished` says so.
pub fn generate_grouped(
    engine: &mut dyn Engine,
    prompts: &[&[u32]],
    args: GroupArgs,
    seed: impl Fn(usize) -> Seed,
    mut finished: impl FnMut() -> ControlFlow<()>,
) -> Result<Vec<Vec<Completion>>, Error> {
    let mut groups = vec![Vec::new(); prompts.len()];
    let of_group = |prompt, completions| {
        groups[prompt] = completions;
        ControlFlow::Continue(())
    };
    collect(engine, prompts, args, seed, &mut finished, of_group)?;
    Ok(groups)
}

/// The same, but the completions of a prompt are handed over, with its index, as soon as the last of them is finished.
///
/// # Errors
/// As [`generate_grouped`].
pub fn generate_grouped_streaming(
    engine: &mut dyn Engine,
    prompts: &[&[u32]],
    args: GroupArgs,
    seed: impl Fn(usize) -> Seed,
    finished: impl FnMut(usize, Vec<Completion>) -> ControlFlow<()>,
) -> Result<SpeculationStats, Error> {
    collect(engine, prompts, args, seed, &mut || ControlFlow::Continue(()), finished)
}

fn collect(
    engine: &mut dyn Engine,
    prompts: &[&[u32]],
    args: GroupArgs,
    seed: impl Fn(usize) -> Seed,
    one_finished: &mut dyn FnMut() -> ControlFlow<()>,
    mut group_finished: impl FnMut(usize, Vec<Completion>) -> ControlFlow<()>,
) -> Result<SpeculationStats, Error> {
    let count = args.count;
    let requests: Vec<Request> =
        prompts.iter().enumerate().flat_map(|(i, prompt)| args.requests(prompt, seed(i))).collect();
    let requested = requests.len();
    let mut groups: Vec<Vec<Option<Completion>>> = vec![vec![None; count]; prompts.len()];
    let (mut finished, mut flow, mut checked) = (0, ControlFlow::Continue(()), Ok(()));
    let mut sink = |request: usize, completion: Completion| {
        checked = Error::check(request, &completion);
        if checked.is_err() {
            return ControlFlow::Break(());
        }
        finished += 1;
        let (prompt, sibling) = (request / count, request % count);
        let group = &mut groups[prompt];
        group[sibling] = Some(completion);
        flow = one_finished();
        if flow == ControlFlow::Continue(()) && group.iter().all(Option::is_some) {
            flow = group_finished(prompt, std::mem::take(group).into_iter().flatten().collect());
        }
        flow
    };
    let guesses = engine.generate(requests, &mut sink)?;
    checked?;
    match flow {
        ControlFlow::Continue(()) => Ok(guesses),
        ControlFlow::Break(()) => Err(Error::Stopped { finished, requested }),
    }
}
