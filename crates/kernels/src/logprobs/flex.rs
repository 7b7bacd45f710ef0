//! Token log-probabilities on the CPU, from the logits of a chunk of tokens.

use crate::cpu::{Floats, exp, lanewise_pairs, largest, tensor, total, vectorized};
use crate::logits::Chunks;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// `ln p(target)`, `[N]`, and the entropy and `ln sum_v e^logit` of each token, `[N, 2]`.
pub(crate) fn forward(chunks: &Chunks, targets: &[u32]) -> (FlexTensor, FlexTensor) {
    let mut logprobs = vec![0.0; targets.len()];
    let mut besides = vec![0.0; targets.len() * 2];
    chunks.for_each(|places, logits| {
        logits
            .par_chunks(chunks.vocabulary)
            .zip(&targets[places.clone()])
            .zip(&mut logprobs[places.clone()])
            .zip(besides[places.start * 2..places.end * 2].par_chunks_mut(2))
            .for_each(|(((logits, &target), logprob), besides)| {
                vectorized!(|logits: &[f32], target: u32, logprob: &mut f32, besides: &mut [f32]| {
                    let top = largest(logits);
                    let sums = lanewise_pairs(logits.len(), |v| {
                        let below = logits[v] - top;
                        let weight = exp(below);
                        [weight, weight * below]
                    });
                    let [sum, weighted] = sums.map(total);
                    let log_sum = top + sum.ln();
                    *logprob = logits[target as usize] - log_sum;
                    besides.copy_from_slice(&[sum.ln() - weighted / sum, log_sum]);
                });
            });
    });
    (tensor(logprobs, [targets.len()]), tensor(besides, [targets.len(), 2]))
}

/// The gradients of `hidden` and `head`: `d logit[n, v] = upstream[n] (1[v = target] - p[v]) / temperature`.
pub(crate) fn backward(
    chunks: &Chunks,
    targets: &[u32],
    besides: &FlexTensor,
    upstream: &FlexTensor,
    temperature: f64,
) -> (FlexTensor, FlexTensor) {
    let (besides, upstream) = (Floats::of(besides), Floats::of(upstream));
    chunks.backward(|places, logits| {
        logits
            .par_chunks_mut(chunks.vocabulary)
            .zip(&targets[places.clone()])
            .zip(besides.slice()[places.start * 2..places.end * 2].par_chunks(2))
            .zip(&upstream.slice()[places])
            .for_each(|(((logits, &target), besides), upstream)| {
                let (scale, log_sum) = (upstream / temperature as f32, besides[1]);
                vectorized!(|logits: &mut [f32], target: u32, scale: f32, log_sum: f32| {
                    for logit in logits.iter_mut() {
                        *logit = -scale * exp(*logit - log_sum);
                    }
                    logits[target as usize] += scale;
                });
            });
    })
}
