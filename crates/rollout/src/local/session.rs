//! One call of the engine: a cache, and the loop that keeps its slots busy.

// S slots, D hidden, V vocabulary

use super::budget::Budget;
use super::pending::{Ended, Pending};
use super::prefill::PartialPrefill;
use super::sampler::{SampledToken, Scratch, sample};
use super::slots::{Active, Slots};
use super::speculation::{Speculation, SpeculationStats};
use crate::{EngineConfig, Error, Speculative};
use burn::tensor::Tensor;
use rayon::prelude::*;
use ruminate_data::{FinishReason, Queue, Request, Sink};
use ruminate_kernels::read::{Place, floats};
use ruminate_model::{Cache, DecodeStep, PreparedDecoder};
use std::collections::VecDeque;

pub(super) struct Session<'a> {
    pub(super) config: &'a EngineConfig,
    pub(super) decoder: &'a PreparedDecoder,
    pub(super) cache: Cache,
    pub(super) slots: Slots,
    pub(super) pending: Pending<'a>,
    /// Requests without a slot, the one that has waited longest first.
    pub(super) waiting: VecDeque<usize>,
    pub(super) begun: Option<PartialPrefill>,
    /// Present where tokens are guessed ahead.
    pub(super) speculation: Option<Speculation>,
    budget: Budget,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        decoder: &'a PreparedDecoder,
        version: u64,
        config: &'a EngineConfig,
        requests: Vec<Request>,
    ) -> Result<Self, Error> {
        assert!(
            requests.iter().all(|request| !request.prompt_ids.is_empty()),
            "prompts have at least one token"
        );
        let waiting: VecDeque<usize> = (0..requests.len()).collect();
        let columns = requests.iter().map(columns_of).max().unwrap_or(0);
        let budget = Budget::new(decoder.config(), config, waiting.len(), columns)?;
        let speculation = (config.speculative == Speculative::Mtp)
            .then(|| Speculation::new(budget.slots, decoder.config().hidden_size, &decoder.device()));
        Ok(Self {
            config,
            decoder,
            cache: decoder.cache(budget.slots, budget.columns),
            slots: Slots::new(budget.slots, budget.columns),
            pending: Pending::new(requests, decoder.config(), config, version),
            waiting,
            begun: None,
            speculation,
            budget,
        })
    }

    pub(super) fn run(mut self, sink: &mut dyn Sink) -> Result<SpeculationStats, Error> {
        loop {
            self.change(sink)?;
            // Those that were refused.
            if self.pending.deliver(sink).is_break() {
                break;
            }
            if self.waiting.is_empty() && self.slots.is_empty() {
                break;
            }
            let free = self.slots.admissible(self.fitting());
            if !free.is_empty() {
                self.admit(&free);
                if self.pending.deliver(sink).is_break() {
                    break;
                }
            }
            if !self.slots.is_empty() {
                self.shrink();
                match self.speculation.take() {
                    None => self.step(),
                    Some(speculation) => self.speculation = Some(self.step_guessing(speculation)),
                }
                if self.pending.deliver(sink).is_break() {
                    break;
                }
            }
        }
        Ok(self.speculation.map(|speculation| speculation.stats).unwrap_or_default())
    }

    /// Asks which requests join and which are given up, and makes room for what the cache does not hold.
    fn change(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let mut queue = Queue::after(self.pending.count());
        sink.change(&mut queue);
        let (joined, cancelled) = queue.take();
        let waited = self.waiting.len();
        for request in joined {
            assert!(!request.prompt_ids.is_empty(), "prompts have at least one token");
            let fits = Budget::new(self.decoder.config(), self.config, 1, columns_of(&request));
            let request = self.pending.add(request);
            match fits {
                Ok(_) => self.waiting.push_back(request),
                Err(_) => self.pending.finish(request, FinishReason::CacheMemory),
            }
        }
        let has_joined = self.waiting.len() > waited;
        for request in cancelled {
            self.cancel(request);
        }
        if has_joined || (self.slots.is_empty() && self.fitting() < self.waiting.len()) {
            self.grow()?;
        }
        Ok(())
    }

    /// Takes a request out of where it is: a slot, or the queue. One that is finished is in neither.
    fn cancel(&mut self, request: usize) {
        if self.slots.leave(request) {
            self.pending.drop_draft(request);
        }
        if self.waiting.front() == Some(&request) {
            self.begun = None;
        }
        self.waiting.retain(|&waiting| waiting != request);
    }

    /// How many of those that wait longest the cache's columns hold.
    fn fitting(&self) -> usize {
        let fits = |request: &&usize| columns_of(self.pending.request(**request)) <= self.budget.columns;
        self.waiting.iter().take_while(fits).count()
    }

    /// More slots for those that joined, up to what is allowed, and a longer cache once no sequence is in the old one.
    fn grow(&mut self) -> Result<(), Error> {
        let active = self.slots.active();
        let sequences = active + self.waiting.len();
        let of_columns = |columns| Budget::new(self.decoder.config(), self.config, sequences, columns);
        if active == 0 {
            let longest = self.waiting.iter().map(|&request| columns_of(self.pending.request(request))).max();
            let wanted = of_columns(longest.unwrap_or(0).max(self.budget.columns))?;
            self.begun = None;
            self.budget = wanted;
            self.cache = self.decoder.cache(wanted.slots, wanted.columns);
            self.slots = Slots::new(wanted.slots, wanted.columns);
            if let Some(speculation) = &mut self.speculation {
                speculation.reset(wanted.slots, self.decoder.config().hidden_size, &self.decoder.device());
            }
            return Ok(());
        }
        let wanted = of_columns(self.budget.columns)?;
        let count = self.slots.count();
        if wanted.slots > count {
            // A new slot is a copy of one that is there: what a free slot holds counts for nothing.
            let kept: Vec<usize> = (0..count).chain(std::iter::repeat_n(0, wanted.slots - count)).collect();
            self.select(&kept);
        }
        Ok(())
    }

    /// Feeds every slot's token and draws the next ones.
    fn step(&mut self) {
        let (tokens, positions) = self.slots.inputs();
        let step = DecodeStep { tokens: &tokens, positions: &positions, columns: self.slots.columns() };
        let output = self.decoder.decode(step, &mut self.cache);
        let active = self.slots.take_active();
        let draws: Vec<(usize, usize)> =
            active.iter().map(|(slot, active)| (active.request, *slot)).collect();
        let drawn = self.draw(output.hidden, &draws);
        for ((slot, Active { request, position, .. }), drawn) in active.into_iter().zip(drawn) {
            let experts = self.pending.experts_at(&output.routing, slot..slot + 1);
            self.pending.record(request, &experts);
            if let Ended::No(token) = self.pending.take(request, drawn) {
                self.slots.assign(slot, Active { request, token, position: position + 1 });
            }
        }
    }

    /// Draws the next token of each (request, row of `hidden`), in parallel: a draw depends on nothing but its row and
    /// its request's parameters and seed. None where the row is no distribution.
    pub(super) fn draw(&self, hidden: Tensor<2>, draws: &[(usize, usize)]) -> Vec<Option<SampledToken>> {
        let logits = self.logits(hidden);
        let draw = |scratch: &mut Scratch, &(request, row): &(usize, usize)| {
            if let Some(token) = self.pending.forced(request, None) {
                return Some(SampledToken::forced(token));
            }
            let token = self.pending.length(request) as u64;
            let Request { sampling, seed, .. } = self.pending.request(request);
            let logits = self.pending.edited(request, None, logits.row(row), &mut scratch.logits);
            sample(logits, sampling, *seed, token, &mut scratch.row)
        };
        draws.par_iter().map_init(Scratch::default, draw).collect()
    }

    pub(super) fn logits(&self, hidden: Tensor<2>) -> Logits {
        let logits = self.decoder.logits(hidden);
        let [_, vocabulary] = logits.dims();
        Logits { values: floats(logits, Place::Logits), vocabulary }
    }

    /// Gives up free slots once no request waits.
    fn shrink(&mut self) {
        if let Some(kept) = self.slots.shrunk(self.waiting.len()) {
            self.select(&kept);
        }
    }

    fn select(&mut self, kept: &[usize]) {
        self.slots.select(kept);
        if let Some(speculation) = &mut self.speculation {
            speculation.select(kept);
        }
        let empty = self.decoder.cache(0, 0);
        self.cache = std::mem::replace(&mut self.cache, empty).select(kept);
    }
}

/// Columns of the cache that a request takes: the last token is never fed back, but a guess of what comes after it may be.
fn columns_of(request: &Request) -> usize {
    request.prompt_ids.len() + request.sampling.max_new_tokens
}

/// `[N, V]` on the host.
pub(super) struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocabulary..][..self.vocabulary]
    }
}
