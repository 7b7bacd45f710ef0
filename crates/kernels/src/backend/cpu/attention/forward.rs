//! Attention on the CPU, forward: blocks of queries against the keys that one of them sees, and nothing of size T x T.
//!
//! Scores are held **transposed**, a row for each key and a lane for each query: softmax then runs along rows of full
//! vectors and never sums across a vector, and only the small block of queries has to be turned.

// B batch, T tokens, H query heads, G query heads a key-value head, L = QUERIES lanes, n keys that a block sees

use super::heads::Heads;
use crate::attention::{MASKED, Seen, Sources, Spans};
use crate::backend::cpu::{Matrix, MatrixMut, Store, exp, gemm_small, tensor, vectorized};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;

/// Queries of a block: two AVX-512 registers' worth of lanes.
pub(super) const QUERIES: usize = 32;

/// Queries, keys and values, as views of what they came in.
pub(super) struct Inputs {
    pub(super) q: Heads,
    /// A key-value head's own columns of the key.
    pub(super) key: Heads,
    /// The columns after them, where all heads share those.
    pub(super) shared_key: Option<Heads>,
    pub(super) value: Heads,
    pub(super) scale: f32,
}

impl Inputs {
    pub(super) fn of(q: &FlexTensor, x: &FlexTensor, y: &FlexTensor, sources: Sources, scale: f64) -> Self {
        let scale = scale as f32;
        match sources {
            Sources::Separate => {
                let [q, key, value] = [q, x, y].map(Heads::of);
                Self { q, key, shared_key: None, value, scale }
            }
            Sources::Joint => {
                let shared = Heads::of(y);
                let own = q.layout().shape()[3] - shared.shape[3];
                let both = x.layout().shape()[3];
                let (key, value) =
                    (Heads::of(&x.narrow(3, 0, own)), Heads::of(&x.narrow(3, own, both - own)));
                Self { q: Heads::of(q), key, shared_key: Some(shared), value, scale }
            }
        }
    }

    /// The place of the first query: those before it have keys and values only.
    pub(super) fn first(&self) -> usize {
        self.key.shape[1] - self.q.shape[1]
    }

    /// Query heads that share a key-value head.
    pub(super) fn group(&self) -> usize {
        self.q.shape[2] / self.key.shape[2].max(1)
    }
}

/// A block of queries of one row of the batch, and the keys that at least one of them sees.
pub(super) struct Block<'a> {
    pub(super) row: usize,
    pub(super) places: Range<usize>,
    pub(super) seen: Seen,
    spans: &'a Spans,
}

impl<'a> Block<'a> {
    /// Block `index` of the queries of `places`.
    pub(super) fn new(spans: &'a Spans, row: usize, index: usize, places: &Range<usize>) -> Self {
        let start = places.start + index * QUERIES;
        let places = start..(start + QUERIES).min(places.end);
        Self { row, seen: spans.seen_from(row, &places), places, spans }
    }

    /// The lanes that see key `source`.
    pub(super) fn open(&self, source: usize) -> Open {
        let open = self.spans.seeing(self.row, source, &self.places);
        Open { first: (open.start - self.places.start) as u32, count: open.len() as u32 }
    }

    /// `scale q k^T`, transposed, into `scores` `[n, L]`, also where nothing is seen. `lanes` is left with the block's
    /// queries, transposed and scaled.
    pub(super) fn scores(&self, inputs: &Inputs, head: usize, lanes: &mut Vec<f32>, scores: &mut Vec<f32>) {
        let Inputs { q, key, shared_key, scale, .. } = inputs;
        turn(q, self, inputs.first(), head, *scale, lanes);
        scores.resize(self.seen.len() * QUERIES, 0.0);
        let own = key.shape[3];
        let mut product = |store, keys: &Heads, head, lanes: &[f32]| {
            for (first, places) in self.seen.stretches() {
                let out = MatrixMut::new(&mut scores[first * QUERIES..], places.len(), QUERIES);
                let keys_of = keys.places(self.row, head, places);
                gemm_small(out, store, keys_of, Matrix::new(lanes, keys.shape[3], QUERIES));
            }
        };
        product(Store::Replace, key, head / inputs.group(), &lanes[..own * QUERIES]);
        if let Some(shared) = shared_key {
            product(Store::Add, shared, 0, &lanes[own * QUERIES..]);
        }
    }
}

