//! How waiting requests enter: their prompts are computed, each distinct one once, as many at a time as
//! `max_num_batched_tokens` allows, and a longer one in pieces.

// B distinct prompts, T tokens of the longest, D hidden

use super::pending::Ended;
use super::session::Session;
use super::slots::Active;
use burn::tensor::Tensor;
use ruminate_model::{Batch, LayerCache};
use std::collections::HashMap;

/// The prompt of the request that waits longest, computed in part.
#[derive(Default)]
pub(super) struct PartialPrefill {
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

impl Session<'_> {
    /// Computes prompts of those that wait longest, one piece. Those whose prompt is then complete wait no more, draw their
    /// first token and take the free slots.
    pub(super) fn admit(&mut self, free: &[usize]) {
        let Chosen { prompts, rows } = self.choose_prompts(free.len());
        let computed = if self.is_long(&prompts[0]) {
            match self.piece(&prompts[0]) {
                Some(computed) => computed,
                None => return,
            }
        } else {
            self.whole(&prompts)
        };
        let admitted: Vec<usize> = self.waiting.drain(..rows.len()).collect();
        let free = &free[..admitted.len()];
        let column = self.slots.align(free);
        self.cache.insert(free, column, &computed.kept, &rows);

        if let Some(speculation) = &mut self.speculation {
            speculation.admit(free, &computed.last, &rows);
        }
        let draws: Vec<(usize, usize)> = admitted.into_iter().zip(rows).collect();
        let drawn = self.draw(computed.last, &draws);
        for ((&slot, (request, row)), drawn) in free.iter().zip(draws).zip(drawn) {
            self.pending.record(request, &computed.experts[row]);
            if let Ended::No(token) = self.pending.take(request, drawn) {
                let position = prompts[row].len() as u32;
                self.slots.assign(slot, Active { request, token, position });
            }
        }
    }

    /// As many of those that wait longest as there are free slots and as one batch of their distinct prompts may have
    /// tokens; at least one.
    fn choose_prompts(&self, free: usize) -> Chosen {
        let mut row_of_prompt: HashMap<&[u32], usize> = HashMap::new();
        let mut chosen = Chosen { prompts: Vec::new(), rows: Vec::new() };
        let mut longest = 0;
        for &request in self.waiting.iter().take(free) {
            let prompt = self.pending.request(request).prompt_ids.as_slice();
            let row = row_of_prompt.get(prompt).copied();
            if row.is_none() {
                longest = longest.max(prompt.len());
                let places = (chosen.prompts.len() + 1) * longest;
                if !chosen.prompts.is_empty() && places > self.config.max_num_batched_tokens {
                    break;
                }
                row_of_prompt.insert(prompt, chosen.prompts.len());
                chosen.prompts.push(prompt.to_vec());
            }
            chosen.rows.push(row.unwrap_or(chosen.prompts.len() - 1));
        }
        chosen
    }

    fn is_long(&self, prompt: &[u32]) -> bool {
        prompt.len() > self.config.max_num_batched_tokens
    }

    fn whole(&self, prompts: &[Vec<u32>]) -> Computed {
        let rows: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let batch = Batch::from_rows_right_aligned(&rows);
        let [count, length] = batch.shape;
        let (output, kept) = self.decoder.prefill(&batch);
        let [_, width] = output.hidden.dims();
        let last = output.hidden.reshape([count, length, width]).narrow(1, length - 1, 1);
        let experts = |(row, prompt): (usize, &Vec<u32>)| {
            let end = (row + 1) * length;
            self.pending.experts_at(&output.routing, end - prompt.len()..end)
        };
        let experts = prompts.iter().enumerate().map(experts).collect();
        Computed { kept, last: last.reshape([count, width]), experts }
    }

    /// The next piece of a long prompt; the whole of it with the last piece.
    fn piece(&mut self, prompt: &[u32]) -> Option<Computed> {
        let mut begun = self.begun.take().unwrap_or_default();
        let end = (begun.tokens + self.config.max_num_batched_tokens).min(prompt.len());
        let count = end - begun.tokens;
        let output = self.decoder.prefill_piece(prompt, count, &mut begun.kept);
        begun.experts.extend(self.pending.experts_at(&output.routing, 0..count));
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
struct Chosen {
    prompts: Vec<Vec<u32>>,
    rows: Vec<usize>,
}
