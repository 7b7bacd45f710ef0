//! Completions in the making: their tokens, the log-probabilities of these, and the experts that were chosen on the way.

use super::sampler::SampledToken;
use crate::EngineConfig;
use ruminate_data::{Completion, FinishReason, History, KeptIds, Request, Routing, Sink, VersionSpan};
use ruminate_model::{Config, LayerRouting};
use std::ops::{ControlFlow, Range};

/// What was written so far, by request.
pub(super) struct Pending<'a> {
    requests: Vec<Request>,
    config: &'a Config,
    records_routing: bool,
    records_kept: bool,
    /// Of the weights.
    version: u64,
    drafts: Vec<Written>,
    /// Tokens that the sink has not got yet, with their requests.
    drawn: Vec<(usize, u32)>,
    /// Completions that the sink has not got yet, with their requests.
    finished: Vec<(usize, Completion)>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    ids: Vec<u32>,
    logprobs: Vec<f32>,
    kept_mass: Vec<f32>,
    kept: KeptIds,
    /// Which tokens the policy drew.
    trained: Vec<bool>,
    experts: Vec<u16>,
}

/// Whether a sequence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Yes,
    /// With this token, which is to be fed next.
    No(u32),
}

impl<'a> Pending<'a> {
    pub(super) fn new(
        requests: Vec<Request>,
        config: &'a Config,
        engine: &EngineConfig,
        version: u64,
    ) -> Self {
        let drafts = vec![Written::default(); requests.len()];
        Self {
            requests,
            config,
            records_routing: engine.record_routing && config.moe.is_some(),
            records_kept: engine.record_kept,
            version,
            drafts,
            drawn: Vec::new(),
            finished: Vec::new(),
        }
    }

    pub(super) fn request(&self, request: usize) -> &Request {
        &self.requests[request]
    }

    /// Requests so far.
    pub(super) fn count(&self) -> usize {
        self.requests.len()
    }

    /// Adds a request, which gets the next number.
    pub(super) fn add(&mut self, request: Request) -> usize {
        self.requests.push(request);
        self.drafts.push(Written::default());
        self.requests.len() - 1
    }

    /// Gives up what was written of a request and is not finished.
    pub(super) fn drop_draft(&mut self, request: usize) {
        self.drafts[request] = Written::default();
        self.drawn.retain(|&(drawn, _)| drawn != request);
    }

    /// Tokens of the request so far.
    pub(super) fn length(&self, request: usize) -> usize {
        self.drafts[request].ids.len()
    }

    /// The request's next token, where it is forced; `next` is a token that comes before it and is not taken yet.
    pub(super) fn forced(&self, request: usize, next: Option<u32>) -> Option<u32> {
        let Request { prompt_ids, stop, .. } = &self.requests[request];
        let written = &self.drafts[request].ids;
        match next {
            _ if !stop.forces() => None,
            None => stop.forced(prompt_ids, written),
            Some(next) => stop.forced(prompt_ids, &[written.as_slice(), &[next]].concat()),
        }
    }

    /// Logits of the request's next token after penalties and forbidden words, in `edited` where there are any; `next` is a
    /// token that comes before it and is not taken yet.
    pub(super) fn edited<'b>(
        &self,
        request: usize,
        next: Option<u32>,
        logits: &'b [f32],
        edited: &'b mut Vec<f32>,
    ) -> &'b [f32] {
        let Request { prompt_ids, sampling, stop, .. } = &self.requests[request];
        if !History::matters(sampling, stop) {
            return logits;
        }
        let mut history = History::new(sampling, stop, prompt_ids);
        self.drafts[request].ids.iter().copied().chain(next).for_each(|id| history.push(id));
        edited.clear();
        edited.extend_from_slice(logits);
        for edit in history.edits() {
            // A word may have ids that the model does not.
            if let Some(logit) = edited.get_mut(edit.id as usize) {
                *logit = edit.apply(*logit);
            }
        }
        edited
    }

    /// Whether the request would end with this token as its next.
    pub(super) fn would_end(&self, request: usize, token: u32) -> bool {
        let Request { sampling, stop, .. } = &self.requests[request];
        let written = &self.drafts[request].ids;
        let ends = if stop.has_test() {
            stop.ends(&[written.as_slice(), &[token]].concat())
        } else {
            stop.ends(&[token])
        };
        ends || written.len() + 1 >= sampling.max_new_tokens
    }

    /// Appends a token; where it is the last one, or there is none to be drawn, the completion is finished.
    pub(super) fn take(&mut self, request: usize, drawn: Option<SampledToken>) -> Ended {
        let Some(SampledToken { token, logprob, kept_mass, kept, is_forced }) = drawn else {
            self.finish(request, FinishReason::NotFinite);
            return Ended::Yes;
        };
        let written = &mut self.drafts[request];
        written.ids.push(token);
        written.logprobs.push(logprob);
        self.drawn.push((request, token));
        let Request { sampling, stop, .. } = &self.requests[request];
        written.trained.push(!is_forced);
        if sampling.cuts() {
            written.kept_mass.push(kept_mass);
            if self.records_kept {
                written.kept.push(&kept);
            }
        }
        let finish_reason = if stop.ends(&written.ids) {
            FinishReason::Stop
        } else if written.ids.len() >= sampling.max_new_tokens {
            FinishReason::Length
        } else {
            return Ended::No(token);
        };
        self.finish(request, finish_reason);
        Ended::Yes
    }

    /// Finishes the request with what it has.
    pub(super) fn finish(&mut self, request: usize, finish_reason: FinishReason) {
        let prompt_ids = self.requests[request].prompt_ids.clone();
        let Written { ids, logprobs, kept_mass, kept, trained, experts } =
            std::mem::take(&mut self.drafts[request]);
        let versions = vec![VersionSpan { version: self.version, tokens: 0..ids.len() }];
        let mut completion = Completion::new(prompt_ids, ids, logprobs, finish_reason);
        completion.routing = self.records_routing.then(|| Routing {
            experts,
            moe_layers: self.config.moe_layers(),
            experts_per_token: self.chosen(),
        });
        (completion.kept_mass, completion.kept, completion.versions) = (kept_mass, kept, versions);
        completion.trained = trained.contains(&false).then_some(trained);
        self.finished.push((request, completion));
    }

    /// Appends experts to what the request has of them.
    pub(super) fn record(&mut self, request: usize, experts: &[u16]) {
        self.drafts[request].experts.extend_from_slice(experts);
    }

    /// The experts that these rows chose, row by row and in each layer by layer; none where they are not recorded.
    pub(super) fn experts_at(&self, routing: &[LayerRouting], rows: Range<usize>) -> Vec<u16> {
        if !self.records_routing {
            return Vec::new();
        }
        let chosen = self.chosen();
        let of_row =
            |row: usize| routing.iter().flat_map(move |layer| &layer.experts[row * chosen..][..chosen]);
        rows.flat_map(of_row).copied().collect()
    }

    /// Hands over what was drawn and finished since the last time, tokens before completions, until the sink breaks off.
    pub(super) fn deliver(&mut self, sink: &mut dyn Sink) -> ControlFlow<()> {
        for (request, token) in self.drawn.drain(..) {
            sink.token(request, token)?;
        }
        for (request, completion) in self.finished.drain(..) {
            sink.finished(request, completion)?;
        }
        ControlFlow::Continue(())
    }

    fn chosen(&self) -> usize {
        self.config.moe.map_or(0, |moe| moe.num_experts_per_tok)
    }
}
