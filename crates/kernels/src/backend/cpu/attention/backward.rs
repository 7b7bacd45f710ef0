//! Attention on the CPU, backward (Dao, arXiv 2307.08691, algorithm 2, without its tiles of keys): probabilities are
//! found again from scores and the logarithms of their sums, block of queries by block of queries.
//!
//! A task has a key-value head of a row of the batch with its query heads, so what its queries add to keys and values
//! is summed in one order, whatever the number of threads.

// B batch, T tokens, H query heads, Hk key-value heads, G query heads a key-value head, L = QUERIES lanes,
// n keys that a block sees, P own key columns, R shared key columns

use super::forward::{Block, Inputs, QUERIES, turn};
use super::heads::Heads;
use crate::attention::{Sources, Spans};
use crate::backend::cpu::{Floats, Matrix, MatrixMut, Store, exp, gemm_small, tensor, vectorized};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// What a backward pass reads.
pub(super) struct Pass<'a> {
    pub(super) inputs: &'a Inputs,
    /// The logarithms of the forward's softmax's denominators, `[B, T, H]`.
    pub(super) log_sums: Floats,
    /// The gradient of the result.
    pub(super) upstream: Heads,
    pub(super) spans: &'a Spans,
}

impl Pass<'_> {
    /// The gradients of the three inputs, in their order.
    pub(super) fn gradients(&self, sources: Sources) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [batch, tokens, heads, query] = self.inputs.q.shape;
        let ([_, _, kv_heads, key], [_, _, _, value]) = (self.inputs.key.shape, self.inputs.value.shape);
        let places = batch * tokens;
        let mut d_q = vec![0.0; places * heads * query];
        let (d_x, d_y) = match sources {
            Sources::Separate => {
                let mut d_key = vec![0.0; places * kv_heads * key];
                let mut d_value = vec![0.0; places * kv_heads * value];
                self.run(&mut d_q, d_key.chunks_exact_mut(key).zip(d_value.chunks_exact_mut(value)));
                let shape = |width| [batch, tokens, kv_heads, width];
                (tensor(d_key, shape(key)), tensor(d_value, shape(value)))
            }
            Sources::Joint => {
                let mut d_up = vec![0.0; places * heads * (key + value)];
                let halves = d_up.chunks_exact_mut(key + value).map(|columns| columns.split_at_mut(key));
                let of_heads = self.run(&mut d_q, halves);
                // Every head has a gradient for the shared columns; they are added in the order of the heads.
                let rotary = query - key;
                let mut d_shared = vec![0.0; places * rotary];
                let rows = d_shared.chunks_exact_mut((tokens * rotary).max(1));
                for (row, of_heads) in rows.zip(of_heads.chunks(heads)) {
                    for part in of_heads {
                        row.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                    }
                }
                let up = tensor(d_up, [batch, tokens, heads, key + value]);
                (up, tensor(d_shared, [batch, tokens, 1, rotary]))
            }
        };
        (tensor(d_q, [batch, tokens, heads, query]), d_x, d_y)
    }

    /// Fills the gradients of queries, own keys and values; returns each task's gradient of the shared key columns,
    /// `[T, R]`, in the order of rows and heads.
    fn run<'a>(
        &self,
        d_q: &'a mut [f32],
        key_value: impl Iterator<Item = (&'a mut [f32], &'a mut [f32])>,
    ) -> Vec<Vec<f32>> {
        let [batch, tokens, _, query] = self.inputs.q.shape;
        let [_, _, kv_heads, _] = self.inputs.key.shape;
        let task = |index| (index, Vec::with_capacity(tokens));
        let mut tasks: Vec<(usize, Vec<Place<'a>>)> = (0..batch * kv_heads).map(task).collect();
        let queries = d_q.chunks_exact_mut(self.inputs.group() * query);
        for (index, (query, (key, value))) in queries.zip(key_value).enumerate() {
            let (place, kv_head) = (index / kv_heads, index % kv_heads);
            tasks[place / tokens * kv_heads + kv_head].1.push(Place { query, key, value });
        }
        let run = |scratch: &mut Scratch, (index, mut places): (usize, Vec<Place<'_>>)| {
            self.task(index / kv_heads, index % kv_heads, &mut places, scratch)
        };
        tasks.into_par_iter().map_init(Scratch::default, run).collect()
    }

    /// A key-value head of a row of the batch.
    fn task(&self, row: usize, kv_head: usize, places: &mut [Place<'_>], scratch: &mut Scratch) -> Vec<f32> {
        let Inputs { q, key, value, scale, .. } = self.inputs;
        let ([_, tokens, _, query], [_, _, _, own], [_, _, _, width]) = (q.shape, key.shape, value.shape);
        let mut sums = Sums {
            key: vec![0.0; tokens * own],
            shared: vec![0.0; tokens * (query - own)],
            value: vec![0.0; tokens * width],
        };
        let group = self.inputs.group();
        for member in 0..group {
            for index in 0..tokens.div_ceil(QUERIES) {
                let block = Block::new(self.spans, row, index, &(0..tokens));
                self.block(&block, kv_head, kv_head * group + member, &mut sums, scratch);
                let d_queries = scratch.d_query.chunks_exact(query);
                for (place, d_query) in places[block.places.clone()].iter_mut().zip(d_queries) {
                    scaled(&mut place.query[member * query..(member + 1) * query], d_query, *scale);
                }
            }
        }
        for (index, place) in places.iter_mut().enumerate() {
            scaled(place.key, &sums.key[index * own..(index + 1) * own], *scale);
            place.value.copy_from_slice(&sums.value[index * width..(index + 1) * width]);
        }
        sums.shared.iter_mut().for_each(|sum| *sum *= scale);
        sums.shared
    }

    /// A block of queries of one head: adds to the sums, and leaves its own gradient, yet unscaled, in `d_query`.
    fn block(&self, block: &Block<'_>, kv_head: usize, head: usize, sums: &mut Sums, scratch: &mut Scratch) {
        let Scratch { lanes, scores, gradients, d_query } = scratch;
        let Inputs { q, key, shared_key, value, .. } = self.inputs;
        let (row, count, seen) = (block.row, block.places.len(), block.seen.len());
        let ([_, _, _, query], [_, _, _, own], [_, _, _, width]) = (q.shape, key.shape, value.shape);
        let rotary = query - own;

        block.scores(self.inputs, head, lanes, scores);
        turn(&self.upstream, block, 0, head, 1.0, lanes);
        gradients.resize(seen * QUERIES, 0.0);
        for (first, places) in block.seen.stretches() {
            gemm_small(
                MatrixMut::new(&mut gradients[first * QUERIES..], places.len(), QUERIES),
                Store::Replace,
                value.places(row, kv_head, places),
                Matrix::new(lanes, width, QUERIES),
            );
        }
        self.through_softmax(block, head, scores, gradients);

        let queries = q.places(row, head, block.places.clone());
        let upstream = self.upstream.places(row, head, block.places.clone());
        d_query.resize(QUERIES * query, 0.0);
        for (first, places) in block.seen.stretches() {
            let (count_seen, start) = (places.len(), places.start);
            let probabilities = Matrix::strided(&scores[first * QUERIES..], count_seen, count, QUERIES);
            let d_scores = Matrix::strided(&gradients[first * QUERIES..], count_seen, count, QUERIES);
            let d_value = MatrixMut::new(&mut sums.value[start * width..], count_seen, width);
            gemm_small(d_value, Store::Add, probabilities, upstream);
            let d_key = MatrixMut::new(&mut sums.key[start * own..], count_seen, own);
            gemm_small(d_key, Store::Add, d_scores, queries.columns(0..own));
            let store = Store::of_part(first);
            let keys = key.places(row, kv_head, places.clone());
            let d_own = MatrixMut::strided(d_query, count, own, query);
            gemm_small(d_own, store, d_scores.transposed(), keys);
            if let Some(shared) = shared_key {
                let d_shared = MatrixMut::new(&mut sums.shared[start * rotary..], count_seen, rotary);
                gemm_small(d_shared, Store::Add, d_scores, queries.columns(own..query));
                let keys = shared.places(row, 0, places);
                let d_rest = MatrixMut::strided(&mut d_query[own..], count, rotary, query);
                gemm_small(d_rest, store, d_scores.transposed(), keys);
            }
        }
    }

    /// Turns scores into probabilities `p`, and gradients of probabilities into those of scores, `p (dp - sum p dp)`.
    ///
    /// The sum is taken here and not from the result times its gradient, which is equal but rounded elsewhere: where
    /// a place sees itself alone, the gradient is 0 and not what rounding leaves of it.
    fn through_softmax(&self, block: &Block<'_>, head: usize, scores: &mut [f32], gradients: &mut [f32]) {
        let [_, tokens, heads, _] = self.inputs.q.shape;
        let mut log_sums = [0.0; QUERIES];
        for (place, log_sum) in block.places.clone().zip(&mut log_sums) {
            *log_sum = self.log_sums.slice()[(block.row * tokens + place) * heads + head];
        }
        let (scores, gradients) =
            (scores.as_chunks_mut::<QUERIES>().0, gradients.as_chunks_mut::<QUERIES>().0);
        vectorized!(|block: &Block<'_>,
                     scores: &mut [[f32; QUERIES]],
                     gradients: &mut [[f32; QUERIES]],
                     log_sums: [f32; QUERIES]| {
            let mut sums = [0.0; QUERIES];
            for (source, (score, gradient)) in block.seen.places().zip(scores.iter_mut().zip(&*gradients)) {
                let open = block.open(source);
                for lane in 0..QUERIES {
                    score[lane] = open.or(lane, exp(score[lane] - log_sums[lane]), 0.0);
                    sums[lane] += score[lane] * gradient[lane];
                }
            }
            for (probability, gradient) in scores.iter().zip(gradients) {
                for lane in 0..QUERIES {
                    gradient[lane] = probability[lane] * (gradient[lane] - sums[lane]);
                }
            }
        });
    }
}

/// Where the gradients of one place go: of the G queries that share a head, of its own key columns, of its value.
struct Place<'a> {
    query: &'a mut [f32],
    key: &'a mut [f32],
    value: &'a mut [f32],
}

/// What the queries of a task add up, at all places.
struct Sums {
    /// `[T, P]`
    key: Vec<f32>,
    /// `[T, R]`
    shared: Vec<f32>,
    /// `[T, Dv]`
    value: Vec<f32>,
}

/// What a block needs; kept from block to block.
#[derive(Default)]
struct Scratch {
    /// Turned queries, then the turned gradient of the result: `[W, L]`.
    lanes: Vec<f32>,
    /// Scores, then probabilities: `[n, L]`.
    scores: Vec<f32>,
    /// Of probabilities, then of scores: `[n, L]`.
    gradients: Vec<f32>,
    /// `[L, P + R]`
    d_query: Vec<f32>,
}

fn scaled(to: &mut [f32], from: &[f32], scale: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
}
