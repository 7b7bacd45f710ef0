//! Log-probabilities of candidates on the CPU, from blocks of logits.

use super::{Blocks, Sums};
use crate::backend::cpu::{Floats, exp, rows_at_once, tensor, vectorized};
use crate::backend::{Differentiable, Operation};
use crate::candidates::CandidateLogprobs;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 2> for CandidateLogprobs {
    fn forward(&self, [hidden, head]: [FlexTensor; 2]) -> [FlexTensor; 2] {
        forward(&Blocks::new(&hidden, &head, self.plan), &self.candidates).into()
    }
}

impl Differentiable<Flex, 2, 2> for CandidateLogprobs {
    /// Hidden states, head, log-sums.
    type Kept = [FlexTensor; 3];

    fn forward_tracked(&self, inputs: [FlexTensor; 2], _: [bool; 2]) -> ([FlexTensor; 2], Self::Kept) {
        let [logprobs, besides] = Operation::<Flex, _, _>::forward(self, inputs.clone());
        let [hidden, head] = inputs;
        ([logprobs, besides.clone()], [hidden, head, besides])
    }

    fn backward(
        &self,
        [hidden, head, besides]: Self::Kept,
        upstream: FlexTensor,
        [_, learns]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let blocks = Blocks::new(&hidden, &head, self.plan);
        backward(&blocks, &self.candidates, &besides, &upstream, learns)
    }
}

/// `[N, K + 1]`, and the log-sums of `e^logit` that the backward needs: over all of a row, and over its others, `[N,
/// 2]`.
fn forward(blocks: &Blocks, candidates: &[u32]) -> (FlexTensor, FlexTensor) {
    let (tokens, chosen) = (blocks.tokens, candidates.len() / blocks.tokens);
    let columns = chosen + 1;
    let mut logprobs = vec![0.0; tokens * columns];
    let mut others = vec![Sums::NONE; tokens];
    blocks.for_each(|block, logits| {
        let (start, end, width) = (block.tokens.start, block.tokens.end, block.ids.len());
        let rows =
            logits.par_chunks_mut(width).zip(candidates[start * chosen..end * chosen].par_chunks(chosen));
        let rows = rows
            .zip(logprobs[start * columns..end * columns].par_chunks_mut(columns))
            .zip(&mut others[start..end]);
        rows.with_min_len(rows_at_once(width)).for_each(|(((logits, ids), row), others)| {
            for (column, &id) in row.iter_mut().zip(ids) {
                if let Some(place) = block.place(id) {
                    *column = std::mem::replace(&mut logits[place], f32::NEG_INFINITY);
                }
            }
            others.add(logits);
        });
    });
    let mut log_sums = vec![0.0; tokens * 2];
    let rows = logprobs.chunks_exact_mut(columns).zip(&others).zip(log_sums.as_chunks_mut::<2>().0);
    for ((row, others), log_sums) in rows {
        row[chosen] = others.log();
        let of_all = Sums::of(row).log();
        for column in row.iter_mut() {
            *column -= of_all;
        }
        *log_sums = [of_all, others.log()];
    }
    (tensor(logprobs, [tokens, columns]), tensor(log_sums, [tokens, 2]))
}

/// The gradients of `hidden` and `head`. With u the upstream of a row and U its sum, p the softmax, o what is chosen of
/// the others among themselves (softmax without the candidates), r their share:
/// `d logit[v] = (u[k] - U p[v]) / temperature` of a candidate, `o[v] (u[K] - U r) / temperature` of another.
fn backward(
    blocks: &Blocks,
    candidates: &[u32],
    log_sums: &FlexTensor,
    upstream: &FlexTensor,
    learns: bool,
) -> [Option<FlexTensor>; 2] {
    let (log_sums, upstream) = (Floats::of(log_sums), Floats::of(upstream));
    let log_sums = log_sums.slice().as_chunks::<2>().0;
    let chosen = candidates.len() / blocks.tokens;
    let columns = chosen + 1;
    let inverse_temperature = (1.0 / blocks.plan.temperature) as f32;
    blocks.backward(learns, |block, logits| {
        let (start, end, width) = (block.tokens.start, block.tokens.end, block.ids.len());
        let rows =
            logits.par_chunks_mut(width).zip(candidates[start * chosen..end * chosen].par_chunks(chosen));
        let rows = rows
            .zip(upstream.slice()[start * columns..end * columns].par_chunks(columns))
            .zip(&log_sums[start..end]);
        rows.with_min_len(rows_at_once(width)).for_each(|(((logits, ids), upstream), log_sums)| {
            let [of_all, of_others] = *log_sums;
            let has_others = of_others != f32::NEG_INFINITY;
            let of_the_last = if has_others { upstream[chosen] } else { 0.0 };
            let sum = upstream[..chosen].iter().sum::<f32>() + of_the_last;
            let gradient_of = |(&id, &upstream): (&u32, &f32)| {
                let place = block.place(id)?;
                Some((place, (upstream - sum * (logits[place] - of_all).exp()) * inverse_temperature))
            };
            let of_candidates: Vec<(usize, f32)> = ids.iter().zip(upstream).filter_map(gradient_of).collect();
            if has_others {
                let scale = (of_the_last - sum * (of_others - of_all).exp()) * inverse_temperature;
                // A candidate may lie far above the others; its place is written again below.
                let others = &mut *logits;
                vectorized!(|others: &mut [f32], scale: f32, of_others: f32| {
                    for logit in others {
                        *logit = scale * exp((*logit - of_others).min(0.0));
                    }
                });
            }
            for (place, gradient) in of_candidates {
                logits[place] = gradient;
            }
        });
    })
}
