//! The local engine: a decoder with its weights prepared, a cache, and the loop that keeps the slots busy. How requests
//! enter is `prefill.rs`, how two tokens a step are drawn `speculation.rs`.

// S slots, D hidden, V vocabulary

use crate::pending::{Ended, Writing};
use crate::prefill::PartialPrefill;
use crate::sampler::{SampledToken, sample};
use crate::slots::{Active, Slots};
use crate::speculation::{Speculation, SpeculationStats};
use crate::{Budget, Error, Sampling, Speculative};
use burn::tensor::Tensor;
use rayon::prelude::*;
use ruminate_data::{Completion, Seed};
use ruminate_kernels::SoftmaxRow;
use ruminate_model::{Cache, DecodeStep, Decoder, PreparedDecoder};
use std::collections::VecDeque;
use std::ops::ControlFlow;

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
    /// Sequences decoded at once, at most.
    pub max_num_seqs: usize,
    /// Whether completions carry the router's choices: for replay, and to measure disagreement with the trainer.
    pub record_routing: bool,
}

/// Generates a completion for each request and hands it over as soon as it is finished.
///
/// `finished` gets the index of the request and its completion, in the order in which they finish, and decides
/// whether to go on; after a break, requests that are not finished give no completion. A prompt longer than the model's positions is the caller's to refuse. What is returned counts the
/// guesses, where tokens are guessed ahead.
///
/// # Errors
/// [`Error::CacheMemory`] and [`Error::NoModule`], before anything is computed; [`Error::NotFinite`] where the model gives
/// no distribution to draw from.
pub fn generate(
    decoder: &Decoder,
    requests: &[Request],
    options: &Options,
    finished: impl FnMut(usize, Completion) -> ControlFlow<()>,
) -> Result<SpeculationStats, Error> {
    generate_streaming(decoder, requests, options, |_, _| ControlFlow::Continue(()), finished)
}

/// As [`generate`], and each token goes to `drawn`, with the index of its request, as soon as it is drawn: also the one
/// that ends a completion, before `finished` gets that.
///
/// # Errors
/// As [`generate`].
pub fn generate_streaming(
    decoder: &Decoder,
    requests: &[Request],
    options: &Options,
    mut drawn: impl FnMut(usize, u32) -> ControlFlow<()>,
    mut finished: impl FnMut(usize, Completion) -> ControlFlow<()>,
) -> Result<SpeculationStats, Error> {
    let longest = requests.iter().map(|request| request.prompt_ids.len()).max().unwrap_or(0);
    assert!(requests.iter().all(|request| !request.prompt_ids.is_empty()), "prompts have at least one token");
    let sequences = options.max_num_seqs.min(requests.len());
    let Budget { slots, columns, .. } = Budget::new(decoder.config(), &options.sampling, sequences, longest)?;
    let precision = options.sampling.dtype.into();
    let prepared = match options.sampling.speculative {
        Speculative::None => PreparedDecoder::new(decoder, precision),
        Speculative::Mtp => PreparedDecoder::drafting(decoder, precision).ok_or(Error::NoModule)?,
    };
    let speculation = (options.sampling.speculative == Speculative::Mtp)
        .then(|| Speculation::new(slots, decoder.config().hidden_size, &decoder.device()));
    let mut engine = Engine {
        requests,
        options,
        cache: prepared.cache(slots, columns),
        decoder: prepared,
        slots: Slots::new(slots, columns),
        writing: Writing::new(requests, options, decoder.config()),
        begun: None,
        speculation,
    };
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    let mut deliver = |engine: &mut Engine| engine.writing.deliver(&mut drawn, &mut finished);
    while !(waiting.is_empty() && engine.slots.is_empty()) {
        let free = engine.slots.admissible(waiting.len());
        if !free.is_empty() {
            engine.admit(&free, &mut waiting)?;
            if deliver(&mut engine) == ControlFlow::Break(()) {
                break;
            }
        }
        if !engine.slots.is_empty() {
            engine.shrink(waiting.len());
            match engine.speculation.take() {
                None => engine.step()?,
                Some(speculation) => engine.speculation = Some(engine.step_guessing(speculation)?),
            }
            if deliver(&mut engine) == ControlFlow::Break(()) {
                break;
            }
        }
    }
    Ok(engine.speculation.map(|speculation| speculation.tally).unwrap_or_default())
}

pub(crate) struct Engine<'a> {
    pub(crate) requests: &'a [Request],
    pub(crate) options: &'a Options,
    pub(crate) decoder: PreparedDecoder,
    pub(crate) cache: Cache,
    pub(crate) slots: Slots,
    pub(crate) writing: Writing<'a>,
    pub(crate) begun: Option<PartialPrefill>,
    /// Present where tokens are guessed ahead.
    pub(crate) speculation: Option<Speculation>,
}

impl Engine<'_> {
    /// Feeds every slot's token and draws the next ones.
    fn step(&mut self) -> Result<(), Error> {
        let (tokens, positions) = self.slots.inputs();
        let step = DecodeStep { tokens: &tokens, positions: &positions, columns: self.slots.columns() };
        let output = self.decoder.decode(step, &mut self.cache);
        let seated = self.slots.take_active();
        let draws: Vec<(usize, usize)> =
            seated.iter().map(|(slot, active)| (active.request, *slot)).collect();
        let choices = self.choose(output.hidden, &draws)?;
        for ((slot, Active { request, position, .. }), choice) in seated.into_iter().zip(choices) {
            let experts = self.writing.experts_at(&output.routing, slot..slot + 1);
            self.writing.record(request, &experts);
            if self.writing.take(request, choice) == Ended::No {
                self.slots.assign(slot, Active { request, token: choice.token, position: position + 1 });
            }
        }
        Ok(())
    }

    /// Draws the next token of each (request, row of `hidden`), in parallel: a draw depends on nothing but its row and
    /// its request's seed.
    pub(crate) fn choose(
        &self,
        hidden: Tensor<2>,
        draws: &[(usize, usize)],
    ) -> Result<Vec<SampledToken>, Error> {
        let logits = self.logits(hidden);
        let draw = |scratch: &mut SoftmaxRow, &(request, row): &(usize, usize)| {
            let token = self.writing.length(request);
            let seed = self.requests[request].seed;
            sample(logits.row(row), &self.options.sampling, seed, token as u64, scratch)
                .ok_or(Error::NotFinite { request, token })
        };
        let choices: Vec<Result<SampledToken, Error>> =
            draws.par_iter().map_init(SoftmaxRow::default, draw).collect();
        choices.into_iter().collect() // in order, so that the first error is the same on any number of threads
    }

    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Logits {
        let logits = self.decoder.logits(hidden);
        let [_, vocabulary] = logits.dims();
        Logits { values: logits.try_into_vec_as::<f32>().expect("logits are floats"), vocabulary }
    }

    fn shrink(&mut self, waiting: usize) {
        if let Some(kept) = self.slots.shrunk(waiting) {
            self.slots.select(&kept);
            if let Some(speculation) = &mut self.speculation {
                speculation.select(&kept);
            }
            let empty = self.decoder.cache(0, 0);
            self.cache = std::mem::replace(&mut self.cache, empty).select(&kept);
        }
    }
}

/// `[N, V]` on the host.
pub(crate) struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocabulary..][..self.vocabulary]
    }
}
