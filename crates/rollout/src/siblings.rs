//! Several completions of each prompt, collected by prompt: what GRPO, distillation and evaluation all do.

use crate::{Error, Flow, Options, Request, generate};
use ruminate_data::{Completion, Seed};
use ruminate_model::Decoder;

/// Samples `count` completions of each prompt; the result is by prompt, in the order given. Completion s of prompt i
/// has the randomness `seed(i).index(s)`, so it depends on nothing that is sampled beside it.
///
/// `finished` is called after each completion and decides whether to go on.
///
/// # Errors
/// Those of [`generate`], and [`Error::Stopped`] when `finished` says so.
pub fn generate_siblings(
    decoder: &Decoder,
    prompts: &[&[u32]],
    count: usize,
    options: &Options,
    seed: impl Fn(usize) -> Seed,
    mut finished: impl FnMut() -> Flow,
) -> Result<Vec<Vec<Completion>>, Error> {
    let requests: Vec<Request> = prompts
        .iter()
        .enumerate()
        .flat_map(|(i, prompt)| {
            let seed = seed(i);
            (0..count as u64)
                .map(move |sample| Request { prompt_ids: prompt.to_vec(), seed: seed.index(sample) })
        })
        .collect();
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut flow = Flow::Continue;
    generate(decoder, &requests, options, |request, completion| {
        completions[request] = Some(completion);
        flow = finished();
        flow
    })?;
    if flow == Flow::Stop {
        let finished = completions.iter().flatten().count();
        return Err(Error::Stopped { finished, requested: requests.len() });
    }
    let mut completions = completions.into_iter().flatten();
    Ok(prompts.iter().map(|_| completions.by_ref().take(count).collect()).collect())
}
