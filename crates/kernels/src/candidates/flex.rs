//! Log-probabilities of candidates on the CPU. The logits of a chunk live in one buffer that the next chunk overwrites;
//! the backward computes them again instead of keeping them.

// N tokens, n of them at once, D hidden, V vocabulary, K candidates

use crate::cpu::{
    Floats, Matrix, MatrixMut, Store, Threads, exp, lanewise, largest, product, tensor, total, vectorized,
};
use crate::logprobs::{Chunks, Plan};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// `[N, K + 1]`, and the log-sums of `e^logit` that the backward needs: over all of a row, and over its others, `[N, 2]`.
pub(super) fn forward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    candidates: &[u32],
    plan: Plan,
) -> (FlexTensor, FlexTensor) {
    let chunks = Chunks::new(hidden, head, plan);
    let (tokens, chosen) = (chunks.tokens, candidates.len() / chunks.tokens);
    let mut logprobs = vec![0.0; tokens * (chosen + 1)];
    let mut log_sums = vec![0.0; tokens * 2];
    let mut logits = chunks.buffer();
    for (start, rows) in chunks.starts() {
        chunks.logits(start, rows, &mut logits);
        let end = start + rows;
        logits
            .par_chunks_mut(chunks.vocabulary)
            .zip(candidates[start * chosen..end * chosen].par_chunks(chosen))
            .zip(logprobs[start * (chosen + 1)..end * (chosen + 1)].par_chunks_mut(chosen + 1))
            .zip(log_sums[start * 2..end * 2].par_chunks_mut(2))
            .for_each(|(((logits, ids), row), log_sums)| {
                for (column, &id) in row.iter_mut().zip(ids) {
                    *column = std::mem::replace(&mut logits[id as usize], f32::NEG_INFINITY);
                }
                let of_others = vectorized(|| log_sum(logits));
                row[chosen] = of_others;
                let of_all = vectorized(|| log_sum(row));
                for column in row.iter_mut() {
                    *column -= of_all;
                }
                log_sums.copy_from_slice(&[of_all, of_others]);
            });
    }
    (tensor(logprobs, [tokens, chosen + 1]), tensor(log_sums, [tokens, 2]))
}

/// `ln sum e^x`; `-inf` of nothing.
pub(super) fn log_sum(values: &[f32]) -> f32 {
    let top = largest(values);
    if top == f32::NEG_INFINITY {
        return top;
    }
    top + total(lanewise(values.len(), |v| exp(values[v] - top))).ln()
}

/// The gradients of `hidden` and `head`. With u the upstream of a row and U its sum, p the softmax, o what is chosen of
/// the others among themselves (softmax without the candidates), r their share:
/// `d logit[v] = (u[k] - U p[v]) / temperature` of a candidate, `o[v] (u[K] - U r) / temperature` of another.
pub(super) fn backward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    candidates: &[u32],
    log_sums: &FlexTensor,
    upstream: &FlexTensor,
    plan: Plan,
) -> (FlexTensor, FlexTensor) {
    let chunks = Chunks::new(hidden, head, plan);
    let (log_sums, upstream) = (Floats::of(log_sums), Floats::of(upstream));
    let (tokens, width, vocabulary) = (chunks.tokens, chunks.width, chunks.vocabulary);
    let chosen = candidates.len() / tokens;
    let inverse_temperature = (1.0 / plan.temperature) as f32;
    let mut d_hidden = vec![0.0; tokens * width];
    let mut d_head = vec![0.0; vocabulary * width];
    let mut logits = chunks.buffer();
    for (start, rows) in chunks.starts() {
        chunks.logits(start, rows, &mut logits);
        let end = start + rows;
        logits
            .par_chunks_mut(vocabulary)
            .zip(candidates[start * chosen..end * chosen].par_chunks(chosen))
            .zip(upstream.slice()[start * (chosen + 1)..end * (chosen + 1)].par_chunks(chosen + 1))
            .zip(log_sums.slice()[start * 2..end * 2].par_chunks(2))
            .for_each(|(((logits, ids), upstream), log_sums)| {
                let (of_all, of_others) = (log_sums[0], log_sums[1]);
                let has_others = of_others != f32::NEG_INFINITY;
                let of_the_last = if has_others { upstream[chosen] } else { 0.0 };
                let sum = upstream[..chosen].iter().sum::<f32>() + of_the_last;
                let gradient_of = |(&id, &upstream): (&u32, &f32)| {
                    (upstream - sum * (logits[id as usize] - of_all).exp()) * inverse_temperature
                };
                let of_candidates: Vec<f32> = ids.iter().zip(upstream).map(gradient_of).collect();
                if has_others {
                    let scale = (of_the_last - sum * (of_others - of_all).exp()) * inverse_temperature;
                    // A candidate may lie far above the others; its place is written anew below.
                    let share = |logit: f32| scale * exp((logit - of_others).min(0.0));
                    vectorized(|| {
                        for logit in logits.iter_mut() {
                            *logit = share(*logit);
                        }
                    });
                }
                for (&id, gradient) in ids.iter().zip(of_candidates) {
                    logits[id as usize] = gradient;
                }
            });
        let d_logits = Matrix::new(&logits, rows, vocabulary);
        let d_rows = MatrixMut::new(&mut d_hidden[start * width..end * width], rows, width);
        product(d_rows, Store::Replace, 1.0, d_logits, chunks.head(), Threads::Pool);
        let d_weight = MatrixMut::new(&mut d_head, vocabulary, width);
        let store = if start == 0 { Store::Replace } else { Store::Add };
        product(d_weight, store, 1.0, d_logits.transposed(), chunks.rows(start, rows), Threads::Pool);
    }
    (tensor(d_hidden, [tokens, width]), tensor(d_head, [vocabulary, width]))
}
