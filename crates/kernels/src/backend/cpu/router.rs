//! The router's numbers on the CPU: one product with the function of its rows, and a few numbers per token.

use super::{
    Floats, Matrix, Threads, dot, exp, gemm_nt_vec, gemm_vec, rows_at_once, sigmoid, tensor, vectorized,
};
use crate::backend::{Differentiable, Operation};
use crate::router::{Normalisation, RouteWeights, RouterScores, SUM_EPSILON, Scoring};
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 2, 1> for RouterScores {
    fn forward(&self, [x, weight]: [FlexTensor; 2]) -> [FlexTensor; 1] {
        [scores(&x, &weight, self.scoring)]
    }
}

impl Differentiable<Flex, 2, 1> for RouterScores {
    /// The input, the weight, the scores.
    type Kept = [FlexTensor; 3];

    fn forward_tracked(&self, [x, weight]: [FlexTensor; 2], _: [bool; 2]) -> ([FlexTensor; 1], Self::Kept) {
        let scores = scores(&x, &weight, self.scoring);
        ([scores.clone()], [x, weight, scores])
    }

    fn backward(
        &self,
        [x, weight, scores]: Self::Kept,
        upstream: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (d_x, d_weight) = scores_backward(&x, &weight, &scores, &upstream, self.scoring);
        [Some(d_x), Some(d_weight)]
    }
}

impl Operation<Flex, 1, 1> for RouteWeights {
    fn forward(&self, [scores]: [FlexTensor; 1]) -> [FlexTensor; 1] {
        [weights(&scores, &self.experts, self.normalisation, self.factor)]
    }
}

impl Differentiable<Flex, 1, 1> for RouteWeights {
    /// The scores.
    type Kept = FlexTensor;

    fn forward_tracked(&self, [scores]: [FlexTensor; 1], _: [bool; 1]) -> ([FlexTensor; 1], FlexTensor) {
        (Operation::<Flex, _, _>::forward(self, [scores.clone()]), scores)
    }

    fn backward(&self, scores: FlexTensor, upstream: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(weights_backward(&scores, &upstream, &self.experts, self.normalisation, self.factor))]
    }
}

/// `[N, E]`
fn scores(x: &FlexTensor, weight: &FlexTensor, scoring: Scoring) -> FlexTensor {
    let ([rows, width], [n_experts, _]) = (x.layout().shape().dims(), weight.layout().shape().dims());
    let (x, weight) = (Floats::of(x), Floats::of(weight));
    let mut scores = gemm_nt_vec(x.slice(), weight.slice(), [rows, width, n_experts], Threads::Pool);
    scores.par_chunks_mut(rows_at_once(n_experts) * n_experts).for_each(|rows| {
        vectorized!(|rows: &mut [f32], scoring: Scoring, n_experts: usize| {
            match scoring {
                Scoring::Sigmoid => {
                    for score in rows {
                        *score = sigmoid(*score);
                    }
                }
                Scoring::Softmax => {
                    for row in rows.chunks_exact_mut(n_experts) {
                        softmax(row);
                    }
                }
            }
        });
    });
    tensor(scores, [rows, n_experts])
}

#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = exp(*value - largest);
        sum += *value;
    }
    for value in row {
        *value /= sum;
    }
}

