//! The local engine: a decoder with its weights prepared, a cache, and the loop that keeps the slots busy.

// S slots, L cache columns, P prompt columns of a prefill, D hidden, V vocabulary

use crate::sampler::{Choice, Sampling, sample};
use crate::slots::{Active, Slots};
use burn::tensor::Tensor;
use rayon::prelude::*;
use ruminate_data::{Completion, FinishReason, Routing, Seed};
use ruminate_kernels::SoftmaxRow;
use ruminate_model::{Batch, Cache, DecodeStep, Decoder, LayerCache, LayerRouting, PreparedDecoder};
use std::collections::HashMap;
use std::collections::VecDeque;

/// One completion to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt; at least one token.
    pub prompt_ids: Vec<u32>,
    /// The completion's own randomness.
    pub seed: Seed,
}

/// How to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens that end a completion.
    pub eos_token_ids: Vec<u32>,
    /// Sequences decoded at once.
    pub max_num_seqs: usize,
    /// Whether completions carry the router's choices.
    pub record_routing: RecordRouting,
}

/// Whether completions carry the router's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRouting {
    /// They do: for replay, and to measure disagreement with the trainer.
    Yes,
    /// They don't.
    No,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after this step; unfinished requests give no completion.
    Stop,
}

/// Generates a completion for each request and hands it over as soon as it is finished.
///
/// `finished` gets the index of the request and its completion, in the order in which they finish, and decides
/// whether to go on. A prompt longer than the model's positions is the caller's to refuse.
pub fn generate(
    decoder: &Decoder,
    requests: &[Request],
    options: &Options,
    finished: impl FnMut(usize, Completion) -> Flow,
) {
    generate_streaming(decoder, requests, options, |_, _| Flow::Continue, finished);
}

/// As [`generate`], and each token goes to `drawn`, with the index of its request, as soon as it is drawn: also the one
/// that ends a completion, before `finished` gets that.
pub fn generate_streaming(
    decoder: &Decoder,
    requests: &[Request],
    options: &Options,
    mut drawn: impl FnMut(usize, u32) -> Flow,
    mut finished: impl FnMut(usize, Completion) -> Flow,
) {
    let longest = requests.iter().map(|request| request.prompt_ids.len()).max().unwrap_or(0);
    assert!(requests.iter().all(|request| !request.prompt_ids.is_empty()), "prompts have at least one token");
    // The ring holds a whole sequence; the last token is never fed back.
    let columns = longest + options.sampling.max_new_tokens;
    let count = options.max_num_seqs.clamp(1, requests.len().max(1));
    let mut engine = Engine {
        decoder: PreparedDecoder::new(decoder, options.sampling.dtype.into()),
        requests,
        options,
        cache: Cache::new(decoder.config(), count, columns, &decoder.device()),
        slots: Slots::new(count, columns),
        drafts: vec![Draft::default(); requests.len()],
        drawn: Vec::with_capacity(count),
    };
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    let mut deliver = |tokens: &mut Vec<(usize, u32)>, done: Vec<(usize, Completion)>| {
        tokens.drain(..).any(|(request, token)| drawn(request, token) == Flow::Stop)
            || done.into_iter().any(|(request, completion)| finished(request, completion) == Flow::Stop)
    };
    loop {
        let free = engine.slots.admissible(waiting.len());
        if !free.is_empty() {
            let admitted: Vec<usize> = waiting.drain(..free.len()).collect();
            let done = engine.admit(&free, &admitted);
            if deliver(&mut engine.drawn, done) {
                return;
            }
            continue;
        }
        if engine.slots.is_empty() {
            return;
        }
        engine.shrink(waiting.len());
        let done = engine.step();
        if deliver(&mut engine.drawn, done) {
            return;
        }
    }
}

struct Engine<'a> {
    decoder: PreparedDecoder,
    requests: &'a [Request],
    options: &'a Options,
    cache: Cache,
    slots: Slots,
    drafts: Vec<Draft>,
    /// Tokens that nobody has been told of yet, with their requests.
    drawn: Vec<(usize, u32)>,
}

/// A completion in the making.
#[derive(Clone, Debug, Default)]
struct Draft {
    ids: Vec<u32>,
    logprobs: Vec<f32>,
    experts: Vec<u16>,
}

