//! Answers that follow each other as one completion: what an abort cut short, and what was asked for behind it. It asks nothing.

use crate::reply::{Answer, ExpertShape, Finish};
use ruminate_data::{Completion, FinishReason, KeptIds, Request, Routing, VersionSpan};
use std::ops::Range;

/// A version of the weights, and the tokens that it sampled.
pub(crate) type Span = (u64, Range<usize>);

/// An answer, or the beginning of one, with the versions behind its tokens.
pub(crate) struct Part {
    pub(crate) answer: Answer,
    /// Places in the answer; empty where the server does not say.
    pub(crate) versions: Vec<Span>,
}

/// The completion of a request. Each token keeps the log-probability, the version and the experts of the answer that drew it.
pub(crate) fn completed(parts: Vec<Part>, request: &Request, shape: Option<&ExpertShape>) -> Completion {
    let (mut ids, mut logprobs, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    let mut kept = KeptIds::default();
    let (mut finish, mut experts) = (Finish::Length, None);
    for Part { answer, versions: spans } in parts {
        let begin = ids.len();
        ids.extend(answer.ids);
        logprobs.extend(answer.logprobs);
        kept.extend(&answer.kept);
        versions.extend(spans.into_iter().map(|(version, tokens)| VersionSpan {
            version,
            tokens: begin + tokens.start..begin + tokens.end,
        }));
        finish = answer.finish;
        experts = behind(experts, answer.experts);
    }
    // A test besides the ending ids is not asked by a server: what it drew behind the end is no part of the completion.
    let end = (1..=ids.len()).find(|end| request.stop.has_test() && request.stop.ends(&ids[..*end]));
    if let Some(end) = end {
        ids.truncate(end);
        logprobs.truncate(end);
        kept.truncate(end);
        finish = Finish::Stop;
    }
    versions.retain_mut(|span: &mut VersionSpan| {
        span.tokens.end = span.tokens.end.min(ids.len());
        span.tokens.start < span.tokens.end
    });
    versions.dedup_by(|next, span| {
        let same = span.version == next.version && span.tokens.end == next.tokens.start;
        if same {
            span.tokens.end = next.tokens.end;
        }
        same
    });
    let finish_reason = if finish == Finish::Stop { FinishReason::Stop } else { FinishReason::Length };
    let mut completion = Completion::new(request.prompt_ids.clone(), ids, logprobs, finish_reason);
    completion.versions = versions;
    completion.kept = kept;
    if let (Some(shape), Some(mut experts)) = (shape, experts) {
        let row = shape.moe_layers.len() * shape.experts_per_token;
        let positions = (request.prompt_ids.len() + completion.ids.len()).saturating_sub(1);
        experts.truncate(positions * row);
        completion.routing = Some(Routing {
            experts,
            moe_layers: shape.moe_layers.len(),
            experts_per_token: shape.experts_per_token,
        });
    }
    completion
}

/// Choices of two answers: an answer repeats the positions of those before it, which then had other weights.
fn behind(before: Option<Vec<u16>>, answer: Option<Vec<u16>>) -> Option<Vec<u16>> {
    match (before, answer) {
        (Some(mut before), Some(answer)) if answer.len() >= before.len() => {
            before.extend_from_slice(&answer[before.len()..]);
            Some(before)
        }
        (_, answer) => answer,
    }
}
