//! What may be asked of a server: parameters that have the meaning there that they have here.

use crate::{Error, Kind, Setup};
use ruminate_data::{Request, SamplingParams};

/// Refuses what servers compute otherwise than an engine of ours, or give no numbers for.
pub(crate) fn check(request: &Request, setup: &Setup) -> Result<(), Error> {
    let SamplingParams { temperature, top_k, max_new_tokens, .. } = request.sampling;
    let refused = |key: &str, found: &str, expected: &str| {
        Err(Error::Sampling(format!("`rollout.{key}` is {found}; expected {expected} where servers sample")))
    };
    if temperature <= 0.0 {
        return refused("temperature", &temperature.to_string(), "a number above 0");
    }
    if let Some((key, found, none)) = request.sampling.first_cut()
        && setup.cuts.is_none()
    {
        let expected = format!("{none}, since the servers were not asked for what they keep,");
        return refused(key, &found.to_string(), &expected);
    }
    if request.sampling.cuts() && top_k == 0 && setup.kind == Kind::Vllm {
        return refused("top_k", "0", "a number above 0 beside `top_p` and `min_p`, as vLLM demands,");
    }
    if request.sampling.penalises() {
        return refused("repetition_penalty", "or another penalty set", "none");
    }
    if !request.stop.bad_words().is_empty() {
        return refused("bad_words", "set", "none");
    }
    if request.stop.forces() {
        return refused("thought_prefix", "or `thinking_budget` set", "neither");
    }
    if max_new_tokens == 0 {
        return refused("max_new_tokens", "0", "at least 1");
    }
    Ok(())
}
