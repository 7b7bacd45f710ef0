//! Replies of SGLang's `/generate` (0.5), by its schema.

use super::kept::{SamplingMask, kept};
use super::{Answer, Asked, Encoding, Finish, Span, checked, json, logprob};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Generated {
    meta_info: Meta,
}

#[derive(Deserialize)]
struct Meta {
    finish_reason: Option<Reason>,
    completion_tokens: Option<usize>,
    output_token_logprobs: Option<Vec<Token>>,
    input_token_logprobs: Option<Vec<Token>>,
    weight_version: Option<String>,
    weight_versions: Option<Vec<Span>>,
    routed_experts: Option<String>,
    output_token_sampling_mask: Option<SamplingMask>,
    output_token_sampling_logprobs: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(rename = "type")]
    kind: String,
}

/// Log-probability, id, and the text where it was asked for.
type Token = (Option<f64>, u32, IgnoredAny);

pub(super) fn generate(body: &[u8], asked: &Asked) -> Result<Answer, String> {
    let Generated { meta_info: meta } = json(body)?;
    let finish = match meta.finish_reason.as_ref().map(|reason| reason.kind.as_str()) {
        Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        Some("abort") => Finish::Abort,
        other => return Err(format!("`finish_reason` {other:?}; expected stop, length or abort")),
    };
    // `output_ids` may lack the ending token: these have all.
    let tokens = match (meta.output_token_logprobs, finish) {
        (Some(tokens), _) => tokens,
        (None, Finish::Abort) => Vec::new(),
        (None, _) => return Err("no `output_token_logprobs`".to_owned()),
    };
    let ids: Vec<u32> = tokens.iter().map(|(_, id, _)| *id).collect();
    let numbers: Vec<Option<f64>> = match meta.output_token_sampling_logprobs {
        // Those beside the tokens are of the whole distribution.
        Some(numbers) if asked.kept => numbers,
        None if asked.kept && finish != Finish::Abort => {
            return Err("no `output_token_sampling_logprobs`".to_owned());
        }
        _ => tokens.iter().map(|(number, ..)| *number).collect(),
    };
    let logprobs = numbers.into_iter().map(logprob).collect::<Result<_, _>>()?;
    let kept = kept(meta.output_token_sampling_mask, &ids, finish, asked)?;
    let whole = |label: String| if ids.is_empty() { Vec::new() } else { vec![(label, 0..ids.len())] };
    let versions = Span::all(meta.weight_versions).or_else(|| meta.weight_version.map(whole));
    let experts = match (asked.experts, &meta.routed_experts) {
        (Some(shape), Some(text)) => {
            Some(shape.read(text, Encoding::Int32, (asked.prompt.len() + ids.len()).saturating_sub(1))?)
        }
        _ => None,
    };
    checked(Answer { ids, logprobs, finish, versions, experts, kept }, asked, meta.completion_tokens)
}

pub(super) fn scores(body: &[u8], ids: &[u32]) -> Result<Vec<f32>, String> {
    let Generated { meta_info: meta } = json(body)?;
    let places = meta.input_token_logprobs.ok_or("no `input_token_logprobs`")?;
    if places.len() != ids.len() {
        return Err(format!("`input_token_logprobs` of {} tokens for {}", places.len(), ids.len()));
    }
    let score = |((number, found, _), id): (&Token, &u32)| {
        if found == id {
            logprob(*number)
        } else {
            Err(format!("a log-probability of token {found} for token {id}"))
        }
    };
    places.iter().zip(ids).skip(1).map(score).collect()
}
