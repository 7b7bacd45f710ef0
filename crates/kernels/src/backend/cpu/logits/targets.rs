//! Token log-probabilities on the CPU, from blocks of logits.

use super::{Blocks, Sums};
use crate::backend::cpu::{Floats, exp, rows_at_once, tensor, vectorized};
use crate::backend::{Differentiable, Operation};
use crate::logprobs::TargetLogprobs;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 2> for TargetLogprobs {
    fn forward(&self, [hidden, head]: [FlexTensor; 2]) -> [FlexTensor; 2] {
        forward(&Blocks::new(&hidden, &head, self.plan), &self.targets).into()
    }
}

impl Differentiable<Flex, 2, 2> for TargetLogprobs {
    /// Hidden states, head, entropies and log-sums.
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
        backward(&blocks, &self.targets, &besides, &upstream, learns)
    }
}

/// `ln p(target)`, `[N]`, and the entropy and `ln sum_v e^logit` of each token, `[N, 2]`.
fn forward(blocks: &Blocks, targets: &[u32]) -> (FlexTensor, FlexTensor) {
    let mut of_targets = vec![0.0; targets.len()];
    let mut sums = vec![Sums::NONE; targets.len()];
    blocks.for_each(|block, logits| {
        let width = block.ids.len();
        let rows = logits.par_chunks(width).zip(&targets[block.tokens.clone()]);
        let rows = rows.zip(&mut of_targets[block.tokens.clone()]).zip(&mut sums[block.tokens.clone()]);
        rows.with_min_len(rows_at_once(width)).for_each(|(((logits, &target), of_target), sums)| {
            sums.add(logits);
            if let Some(place) = block.place(target) {
                *of_target = logits[place];
            }
        });
    });
    let logprobs = of_targets.iter().zip(&sums).map(|(logit, sums)| logit - sums.log()).collect();
    let besides = sums.iter().flat_map(|sums| [sums.entropy(), sums.log()]).collect();
    (tensor(logprobs, [targets.len()]), tensor(besides, [targets.len(), 2]))
}

/// The gradients of `hidden` and `head`: `d logit[n, v] = upstream[n] (1[v = target] - p[v]) / temperature`.
fn backward(
    blocks: &Blocks,
    targets: &[u32],
    besides: &FlexTensor,
    upstream: &FlexTensor,
    learns: bool,
) -> [Option<FlexTensor>; 2] {
    let (besides, upstream) = (Floats::of(besides), Floats::of(upstream));
    let besides = besides.slice().as_chunks::<2>().0;
    let temperature = blocks.plan.temperature;
    blocks.backward(learns, |block, logits| {
        let width = block.ids.len();
        let rows = logits.par_chunks_mut(width).zip(&targets[block.tokens.clone()]);
        let rows = rows.zip(&besides[block.tokens.clone()]).zip(&upstream.slice()[block.tokens.clone()]);
        rows.with_min_len(rows_at_once(width)).for_each(|(((logits, &target), besides), upstream)| {
            let (scale, log_sum) = (upstream / temperature as f32, besides[1]);
            let row = &mut *logits;
            vectorized!(|row: &mut [f32], scale: f32, log_sum: f32| {
                for logit in row {
                    *logit = -scale * exp(*logit - log_sum);
                }
            });
            if let Some(place) = block.place(target) {
                logits[place] += scale;
            }
        });
    })
}