impl Engine<'_> {
    /// Prefills the prompts of `admitted` into the free slots and draws each first token.
    fn admit(&mut self, free: &[usize], admitted: &[usize]) -> Vec<(usize, Completion)> {
        // A prompt that several requests share is computed once.
        let mut row_of_prompt: HashMap<&[u32], usize> = HashMap::new();
        let mut prompts: Vec<&[u32]> = Vec::new();
        let rows: Vec<usize> = admitted
            .iter()
            .map(|&request| {
                let prompt = self.requests[request].prompt_ids.as_slice();
                *row_of_prompt.entry(prompt).or_insert_with(|| {
                    prompts.push(prompt);
                    prompts.len() - 1
                })
            })
            .collect();
        let batch = Batch::from_rows_right_aligned(&prompts);
        let [count, length] = batch.shape;
        let (output, kept) = self.decoder.prefill(&batch);
        let kept: Vec<LayerCache> = kept.into_iter().map(|layer| layer.select(&rows)).collect();
        self.cache.insert(&free[..admitted.len()], self.slots.column(), &kept);

        let [_, width] = output.hidden.dims();
        let last = output.hidden.reshape([count, length, width]).narrow(1, length - 1, 1);
        let draws: Vec<(usize, usize)> = admitted.iter().copied().zip(rows.iter().copied()).collect();
        let choices = self.choose(last.reshape([count, width]), &draws);
        let mut done = Vec::new();
        for ((&slot, (request, row)), choice) in free.iter().zip(draws).zip(choices) {
            let prompt = prompts[row].len();
            for position in 0..prompt {
                self.record(request, &output.routing, row * length + length - prompt + position);
            }
            done.extend(self.take(slot, request, prompt as u32, choice));
        }
        done
    }

    /// Feeds every slot's token and draws the next ones.
    fn step(&mut self) -> Vec<(usize, Completion)> {
        let (tokens, positions) = self.slots.inputs();
        let step = DecodeStep { tokens: &tokens, positions: &positions, column: self.slots.column() };
        let output = self.decoder.decode(step, &mut self.cache);
        self.slots.advance();
        let seated: Vec<(usize, Active)> =
            self.slots.iter_mut().filter_map(|(slot, active)| Some((slot, active.take()?))).collect();
        let draws: Vec<(usize, usize)> =
            seated.iter().map(|(slot, active)| (active.request, *slot)).collect();
        let choices = self.choose(output.hidden, &draws);
        let mut done = Vec::new();
        for ((slot, active), choice) in seated.into_iter().zip(choices) {
            self.record(active.request, &output.routing, slot);
            done.extend(self.take(slot, active.request, active.position + 1, choice));
        }
        done
    }

    /// Draws the next token of each (request, row of `hidden`), in parallel: a draw depends on nothing but its row and
    /// its request's seed.
    fn choose(&self, hidden: Tensor<2>, draws: &[(usize, usize)]) -> Vec<Choice> {
        let [rows, _] = hidden.dims();
        let logits = self.decoder.logits(hidden).try_into_vec_as::<f32>().expect("logits are floats");
        let vocabulary = logits.len() / rows;
        let draw = |scratch: &mut SoftmaxRow, &(request, row): &(usize, usize)| {
            let logits = &logits[row * vocabulary..(row + 1) * vocabulary];
            let drawn = self.drafts[request].ids.len() as u64;
            sample(logits, &self.options.sampling, self.requests[request].seed, drawn, scratch)
        };
        draws.par_iter().map_init(SoftmaxRow::default, draw).collect()
    }

    /// Takes the token at `position` up and either seats it for the next step or finishes the completion.
    fn take(
        &mut self,
        slot: usize,
        request: usize,
        position: u32,
        Choice { token, logprob }: Choice,
    ) -> Option<(usize, Completion)> {
        let draft = &mut self.drafts[request];
        draft.ids.push(token);
        draft.logprobs.push(logprob);
        self.drawn.push((request, token));
        let finish_reason = if self.options.eos_token_ids.contains(&token) {
            FinishReason::Stop
        } else if draft.ids.len() >= self.options.sampling.max_new_tokens || logprob.is_nan() {
            FinishReason::Length
        } else {
            self.slots.seat(slot, Active { request, token, position });
            return None;
        };
        let Draft { ids, logprobs, experts } = std::mem::take(draft);
        let routing = self.routing(experts);
        let prompt_ids = self.requests[request].prompt_ids.clone();
        Some((request, Completion { prompt_ids, ids, logprobs, finish_reason, routing }))
    }

    fn shrink(&mut self, waiting: usize) {
        if let Some(kept) = self.slots.shrunk(waiting) {
            self.slots.select(&kept);
            let empty = Cache::new(self.decoder.config(), 0, 0, &self.decoder.device());
            self.cache = std::mem::replace(&mut self.cache, empty).select(&kept);
        }
    }

    /// Appends the experts that place `place` chose in every layer.
    fn record(&mut self, request: usize, routing: &[LayerRouting], place: usize) {
        if self.options.record_routing == RecordRouting::Yes {
            let chosen = self.experts_per_token();
            let draft = &mut self.drafts[request];
            for layer in routing {
                draft.experts.extend_from_slice(&layer.experts[place * chosen..(place + 1) * chosen]);
            }
        }
    }

    fn routing(&self, experts: Vec<u16>) -> Option<Routing> {
        let config = self.decoder.config();
        (self.options.record_routing == RecordRouting::Yes && config.moe.is_some()).then(|| Routing {
            experts,
            moe_layers: config.moe_layers(),
            experts_per_token: self.experts_per_token(),
        })
    }

    fn experts_per_token(&self) -> usize {
        self.decoder.config().moe.map_or(0, |moe| moe.num_experts_per_tok)
    }
}
