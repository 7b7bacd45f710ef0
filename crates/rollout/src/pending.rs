//! Completions in the making: their tokens, the log-probabilities of these, and the experts that were chosen on the way.

use crate::sampler::SampledToken;
use crate::{Options, Request};
use ruminate_data::{Completion, FinishReason, Routing};
use ruminate_model::{Config, LayerRouting};
use std::ops::ControlFlow;
use std::ops::Range;

/// What was written so far, by request.
pub(crate) struct Writing<'a> {
    requests: &'a [Request],
    options: &'a Options,
    config: &'a Config,
    drafts: Vec<Written>,
    /// Tokens that nobody has been told of yet, with their requests.
    drawn: Vec<(usize, u32)>,
    /// Completions that nobody has got yet, with their requests.
    finished: Vec<(usize, Completion)>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    ids: Vec<u32>,
    logprobs: Vec<f32>,
    experts: Vec<u16>,
}

/// Whether a sequence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    No,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(requests: &'a [Request], options: &'a Options, config: &'a Config) -> Self {
        let drafts = vec![Written::default(); requests.len()];
        Self { requests, options, config, drafts, drawn: Vec::new(), finished: Vec::new() }
    }

    /// Tokens of the request so far.
    pub(crate) fn length(&self, request: usize) -> usize {
        self.drafts[request].ids.len()
    }

    /// Appends a token; where it is the last one, the completion is finished.
    pub(crate) fn take(&mut self, request: usize, SampledToken { token, logprob }: SampledToken) -> Ended {
        let written = &mut self.drafts[request];
        written.ids.push(token);
        written.logprobs.push(logprob);
        self.drawn.push((request, token));
        let finish_reason = if self.options.eos_token_ids.contains(&token) {
            FinishReason::Stop
        } else if written.ids.len() >= self.options.sampling.max_new_tokens {
            FinishReason::Length
        } else {
            return Ended::No;
        };
        let Written { ids, logprobs, experts } = std::mem::take(written);
        let routing = self.records().then(|| Routing {
            experts,
            moe_layers: self.config.moe_layers(),
            experts_per_token: self.chosen(),
        });
        let prompt_ids = self.requests[request].prompt_ids.clone();
        self.finished.push((request, Completion { prompt_ids, ids, logprobs, finish_reason, routing }));
        Ended::Yes
    }

    /// Appends experts to what the request has of them.
    pub(crate) fn record(&mut self, request: usize, experts: &[u16]) {
        self.drafts[request].experts.extend_from_slice(experts);
    }

    /// The experts that these places chose, place by place and in each layer by layer; none where nobody asks.
    pub(crate) fn experts_at(&self, routing: &[LayerRouting], places: Range<usize>) -> Vec<u16> {
        if !self.records() {
            return Vec::new();
        }
        let chosen = self.chosen();
        let of_layer =
            |place: usize| routing.iter().flat_map(move |layer| &layer.experts[place * chosen..][..chosen]);
        places.flat_map(of_layer).copied().collect()
    }

    /// Hands over what was drawn and finished since the last time, tokens before completions, until somebody has had
    /// enough.
    pub(crate) fn deliver(
        &mut self,
        drawn: &mut impl FnMut(usize, u32) -> ControlFlow<()>,
        finished: &mut impl FnMut(usize, Completion) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut tokens = self.drawn.drain(..).map(|(request, token)| drawn(request, token));
        if tokens.any(|flow| flow == ControlFlow::Break(())) {
            return ControlFlow::Break(());
        }
        let mut completions =
            self.finished.drain(..).map(|(request, completion)| finished(request, completion));
        if completions.any(|flow| flow == ControlFlow::Break(())) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn records(&self) -> bool {
        self.options.record_routing && self.config.moe.is_some()
    }

    fn chosen(&self) -> usize {
        self.config.moe.map_or(0, |moe| moe.num_experts_per_tok)
    }
}