/// The gradients of `x` and `weight`: through sigmoid `s (1 - s) g`, through softmax `s (g - s . g)`.
fn scores_backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    scores: &FlexTensor,
    upstream: &FlexTensor,
    scoring: Scoring,
) -> (FlexTensor, FlexTensor) {
    let ([rows, width], [n_experts, _]) = (x.layout().shape().dims(), weight.layout().shape().dims());
    let (x, weight) = (Floats::of(x), Floats::of(weight));
    let (scores, upstream) = (Floats::of(scores), Floats::of(upstream));
    let mut d_logits = vec![0.0; rows * n_experts];
    let block = rows_at_once(n_experts) * n_experts;
    let parts = scores.slice().par_chunks(block).zip(upstream.slice().par_chunks(block));
    d_logits.par_chunks_mut(block).zip(parts).for_each(|(d_logits, (scores, upstream))| {
        vectorized!(|d_logits: &mut [f32],
                     scores: &[f32],
                     upstream: &[f32],
                     scoring: Scoring,
                     n_experts: usize| {
            let rows = scores.chunks_exact(n_experts).zip(upstream.chunks_exact(n_experts));
            for (d_logits, (scores, upstream)) in d_logits.chunks_exact_mut(n_experts).zip(rows) {
                let row = d_logits.iter_mut().zip(scores.iter().zip(upstream));
                match scoring {
                    Scoring::Sigmoid => {
                        for (out, (score, up)) in row {
                            *out = score * (1.0 - score) * up;
                        }
                    }
                    Scoring::Softmax => {
                        let mean = dot(scores, upstream);
                        for (out, (score, up)) in row {
                            *out = score * (up - mean);
                        }
                    }
                }
            }
        });
    });
    let d_logits = Matrix::new(&d_logits, rows, n_experts);
    let d_x = gemm_vec(d_logits, Matrix::new(weight.slice(), n_experts, width), Threads::Pool);
    let d_weight = gemm_vec(d_logits.transposed(), Matrix::new(x.slice(), rows, width), Threads::Pool);
    (tensor(d_x, [rows, width]), tensor(d_weight, [n_experts, width]))
}

/// `[N, K]`
fn weights(scores: &FlexTensor, experts: &[u16], normalisation: Normalisation, factor: f64) -> FlexTensor {
    let [rows, n_experts] = scores.layout().shape().dims();
    let scores = Floats::of(scores);
    let per_token = experts.len() / rows.max(1);
    let mut weights = Vec::with_capacity(experts.len());
    for (scores, experts) in scores.slice().chunks_exact(n_experts).zip(experts.chunks_exact(per_token)) {
        let scale = factor as f32 / divisor(scores, experts, normalisation);
        weights.extend(experts.iter().map(|&expert| scores[usize::from(expert)] * scale));
    }
    tensor(weights, [rows, per_token])
}

/// The gradient of `scores`: with `w_k = f p_k / s` and `s = sum p_k + eps`, `dp_k = f (g_k - sum_j g_j p_j / s) / s`.
fn weights_backward(
    scores: &FlexTensor,
    upstream: &FlexTensor,
    experts: &[u16],
    normalisation: Normalisation,
    factor: f64,
) -> FlexTensor {
    let [rows, n_experts] = scores.layout().shape().dims();
    let (scores, upstream) = (Floats::of(scores), Floats::of(upstream));
    let per_token = experts.len() / rows.max(1);
    let mut d_scores = vec![0.0; rows * n_experts];
    let chosen = experts.chunks_exact(per_token).zip(upstream.slice().chunks_exact(per_token));
    let rows_of_scores = d_scores.chunks_exact_mut(n_experts).zip(scores.slice().chunks_exact(n_experts));
    for ((d_scores, scores), (experts, upstream)) in rows_of_scores.zip(chosen) {
        let divisor = divisor(scores, experts, normalisation);
        let pull = match normalisation {
            Normalisation::Sum => {
                let slots = experts.iter().zip(upstream);
                slots.map(|(&expert, up)| scores[usize::from(expert)] * up).sum::<f32>() / divisor
            }
            Normalisation::None => 0.0,
        };
        for (&expert, up) in experts.iter().zip(upstream) {
            d_scores[usize::from(expert)] += factor as f32 * (up - pull) / divisor;
        }
    }
    tensor(d_scores, [rows, n_experts])
}

fn divisor(scores: &[f32], experts: &[u16], normalisation: Normalisation) -> f32 {
    match normalisation {
        Normalisation::Sum => {
            experts.iter().map(|&expert| scores[usize::from(expert)]).sum::<f32>() + SUM_EPSILON
        }
        Normalisation::None => 1.0,
    }
}
