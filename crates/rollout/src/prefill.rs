//! How waiting requests enter: their prompts are computed, each distinct one once, as many at a time as
//! `max_num_batched_tokens` allows, and a longer one in pieces.

// B distinct prompts, T tokens of the longest, D hidden

use crate::Error;
use crate::engine::Engine;
use crate::pending::Ended;
use crate::slots::Active;
use burn::tensor::Tensor;
use ruminate_model::{Batch, LayerCache};
use std::collections::{HashMap, VecDeque};

/// The prompt of the request that waits longest, computed in part.
#[derive(Default)]
pub(crate) struct PartialPrefill {
    kept: Vec<LayerCache>,
    tokens: usize,
    experts: Vec<u16>,
}

/// Prompts that are computed.
struct Computed {
    /// `[B, T, ...]` a layer, right-aligned.
    kept: Vec<LayerCache>,
    /// `[B, D]`, the state at the last token.
    last: Tensor<2>,
    /// By prompt.
    experts: Vec<Vec<u16>>,
}

impl<'a> Engine<'a> {
    /// Computes prompts of those who wait longest, one piece. Those whose prompt is then complete leave `waiting`, draw their first
    /// token and sit down in the free slots.
    pub(crate) fn admit(&mut self, free: &[usize], waiting: &mut VecDeque<usize>) -> Result<(), Error> {
        let Chosen { prompts, rows } = self.choose_prompts(free.len(), waiting);
        let computed = if self.is_long(prompts[0]) {
            match self.piece(prompts[0]) {
                Some(computed) => computed,
                None => return Ok(()),
            }
        } else {
            self.whole(&prompts)
        };
        let admitted: Vec<usize> = waiting.drain(..rows.len()).collect();
        let free = &free[..admitted.len()];
        let column = self.slots.align(free);
        self.cache.insert(free, column, &computed.kept, &rows);

        if let Some(speculation) = &mut self.speculation {
            speculation.admit(free, &computed.last, &rows);
        }
        let draws: Vec<(usize, usize)> = admitted.into_iter().zip(rows).collect();
        let choices = self.choose(computed.last, &draws)?;
        for ((&slot, (request, row)), choice) in free.iter().zip(draws).zip(choices) {
            self.writing.record(request, &computed.experts[row]);
            if self.writing.take(request, choice) == Ended::No {
                let position = prompts[row].len() as u32;
                self.slots.assign(slot, Active { request, token: choice.token, position });
            }
        }
        Ok(())
    }

    /// As many of those who wait longest as there are free slots and as one batch of their distinct prompts may have
    /// tokens; at least one.
    fn choose_prompts(&self, free: usize, waiting: &VecDeque<usize>) -> Chosen<'a> {
        let requests = self.requests;
        let mut row_of_prompt: HashMap<&[u32], usize> = HashMap::new();
        let mut chosen = Chosen { prompts: Vec::new(), rows: Vec::new() };
        let mut longest = 0;
        for &request in waiting.iter().take(free) {
            let prompt = requests[request].prompt_ids.as_slice();
            let row = row_of_prompt.get(prompt).copied();
            if row.is_none() {
                longest = longest.max(prompt.len());
                let places = (chosen.prompts.len() + 1) * longest;
                if !chosen.prompts.is_empty() && places > self.options.sampling.max_num_batched_tokens {
                    break;
                }
                row_of_prompt.insert(prompt, chosen.prompts.len());
                chosen.prompts.push(prompt);
            }
            chosen.rows.push(row.unwrap_or(chosen.prompts.len() - 1));
        }
        chosen
    }

    fn is_long(&self, prompt: &[u32]) -> bool {
        prompt.len() > self.options.sampling.max_num_batched_tokens
    }

    fn whole(&self, prompts: &[&[u32]]) -> Computed {
        let batch = Batch::from_rows_right_aligned(prompts);
        let [count, length] = batch.shape;
        let (output, kept) = self.decoder.prefill(&batch);
        let [_, width] = output.hidden.dims();
        let last = output.hidden.reshape([count, length, width]).narrow(1, length - 1, 1);
        let experts = |(row, prompt): (usize, &&[u32])| {
            let end = (row + 1) * length;
            self.writing.experts_at(&output.routing, end - prompt.len()..end)
        };
        let experts = prompts.iter().enumerate().map(experts).collect();
        Computed { kept, last: last.reshape([count, width]), experts }
    }

    /// The next piece of a long prompt; the whole of it with the last piece.
    fn piece(&mut self, prompt: &[u32]) -> Option<Computed> {
        let mut begun = self.begun.take().unwrap_or_default();
        let end = (begun.tokens + self.options.sampling.max_num_batched_tokens).min(prompt.len());
        let count = end - begun.tokens;
        let output = self.decoder.prefill_piece(prompt, count, &mut begun.kept);
        begun.experts.extend(self.writing.experts_at(&output.routing, 0..count));
        begun.tokens = end;
        if end < prompt.len() {
            self.begun = Some(begun);
            return None;
        }
        let last = output.hidden.narrow(0, count - 1, 1);
        Some(Computed { kept: begun.kept, last, experts: vec![begun.experts] })
    }
}

/// Distinct prompts, and for each of the requests that come next the row of its prompt.
struct Chosen<'a> {
    prompts: Vec<&'a [u32]>,
    rows: Vec<usize>,
}
