//! Token log-probabilities on the CPU, from blocks of logits.

use super::{Block, Blocks, Sums};
use crate::backend::cpu::{Floats, exp, rows_at_once, tensor, vectorized};
use crate::backend::{Differentiable, Operation};
use crate::logprobs::{LogitEdit, TargetLogprobs};
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 2> for TargetLogprobs {
    fn forward(&self, [hidden, head]: [FlexTensor; 2]) -> [FlexTensor; 2] {
        forward(&Blocks::new(&hidden, &head, self.plan), self).into()
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
        backward(&Blocks::new(&hidden, &head, self.plan), self, &besides, &upstream, learns)
    }
}

/// Changes the logits of a token in a block. What comes back is where, and by what gradients there are multiplied.
fn edit(edits: &[LogitEdit], block: &Block, temperature: f32, logits: &mut [f32]) -> Vec<(usize, f32)> {
    let edits = edits.iter().map(|edit| {
        let place = edit.id as usize - block.ids.start;
        let (edited, factor) = edit.apply(logits[place], temperature);
        logits[place] = edited;
        (place, factor)
    });
    edits.collect()
}

/// `ln p(target)`, `[N]`, and the entropy and log-sum of what is kept of each token, `[N, 2]`.
fn forward(blocks: &Blocks, operation: &TargetLogprobs) -> (FlexTensor, FlexTensor) {
    let targets = &operation.targets;
    let temperature = blocks.plan.temperature as f32;
    let mut of_targets = vec![0.0; targets.len()];
    let mut sums = vec![Sums::NONE; targets.len()];
    blocks.for_each(|block, logits| {
        let width = block.ids.len();
        let rows = logits.par_chunks_mut(width).zip(&targets[block.tokens.clone()]);
        let rows = rows.zip(&mut of_targets[block.tokens.clone()]).zip(&mut sums[block.tokens.clone()]);
        let rows = rows.with_min_len(rows_at_once(width)).enumerate();
        rows.for_each(|(row, (((logits, &target), of_target), sums))| {
            let (edits, kept) = operation.shape_of(block.tokens.start + row, &block.ids);
            edit(edits, block, temperature, logits);
            match kept {
                None => sums.add(logits),
                Some([]) => {}
                Some(kept) => {
                    let of_kept = kept.iter().map(|&id| logits[id as usize - block.ids.start]);
                    sums.add(&of_kept.collect::<Vec<f32>>());
                }
            }
            if let Some(place) = block.place(target) {
                *of_target = logits[place];
            }
        });
    });
    let logprobs = of_targets.iter().zip(&sums).map(|(logit, sums)| logit - sums.log()).collect();
    let besides = sums.iter().flat_map(|sums| [sums.entropy(), sums.log()]).collect();
    (tensor(logprobs, [targets.len()]), tensor(besides, [targets.len(), 2]))
}

/// The gradients of `hidden` and `head`: `d logit[n, v] = upstream[n] (1[v = target] - p[v]) f[n, v] / temperature` of what is
/// kept, with f from the edit, else 1, and 0 of the rest.
fn backward(
    blocks: &Blocks,
    operation: &TargetLogprobs,
    besides: &FlexTensor,
    upstream: &FlexTensor,
    learns: bool,
) -> [Option<FlexTensor>; 2] {
    let (besides, upstream) = (Floats::of(besides), Floats::of(upstream));
    let besides = besides.slice().as_chunks::<2>().0;
    let temperature = blocks.plan.temperature as f32;
    blocks.backward(learns, |block, logits| {
        let width = block.ids.len();
        let rows = logits.par_chunks_mut(width).zip(&operation.targets[block.tokens.clone()]);
        let rows = rows.zip(&besides[block.tokens.clone()]).zip(&upstream.slice()[block.tokens.clone()]);
        let rows = rows.with_min_len(rows_at_once(width)).enumerate();
        rows.for_each(|(row, (((logits, &target), besides), upstream))| {
            let (scale, log_sum) = (upstream / temperature, besides[1]);
            let (edits, kept) = operation.shape_of(block.tokens.start + row, &block.ids);
            let factors = edit(edits, block, temperature, logits);
            match kept {
                None => {
                    let row = &mut *logits;
                    vectorized!(|row: &mut [f32], scale: f32, log_sum: f32| {
                        for logit in row {
                            *logit = -scale * exp(*logit - log_sum);
                        }
                    });
                }
                Some(kept) => {
                    let places = kept.iter().map(|&id| id as usize - block.ids.start);
                    let of_kept: Vec<(usize, f32)> =
                        places.map(|place| (place, -scale * (logits[place] - log_sum).exp())).collect();
                    logits.fill(0.0);
                    for (place, gradient) in of_kept {
                        logits[place] = gradient;
                    }
                }
            }
            if let Some(place) = block.place(target) {
                logits[place] += scale;
            }
            for (place, factor) in factors {
                logits[place] *= factor;
            }
        });
    })
}
