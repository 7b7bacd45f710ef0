//! Replies of vLLM (0.30 and later): `/inference/v1/generate`, `/v1/completions`, and prompts' log-probabilities of both.

use super::kept::{SamplingMask, kept};
use super::{Answer, Asked, Encoding, Finish, Span, checked, json, logprob};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Generated {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
    token_ids: Option<Vec<u32>>,
    logprobs: Option<Logprobs>,
    weight_versions: Option<Vec<Span>>,
    routed_experts: Option<String>,
    sampling_mask: Option<SamplingMask>,
}

/// The two forms that the two routes have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Logprobs {
    Tokens { content: Vec<Token> },
    Texts { token_logprobs: Vec<Option<f64>> },
}

#[derive(Deserialize)]
struct Token {
    token_id: u32,
    logprob: Option<f64>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: Option<usize>,
}

pub(super) fn generate(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    read(body, asked, |logprobs, ids| {
        let Some(Logprobs::Tokens { content }) = logprobs else {
            return Err("no `logprobs.content`".to_owned());
        };
        for (token, id) in content.iter().zip(ids) {
            if token.token_id != *id {
                return Err(format!("a log-probability of token {} for token {id}", token.token_id));
            }
        }
        Ok(content.into_iter().map(|token| token.logprob).collect())
    })
}

pub(super) fn completions(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    read(body, asked, |logprobs, _| match logprobs {
        Some(Logprobs::Texts { token_logprobs }) => Ok(token_logprobs),
        _ => Err("no `logprobs.token_logprobs`".to_owned()),
    })
}

fn read(
    body: &[u8],
    asked: &Asked,
    numbers: impl FnOnce(Option<Logprobs>, &[u32]) -> Result<Vec<Option<f64>>, String>,
) -> Result<Answer, String> {
    let Generated { choices, usage } = json(body)?;
    let count = choices.len();
    let Ok([choice]) = <[Choice; 1]>::try_from(choices) else {
        return Err(format!("{count} choices; expected 1"));
    };
    let finish = match choice.finish_reason.as_deref() {
        Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        Some("abort") => Finish::Abort,
        other => return Err(format!("`finish_reason` {other:?}; expected stop, length or abort")),
    };
    let ids = choice.token_ids.ok_or("no `token_ids`")?;
    let numbers = if ids.is_empty() { Vec::new() } else { numbers(choice.logprobs, &ids)? };
    let logprobs = numbers.into_iter().map(logprob).collect::<Result<_, _>>()?;
    let experts = match (asked.experts, &choice.routed_experts) {
        (Some(shape), Some(text)) => {
            Some(shape.read(text, Encoding::Npy, (asked.prompt.len() + ids.len()).saturating_sub(1))?)
        }
        _ => None,
    };
    let versions = Span::all(choice.weight_versions);
    let kept = kept(choice.sampling_mask, &ids, finish, asked)?;
    let reported = usage.and_then(|usage| usage.completion_tokens);
    checked(Answer { ids, logprobs, finish, versions, experts, kept }, asked, reported)
}

#[derive(Deserialize)]
struct Scored {
    prompt_logprobs: Option<Vec<Option<HashMap<String, Entry>>>>,
    #[serde(default)]
    choices: Vec<ScoredChoice>,
}

#[derive(Deserialize)]
struct ScoredChoice {
    prompt_logprobs: Option<Vec<Option<HashMap<String, Entry>>>>,
}

#[derive(Deserialize)]
struct Entry {
    logprob: Option<f64>,
}

pub(super) fn scores(body: &[u8], ids: &[u32]) -> Result<Vec<f32>, String> {
    let Scored { prompt_logprobs, choices } = json(body)?;
    let of_choice = || choices.into_iter().next().and_then(|choice| choice.prompt_logprobs);
    let places = prompt_logprobs.or_else(of_choice).ok_or("no `prompt_logprobs`")?;
    if places.len() != ids.len() {
        return Err(format!("`prompt_logprobs` of {} tokens for {}", places.len(), ids.len()));
    }
    let score = |(place, id): (Option<HashMap<String, Entry>>, &u32)| {
        let entry = place.as_ref().and_then(|place| place.get(&id.to_string()));
        logprob(entry.ok_or_else(|| format!("no log-probability of token {id}"))?.logprob)
    };
    places.into_iter().zip(ids).skip(1).map(score).collect()
}