/// The columns of a head at a block's places, as rows of lanes `[W, L]`; lanes beyond the block are 0. `x` begins
/// with the place `first`.
pub(super) fn turn(
    x: &Heads,
    block: &Block<'_>,
    first: usize,
    head: usize,
    scale: f32,
    lanes: &mut Vec<f32>,
) {
    let [_, _, _, width] = x.shape;
    lanes.clear();
    lanes.resize(width * QUERIES, 0.0);
    for (lane, place) in block.places.clone().enumerate() {
        let columns = x.columns(block.row, place - first, head);
        for (lanes, column) in lanes.as_chunks_mut::<QUERIES>().0.iter_mut().zip(columns) {
            lanes[lane] = column * scale;
        }
    }
}

/// The result `[B, Tq, H, Dv]`, and the logarithm of each softmax's denominator `[B, Tq, H]`, from which the backward
/// finds the probabilities again.
pub(super) fn forward(inputs: &Inputs, spans: &Spans) -> (FlexTensor, FlexTensor) {
    let [batch, tokens, heads, _] = inputs.q.shape;
    let [_, _, _, width] = inputs.value.shape;
    let queries = inputs.first()..inputs.first() + tokens;
    let mut out = vec![0.0; batch * tokens * heads * width];
    let mut log_sums = vec![0.0; batch * tokens * heads];
    let (row_of_out, row_of_sums) = (tokens * heads * width, tokens * heads);
    let rows = out.par_chunks_mut(row_of_out.max(1)).zip(log_sums.par_chunks_mut(row_of_sums.max(1)));
    rows.enumerate().for_each(|(row, (out, log_sums))| {
        let out = out.par_chunks_mut(QUERIES * heads * width);
        let blocks = out.zip(log_sums.par_chunks_mut(QUERIES * heads)).enumerate();
        blocks.for_each_init(
            <(Vec<f32>, Vec<f32>)>::default,
            |(lanes, weights), (index, (out, log_sums))| {
                let block = Block::new(spans, row, index, &queries);
                for head in 0..heads {
                    block.scores(inputs, head, lanes, weights);
                    let (largest, sums) = softmax(&block, weights);
                    let count = block.places.len();
                    for (first, places) in block.seen.stretches() {
                        let weights =
                            Matrix::strided(&weights[first * QUERIES..], places.len(), count, QUERIES);
                        gemm_small(
                            MatrixMut::strided(&mut out[head * width..], count, width, heads * width),
                            Store::of_part(first),
                            weights.transposed(),
                            inputs.value.places(row, head / inputs.group(), places),
                        );
                    }
                    for (lane, out) in out.chunks_exact_mut(heads * width).enumerate() {
                        let inverse = sums[lane].recip();
                        out[head * width..(head + 1) * width].iter_mut().for_each(|out| *out *= inverse);
                        log_sums[lane * heads + head] = largest[lane] + sums[lane].ln();
                    }
                }
            },
        );
    });
    (tensor(out, [batch, tokens, heads, width]), tensor(log_sums, [batch, tokens, heads]))
}

/// Turns scores into `e^(score - largest)`, 0 where nothing is seen; returns each lane's largest score and its sum.
fn softmax(block: &Block<'_>, scores: &mut [f32]) -> ([f32; QUERIES], [f32; QUERIES]) {
    vectorized!(|block: &Block<'_>, scores: &mut [f32]| -> ([f32; QUERIES], [f32; QUERIES]) {
        let rows = scores.as_chunks_mut::<QUERIES>().0;
        let mut largest = [MASKED; QUERIES];
        for (source, row) in block.seen.places().zip(&*rows) {
            let open = block.open(source);
            for lane in 0..QUERIES {
                let score = open.or(lane, row[lane], MASKED);
                largest[lane] = if score > largest[lane] { score } else { largest[lane] };
            }
        }
        let mut sums = [0.0; QUERIES];
        for (source, row) in block.seen.places().zip(rows) {
            let open = block.open(source);
            for lane in 0..QUERIES {
                row[lane] = open.or(lane, exp(row[lane] - largest[lane]), 0.0);
                sums[lane] += row[lane];
            }
        }
        (largest, sums)
    })
}

/// The lanes that see a key. Compared lane by lane: a row filled in part and read whole would wait for memory.
pub(super) struct Open {
    first: u32,
    count: u32,
}

impl Open {
    /// `value` where the lane sees the key, else `closed`.
    #[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
    #[inline(always)]
    pub(super) fn or(&self, lane: usize, value: f32, closed: f32) -> f32 {
        if (lane as u32).wrapping_sub(self.first) < self.count { value } else { closed }
    }
}
