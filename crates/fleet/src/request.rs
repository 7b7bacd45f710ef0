//! What may be asked of a server: parameters that have the meaning there that they have here.

use crate::{Error, Kind, Setup};
use ruminate_data::{Request, SamplingParams};

/// Refuses what servers compute otherwise than an engine of ours, or give no numbers for.
pub(crate) fn check(request: &Request, setup: &Setup) -> Result<(), Error> {
    let SamplingParams { temperature, top_p, top_k, min_p, max_new_tokens, .. } = request.sampling;
    let refused = |key: &str, found: &str, expected: &str| {
        Err(Error::Sampling(format!("`rollout.{key}` is {found}; expected {expected} where servers sample")))
    };
    if temperature <= 0.0 {
        return refused("temperature", &temperature.to_string(), "a number above 0");
    }
    if request.sampling.cuts() && setup.cuts.is_none() {
        let (key, found, none) = match () {
            () if top_p < 1.0 => ("top_p", top_p.to_string(), "1"),
            () if top_k > 0 => ("top_k", top_k.to_string(), "0"),
            () => ("min_p", min_p.to_string(), "0"),
        };
        return refused(
            key,
            &found,
            &format!("{none}, since the servers were not asked for what they keep,"),
        );
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
