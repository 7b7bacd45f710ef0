//! Replies of servers, which are not trusted: bytes become an answer whose parts fit each other and the request, or the
//! reason why not. It never panics, and makes no request.

mod experts;
mod kept;
pub(crate) mod sglang;
pub(crate) mod vllm;

pub(crate) use experts::Encoding;
pub use experts::ExpertShape;

use ruminate_data::KeptIds;
use std::ops::Range;

/// Log-probabilities at or below this stand for none: vLLM sends -9999 for NaN and for minus infinity.
const ABSENT: f64 = -9998.0;

/// Above 0 by more than rounding, a number is no log-probability.
const ROUNDING: f64 = 1e-3;

/// What was asked for, as far as an answer has to fit it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The prompt's tokens, those of an earlier part of the completion included.
    pub prompt: &'a [u32],
    /// Most tokens of the completion; from 1.
    pub max_tokens: usize,
    /// Ids that end it.
    pub stop_ids: &'a [u32],
    /// Ids are below this.
    pub vocab_size: usize,
    /// Where the routers are, when their choices were asked for.
    pub experts: Option<&'a ExpertShape>,
    /// Whether the sets that top-k, top-p and min-p kept were asked for.
    pub kept: bool,
}

/// Why a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// At an ending token, which is the last.
    Stop,
    /// At the length limit.
    Length,
    /// It was told to: the tokens are the beginning of a completion, or none.
    Abort,
}

/// A completion, or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The sampled tokens.
    pub ids: Vec<u32>,
    /// One per token; NaN where the server has none.
    pub logprobs: Vec<f32>,
    /// Why it ends.
    pub finish: Finish,
    /// Labels of the weights that sampled it, by span, without gaps; None where the server does not say.
    pub versions: Option<Vec<(String, Range<usize>)>>,
    /// The routers' choices, `[positions, moe_layers, experts_per_token]` over prompt and completion without its last token.
    pub experts: Option<Vec<u16>>,
    /// What each token was drawn from, where that was asked for: log-probabilities are then of these sets alone.
    pub kept: KeptIds,
}

/// Reads a reply of vLLM's `/inference/v1/generate`.
///
/// # Errors
/// In words, what is wrong with it.
pub fn vllm_generate(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    vllm::generate(body, asked)
}

/// Reads a reply of vLLM's `/v1/completions`, the fallback.
///
/// # Errors
/// In words, what is wrong with it.
pub fn vllm_completions(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    vllm::completions(body, asked)
}

/// Reads a reply of SGLang's `/generate`.
///
/// # Errors
/// In words, what is wrong with it.
pub fn sglang_generate(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    sglang::generate(body, asked)
}

/// Reads the log-probabilities of `ids` from a reply of vLLM, one per token but the first.
///
/// # Errors
/// In words, what is wrong with it.
pub fn vllm_scores(body: &[u8], ids: &[u32]) -> Result<Vec<f32>, String> {
    vllm::scores(body, ids)
}

/// Reads the log-probabilities of `ids` from a reply of SGLang, one per token but the first.
///
/// # Errors
/// In words, what is wrong with it.
pub fn sglang_scores(body: &[u8], ids: &[u32]) -> Result<Vec<f32>, String> {
    sglang::scores(body, ids)
}

/// A server's number as a log-probability; NaN where it has none.
///
/// # Errors
/// When it is above 0.
fn logprob(number: Option<f64>) -> Result<f32, String> {
    match number {
        Some(number) if number > ROUNDING => {
            Err(format!("expected log-probabilities of at most 0, found {number}"))
        }
        Some(number) if number > ABSENT => Ok(number.min(0.0) as f32),
        _ => Ok(f32::NAN),
    }
}

/// Checks that the parts of an answer fit each other and what was asked.
fn checked(answer: Answer, asked: &Asked, reported: Option<usize>) -> Result<Answer, String> {
    let Answer { ids, logprobs, finish, versions, .. } = &answer;
    if logprobs.len() != ids.len() {
        return Err(format!("{} log-probabilities for {} tokens", logprobs.len(), ids.len()));
    }
    if let Some(reported) = reported.filter(|reported| *reported != ids.len()) {
        return Err(format!("`usage` counts {reported} tokens, found {}", ids.len()));
    }
    if ids.len() > asked.max_tokens {
        return Err(format!("{} tokens, at most {} were asked for", ids.len(), asked.max_tokens));
    }
    if let Some(id) = ids.iter().find(|id| **id as usize >= asked.vocab_size) {
        return Err(format!("token id {id}, the vocabulary has {}", asked.vocab_size));
    }
    let ends = |id: &u32| asked.stop_ids.contains(id);
    let early = ids.iter().rev().skip(1).any(ends);
    match finish {
        Finish::Stop if !ids.last().is_some_and(ends) => {
            return Err(format!(
                "stopped at token {:?}, which is none of the ending ids {:?}",
                ids.last(),
                asked.stop_ids
            ));
        }
        Finish::Length if ids.len() != asked.max_tokens => {
            return Err(format!("{} tokens at the length limit of {}", ids.len(), asked.max_tokens));
        }
        Finish::Length | Finish::Abort if ids.last().is_some_and(ends) && ids.len() < asked.max_tokens => {
            return Err("an ending token that ended nothing".to_owned());
        }
        _ if early => return Err("an ending token before the last".to_owned()),
        _ => {}
    }
    let mut end = 0;
    for (label, tokens) in versions.iter().flatten() {
        if tokens.start != end || tokens.end <= tokens.start || tokens.end > ids.len() {
            return Err(format!("weight version {label:?} for tokens {tokens:?} of {}", ids.len()));
        }
        end = tokens.end;
    }
    if versions.is_some() && end != ids.len() {
        return Err(format!("weight versions for {end} of {} tokens", ids.len()));
    }
    if asked.kept && answer.kept.len() < ids.len() {
        // An abort has lost what they were drawn from, and without that nothing can be learned from them.
        return Ok(Answer { ids: Vec::new(), logprobs: Vec::new(), versions: None, experts: None, ..answer });
    }
    if answer.finish == Finish::Length && ids.last().is_some_and(ends) {
        // The last token that there was room for is an ending one: the completion ended by itself.
        return Ok(Answer { finish: Finish::Stop, ..answer });
    }
    Ok(answer)
}

/// Reads JSON, or says that there is none.
fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("no answer of the schema: {error}"))
}

/// A span of weight versions as both servers write it.
#[derive(Debug, serde::Deserialize)]
struct Span {
    version: String,
    start: usize,
    end: usize,
}

impl Span {
    fn all(spans: Option<Vec<Self>>) -> Option<Vec<(String, Range<usize>)>> {
        spans.map(|spans| spans.into_iter().map(|span| (span.version, span.start..span.end)).collect())
    }
}
