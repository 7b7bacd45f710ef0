//! Token log-probabilities on the CPU. The logits of a chunk live in one buffer that the next chunk overwrites; the
//! backward computes them again instead of keeping them.

// N tokens, n of them at once, D hidden, V vocabulary

use super::Plan;
use crate::cpu::{
    Floats, Matrix, MatrixMut, Store, Threads, exp, lanewise_pairs, largest, product, tensor, total,
    vectorized,
};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// `(ln p(target), entropy, ln sum_v e^logit)`, each `[N]`.
pub(super) fn forward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    plan: Plan,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let chunks = Chunks::new(hidden, head, plan);
    let [mut logprobs, mut entropy, mut log_sums] = [(); 3].map(|()| vec![0.0; targets.len()]);
    let mut logits = chunks.buffer();
    for (start, rows) in chunks.starts() {
        chunks.logits(start, rows, &mut logits);
        let places = start..start + rows;
        logits
            .par_chunks(chunks.vocabulary)
            .zip(&targets[places.clone()])
            .zip(&mut logprobs[places.clone()])
            .zip(&mut entropy[places.clone()])
            .zip(&mut log_sums[places])
            .for_each(|((((logits, &target), logprob), entropy), log_sum)| {
                vectorized(|| {
                    let top = largest(logits);
                    let sums = lanewise_pairs(logits.len(), |v| {
                        let below = logits[v] - top;
                        let weight = exp(below);
                        [weight, weight * below]
                    });
                    let [sum, weighted] = sums.map(total);
                    *log_sum = top + sum.ln();
                    *logprob = logits[target as usize] - *log_sum;
                    *entropy = sum.ln() - weighted / sum;
                });
            });
    }
    let shape = [targets.len()];
    (tensor(logprobs, shape), tensor(entropy, shape), tensor(log_sums, shape))
}

/// The gradients of `hidden` and `head`: `d logit[n, v] = upstream[n] (1[v = target] - p[v]) / temperature`.
pub(super) fn backward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    log_sums: &FlexTensor,
    upstream: &FlexTensor,
    plan: Plan,
) -> (FlexTensor, FlexTensor) {
    let ([_, width], [vocabulary, _]) = (hidden.layout().shape().dims(), head.layout().shape().dims());
    let mut d_head = vec![0.0; vocabulary * width];
    let d_hidden = gradients(hidden, head, targets, log_sums, upstream, plan, Some(&mut d_head));
    (d_hidden, tensor(d_head, [vocabulary, width]))
}

/// That of `hidden` alone.
pub(super) fn backward_hidden(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    log_sums: &FlexTensor,
    upstream: &FlexTensor,
    plan: Plan,
) -> FlexTensor {
    gradients(hidden, head, targets, log_sums, upstream, plan, None)
}

/// The gradient of `hidden`; that of `head` goes where it is wanted.
fn gradients(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    log_sums: &FlexTensor,
    upstream: &FlexTensor,
    plan: Plan,
    mut d_head: Option<&mut [f32]>,
) -> FlexTensor {
    let chunks = Chunks::new(hidden, head, plan);
    let (log_sums, upstream) = (Floats::of(log_sums), Floats::of(upstream));
    let (width, vocabulary) = (chunks.width, chunks.vocabulary);
    let mut d_hidden = vec![0.0; targets.len() * width];
    let mut logits = chunks.buffer();
    for (start, rows) in chunks.starts() {
        chunks.logits(start, rows, &mut logits);
        let places = start..start + rows;
        logits
            .par_chunks_mut(vocabulary)
            .zip(&targets[places.clone()])
            .zip(&log_sums.slice()[places.clone()])
            .zip(&upstream.slice()[places])
            .for_each(|(((logits, &target), &log_sum), upstream)| {
                let scale = upstream / plan.temperature as f32;
                vectorized(|| logits.iter_mut().for_each(|logit| *logit = -scale * exp(*logit - log_sum)));
                logits[target as usize] += scale;
            });
        let d_logits = Matrix::new(&logits, rows, vocabulary);
        let d_rows = &mut d_hidden[start * width..(start + rows) * width];
        let d_rows = MatrixMut::new(d_rows, rows, width);
        product(d_rows, Store::Replace, 1.0, d_logits, chunks.head(), Threads::Pool);
        if let Some(d_head) = &mut d_head {
            let d_weight = MatrixMut::new(d_head, vocabulary, width);
            let store = if start == 0 { Store::Replace } else { Store::Add };
            product(d_weight, store, 1.0, d_logits.transposed(), chunks.rows(start, rows), Threads::Pool);
        }
    }
    tensor(d_hidden, [targets.len(), width])
}

/// The hidden states and the head, and how many tokens' logits there are at once.
pub(crate) struct Chunks {
    hidden: Floats,
    head: Floats,
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) vocabulary: usize,
    plan: Plan,
}

impl Chunks {
    pub(crate) fn new(hidden: &FlexTensor, head: &FlexTensor, plan: Plan) -> Self {
        let (rows, columns) = (hidden.layout().shape(), head.layout().shape());
        let ([tokens, width], vocabulary) = ([rows[0], rows[1]], columns[0]);
        let (hidden, head) = (Floats::of(hidden), Floats::of(head));
        Self { hidden, head, tokens, width, vocabulary, plan }
    }

    pub(crate) fn buffer(&self) -> Vec<f32> {
        Vec::with_capacity(self.plan.tokens_at_once.min(self.tokens) * self.vocabulary)
    }

    /// The first token of each chunk and its number of tokens.
    pub(crate) fn starts(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (tokens, step) = (self.tokens, self.plan.tokens_at_once);
        (0..tokens).step_by(step).map(move |start| (start, step.min(tokens - start)))
    }

    pub(crate) fn rows(&self, start: usize, rows: usize) -> Matrix<'_> {
        Matrix::new(&self.hidden.slice()[start * self.width..(start + rows) * self.width], rows, self.width)
    }

    pub(crate) fn head(&self) -> Matrix<'_> {
        Matrix::new(self.head.slice(), self.vocabulary, self.width)
    }

    /// Fills the buffer with `hidden W^T / temperature` of some tokens.
    pub(crate) fn logits(&self, start: usize, rows: usize, logits: &mut Vec<f32>) {
        logits.resize(rows * self.vocabulary, 0.0);
        let out = MatrixMut::new(logits, rows, self.vocabulary);
        let (hidden, head) = (self.rows(start, rows), self.head().transposed());
        let scale = (1.0 / self.plan.temperature) as f32;
        product(out, Store::Replace, scale, hidden, head, Threads::Pool);
    }
}
